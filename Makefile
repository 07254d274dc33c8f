# make setup         a virtual environment in .venv with everything
# make demo          the main job on the embedded photographs; the last line is the report's path
# make test          `make check`, then `make test-all`
# make check         style, layers of imports, types
# make test-all      all tests but the golden numbers
# make test-fast     the tests without Ray, without a browser and without the slow ones
# make test-goldens  every golden number of every model; hours
# make speed         the engine beside a plain loop: a table, and results/runs/speed.json (an hour)

PYTHON ?= python3
BIN := .venv/bin
DEMO := results/runs/demo
# Two processes: one runs the tests that start Ray, the other begins with the rest.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadgroup --durations=15

.PHONY: setup demo check test test-all test-fast test-goldens speed clean
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

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

test-all: setup
	$(PYTEST)

test: check test-all

test-fast: setup
	$(PYTEST) -m 'not (goldens or ray or browser or slow)'

test-goldens: setup
	$(BIN)/python -m pytest -m goldens --durations=15

speed: setup
	$(BIN)/python tests/speed/table.py $(SPEED)

clean:
	rm -rf .venv build *.egg-info
