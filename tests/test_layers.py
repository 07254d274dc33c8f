"""The layers of the package: a forbidden import fails `lint-imports`, and the harness is light."""

import ast
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


def module_classes(source: str) -> list[str]:
    """The classes of a source file that derive from a module of torch.nn, directly or not."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base) for base in node.bases]
            if any(b in found or b.startswith(("nn.", "torch.nn.")) for b in bases):
                found.append(node.name)
    return found


def imports_session(source: str) -> bool:
    """Whether a source file imports the harness's `Session`."""
    return any(
        isinstance(node, ast.ImportFrom) and any(alias.name == "Session" for alias in node.names)
        for node in ast.walk(ast.parse(source))
    )


#: A training loss around a network: a module, but no network.
NO_NETWORK = {"methods/iog/training/objective.py": ["Objective"]}


def test_networks_are_in_nets():
    found = {}
    for path in sorted((ROOT / "methods").rglob("*.py")):
        classes = module_classes(path.read_text(encoding="utf-8"))
        if classes and path.parent != ROOT / "methods" / "nets":
            found[path.relative_to(ROOT).as_posix()] = classes
    assert found == NO_NETWORK


def test_rooms_below_the_families_use_no_session():
    for room in ("nets", "processing", "runtime"):
        paths = sorted((ROOT / "methods" / room).rglob("*.py"))
        assert len(paths) > 2
        users = [path.name for path in paths if imports_session(path.read_text(encoding="utf-8"))]
        assert not users, f"methods/{room}: {users} import Session"


def test_the_scans_find_what_they_look_for():
    network = "class A(nn.Module): ...\nclass B(A): ...\nclass C(Method): ..."
    assert module_classes(network) == ["A", "B"]
    assert imports_session("from ...harness.method import Method, Session")
    assert not imports_session("from ...harness.method import Method")


def test_the_harness_imports_neither_torch_nor_ray():
    code = "import sys, isegbench.harness; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "isegbench.harness" in loaded
    assert not {"torch", "ray"} & loaded
