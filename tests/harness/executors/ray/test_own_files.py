"""What a user's own file defines reaches a process that cannot see the file."""

import subprocess
import sys
from functools import partial

import pytest
import ray

from isegbench.harness.executors.ray.shipping import let_own_files_travel
from isegbench.harness.registry import load_module
from isegbench.harness.simulators.jitter import Jittered

OWN = """
from isegbench.harness.simulator import Simulator

def decode(data, times):
    return len(data) * times

class Sulky(Simulator):
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
    let_own_files_travel()
    yield module
    ray.cloudpickle.unregister_pickle_by_value(module)


@pytest.mark.parametrize(
    ("wrapped", "then"),
    [
        (lambda own: partial(own.decode, times=3), "(b'ab') == 6"),
        (lambda own: Jittered(own.Sulky(), 3), ".simulator.correct(*[None] * 5) is None"),
    ],
    ids=["partial decoder", "jittered simulator"],
)
def test_what_is_inside_of_something_of_ours_travels_too(own, wrapped, then, tmp_path):
    sent = tmp_path / "sent"
    sent.write_bytes(ray.cloudpickle.dumps(wrapped(own)))
    code = f"import pickle; assert pickle.load(open({str(sent)!r}, 'rb')){then}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
