"""How a process ended, read from what it wrote: real processes that end in different ways."""

import subprocess
import sys

import pytest
from ray.exceptions import ActorDiedError

from isegbench.harness.executors.ray.death import end_in_log, own_end

START = """
import ctypes, faulthandler, os, signal, sys
from isegbench.harness.executors.ray.death import error_log, note_own_ends
faulthandler.enable()
note_own_ends()
assert error_log() == os.path.realpath(sys.argv[1])
if not os.fork():
    os._exit(0)
os.wait()
"""
ENDS = {
    "ctypes.string_at(0)": "Segmentation fault",
    "os.abort()": "Aborted",
    "os._exit(3)": "os._exit(3)",
    "signal.setitimer(signal.ITIMER_REAL, 0.1); ctypes.PyDLL(None).sleep(60)": "held the GIL",
    "os.kill(os.getpid(), signal.SIGKILL)": "",
    "os.kill(os.getpid(), signal.SIGTERM)": "",
}


@pytest.mark.parametrize("how", ENDS)
def test_a_crash_leaves_a_note_and_a_kill_does_not(how, tmp_path):
    log = tmp_path / "log"
    with open(log, "wb") as file:
        done = subprocess.run([sys.executable, "-c", START + how, str(log)], stderr=file)
    assert done.returncode != 0
    said = end_in_log(str(log))
    assert (ENDS[how] in said) if ENDS[how] else said == "", log.read_text()


def test_without_a_log_nothing_is_known(tmp_path):
    assert end_in_log(str(tmp_path / "missing")) == ""
    assert own_end(ActorDiedError(), "node", "") == ""


def test_ray_reports_an_exit_code_itself():
    class Said(Exception):
        pass

    code = Said("Worker exits unexpectedly. Worker exits with an exit code 3.")
    assert own_end(code, "node", "") == "exit code 3"
    term = Said("Worker exits with an exit code 1. The process receives a SIGTERM.")
    assert own_end(term, "node", "") == ""
