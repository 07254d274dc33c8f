# make setup   a virtual environment in .venv with everything
# make demo    the main job on the embedded photographs; ends by naming the report
# make test    style and tests
# make types   the type checker, which fetches Node.js on its first use
# make speed   the engine beside a plain loop: a table, and results/runs/speed.json (an hour)

PYTHON ?= python3
BIN := .venv/bin
DEMO := results/runs/demo

.PHONY: setup demo test types speed clean
setup: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "isegbench needs Python 3.11 or newer: make PYTHON=python3.11 setup")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: setup
	$(BIN)/isegbench run --method nearest-click --method geodesic --method graph-cut \
	    --method random-walker --dataset samples --clicks 6 \
	    --executor ray --workers 2 --out $(DEMO)
	$(BIN)/isegbench report $(DEMO)

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

types: setup
	$(BIN)/pyright

speed: setup
	$(BIN)/python tests/speed/table.py $(SPEED)

clean:
	rm -rf .venv build *.egg-info
