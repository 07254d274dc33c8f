"""Nodes get what they do not have: checkpoints, and this package itself."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import isegbench
from isegbench.harness.downloads import weights
from isegbench.harness.errors import UserError

METHOD = """
import os
import time
from pathlib import Path

import isegbench.harness.engine.loop
import numpy as np
from isegbench.harness.downloads import weights as w
from isegbench.harness.downloads.cache import cache_dir
from isegbench.harness.method import Method

class Loaded(Method):
    def __init__(self, weights: str, marks: str) -> None:
        file = w.resolve(weights, "mine")
        self.weights = file
        self.level = float(file.path.read_text().split()[0])
        said = f"{cache_dir()} {file.path} {isegbench.harness.engine.loop.__file__}"
        Path(marks, str(os.getpid())).write_text(said)

    def predict_one(self, session):
        time.sleep(0.1)  # so that every worker gets work
        return np.full(session.shape, self.level, np.float32)
"""


@pytest.fixture
def method(tmp_path):
    (tmp_path / "mine.py").write_text(METHOD)
    (tmp_path / "marks").mkdir()
    return tmp_path


def said(method):
    """What each worker wrote: its cache, the file it loaded, the place of the package."""
    marks = [path for path in (method / "marks").iterdir() if path.name != str(os.getpid())]
    return [tuple(path.read_text().split()) for path in marks]


def options(nodes, **more):
    return {"clicks": 1, "executor": "ray", "workers": 2, "ray_address": nodes.address, **more}


def test_a_checkpoint_that_only_the_driver_has_comes_once_to_each_node(
    nodes, pictures, method, monkeypatch
):
    monkeypatch.setenv("ISEGBENCH_CACHE", str(method / "cache of the driver"))
    checkpoint = method / "checkpoint.txt"
    checkpoint.write_text("0.75 " + "x" * 1000)
    file = weights.add("mine", checkpoint)
    spec = f"{method / 'mine.py'}:Loaded:weights=mine,marks={method / 'marks'}"
    frame = isegbench.run(spec, pictures, **options(nodes)).traces
    assert (frame.status == "ok").all()
    words = said(method)
    assert len(words) == 2
    for cache, path, _ in words:
        assert cache in nodes.caches
        carried = Path(cache, "weights", "carried", f"{file.sha256}.txt")
        assert path == str(carried)
        assert carried.read_text() == checkpoint.read_text()
        assert [one for one in carried.parent.iterdir() if one.suffix == ".tmp"] == []


@pytest.fixture
def bare_python(tmp_path):
    """A Python that has what this package needs, but not the package."""
    environment = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    site = next(environment.glob("lib/python*/site-packages"))
    # A folder named in a .pth file is searched, but its own .pth files are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = environment / "bin" / "python"
    missing = subprocess.run(
        [python, "-c", "import ray, isegbench.harness"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    if "No module named 'isegbench" not in missing.stderr:
        pytest.skip("isegbench is installed where its dependencies are: no Python is without it")
    return str(python)


def test_nodes_without_the_package_get_it(nodes, pictures, method, bare_python):
    spec = {"name": f"{method / 'mine.py'}:Loaded", "weights": str(method / "w.txt")}
    (method / "w.txt").write_text("0.75")
    more = options(nodes, runtime_env={"py_executable": bare_python}, workers=1, limit=3)
    spec["marks"] = str(method / "marks")
    with pytest.raises(UserError, match="No module named 'isegbench"):
        isegbench.run(spec, pictures, **more)
    assert said(method) == []
    frame = isegbench.run([spec, "nearest-click"], pictures, ship_package=True, **more).traces
    assert (frame.status == "ok").all()
    [(_, _, engine)] = said(method)
    assert "runtime_resources" in engine


ROOT = Path(__file__).resolve().parents[4]

RUN = """
import sys
import isegbench
from isegbench.harness.engine import loop

assert loop.__file__.startswith(sys.argv[1]), loop.__file__
frame = isegbench.run(
    [{"name": sys.argv[2], "weights": sys.argv[3], "marks": sys.argv[4]}, "nearest-click"],
    sys.argv[5], clicks=1, limit=3, executor="ray", workers=1, ray_address=sys.argv[6],
    runtime_env={"py_executable": sys.argv[7]}, ship_package=True,
).traces
assert (frame.status == "ok").all(), frame
"""


@pytest.fixture
def installed_wheel(tmp_path):
    """What installing the package's wheel puts on a machine."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".*", "build", "runs", "tests", "__pycache__")
    shutil.copytree(ROOT, source, symlinks=True, ignore=ignored)
    subprocess.run([*build, "--wheel-dir", tmp_path, source], check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    return str(tmp_path / "site")


def test_a_driver_installed_from_a_wheel_brings_what_the_wheel_holds(
    nodes, pictures, method, bare_python, installed_wheel
):
    (method / "w.txt").write_text("0.75")
    own = [f"{method / 'mine.py'}:Loaded", str(method / "w.txt"), str(method / "marks")]
    given = [installed_wheel, *own, pictures, nodes.address, bare_python]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *given],
        env=os.environ | {"PYTHONPATH": installed_wheel},
        cwd=method,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    engines = [engine for _, _, engine in said(method)]
    assert any("runtime_resources" in engine for engine in engines), engines
