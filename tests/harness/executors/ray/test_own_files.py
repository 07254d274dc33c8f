"""Objects of a user's own file are unpickled in a process that does not have the file."""

import subprocess
import sys
from functools import partial

import pytest
import ray.cloudpickle

from isegbench.harness.executors.ray.shipping import pickle_own_files_by_value
from isegbench.harness.registry import load_module
from isegbench.harness.simulators.jitter import Jittered

OWN = """
from isegbench.harness.simulator import Simulator

def decode(data, times):
    return len(data) * times

class NoClicks(Simulator):
    def open(self, instance, opening, rng):
        return []

    def correct(self, instance, probabilities, mask, clicks, rng):
        return None
"""


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(OWN)
    module = load_module(file)
    pickle_own_files_by_value()
    yield module
    ray.cloudpickle.unregister_pickle_by_value(module)


@pytest.mark.parametrize(
    ("wrapped", "then"),
    [
        (lambda own: partial(own.decode, times=3), "(b'ab') == 6"),
        (lambda own: Jittered(own.NoClicks(), 3), ".simulator.correct(*[None] * 5) is None"),
    ],
    ids=["partial decoder", "jittered simulator"],
)
def test_objects_inside_others_are_pickled_by_value_too(own, wrapped, then, tmp_path):
    sent = tmp_path / "sent"
    pickled = ray.cloudpickle.dumps(wrapped(own))  # pyright: ignore[reportPrivateImportUsage]
    sent.write_bytes(pickled)
    code = f"import pickle; assert pickle.load(open({str(sent)!r}, 'rb')){then}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_a_file_imports_from_beside_it_is_pickled_by_value_too(tmp_path):
    (tmp_path / "shipped_net.py").write_text("class Net:\n    size = 3\n")
    (tmp_path / "uses.py").write_text(
        "import shipped_net\nfrom shipped_net import Net\n"
        "def size():\n    return Net().size + shipped_net.Net.size\n"
    )
    module = load_module(tmp_path / "uses.py")
    pickle_own_files_by_value()
    sent = tmp_path / "sent"
    sent.write_bytes(ray.cloudpickle.dumps(module.size))  # pyright: ignore[reportPrivateImportUsage]
    code = f"import pickle; assert pickle.load(open({str(sent)!r}, 'rb'))() == 6"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
