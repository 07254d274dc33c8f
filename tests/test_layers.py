"""The layers of the package: a forbidden import fails `lint-imports`, and the harness is light."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the package and its contracts."""
    for name in ("harness", "methods", "datasets", "src", "results/published"):
        ignored = shutil.ignore_patterns("__pycache__", "*.csv", "*.egg-info")
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def broken_contracts(root: Path) -> list[str]:
    """The names of the contracts that `lint-imports` finds broken."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
    )
    broken = re.findall(r"^(.*) BROKEN", done.stdout, re.MULTILINE)
    assert (done.returncode != 0) == bool(broken), done.stdout + done.stderr
    return broken


@pytest.mark.parametrize(
    ("file", "line", "contracts"),
    [
        ("harness/errors.py", "", []),
        (
            "harness/store/masks.py",
            "from ..engine import loop",
            ["The rooms of the harness, top first"],
        ),
        (
            "methods/runtime/device.py",
            "from ..dextr import dextr",
            ["Families of methods rest on processing, networks and runtime"],
        ),
        (
            "datasets/samples.py",
            "from ..methods.nets import psp",
            ["Methods and data sets do not know each other"],
        ),
    ],
    ids=["none", "up in the harness", "up in methods", "across"],
)
def test_a_forbidden_import_breaks_its_contract(copy, file, line, contracts):
    path = copy / file
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    assert broken_contracts(copy) == contracts


def test_the_harness_imports_neither_torch_nor_ray():
    code = "import sys, isegbench.harness; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "isegbench.harness" in loaded
    assert not {"torch", "ray"} & loaded
