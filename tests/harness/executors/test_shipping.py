"""What nodes do not have is brought to them: checkpoints, and this package itself."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from isegbench import harness
from isegbench.harness import weights
from isegbench.harness.errors import UserError

METHOD = """
import os
import time
from pathlib import Path

import isegbench.harness.engine
import numpy as np
from isegbench.harness import weights as w
from isegbench.harness.cache import cache_dir
from isegbench.harness.method import Method

class Loaded(Method):
    def __init__(self, weights: str, marks: str) -> None:
        file = w.resolve(weights, "mine")
        self.weights = w.used(file)
        self.level = float(file.path.read_text().split()[0])
        said = f"{cache_dir()} {file.path} {isegbench.harness.engine.__file__}"
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
    """What each worker says: its cache, the file it loaded, where the package is."""
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
    frame = harness.run(spec, pictures, **options(nodes))
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
        harness.run(spec, pictures, **more)
    assert said(method) == []
    frame = harness.run([spec, "nearest-click"], pictures, ship_package=True, **more)
    assert (frame.status == "ok").all()
    [(_, _, engine)] = said(method)
    assert "runtime_resources" in engine
