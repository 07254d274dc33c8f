"""How a worker process ended: by itself, or by a kill from outside."""

import faulthandler
import os
import signal
from contextlib import suppress

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

#: The worker's node must have read the log by then; else the death counts as a kill from outside.
_READ_SECONDS = 10.0
#: The end of a log that is read, in bytes.
_TAIL_BYTES = 2**16
#: Python's faulthandler, which Ray enables, writes this on SIGSEGV, SIGABRT, SIGBUS and the like.
_FATAL = "Fatal Python error: "
#: What a worker writes before it ends itself in other ways.
_ENDED = "isegbench: this process ended itself: "
#: And this as SIGALRM ends it: a call held the GIL past its time limit (`watchdog`).
_ALARM = "Stack (most recent call first):"


def error_log() -> str:
    """The file that this process's standard error goes to; "" where the system does not say."""
    with suppress(OSError):
        path = os.readlink("/proc/self/fd/2")
        return path if os.path.isfile(path) else ""
    return ""


def note_own_ends() -> None:
    """Make `os._exit` and SIGALRM leave a note; a forked process that leaves writes none."""
    faulthandler.register(signal.SIGALRM, file=2, all_threads=False, chain=True)
    leave, pid = os._exit, os.getpid()

    def leave_with_note(status: int) -> None:
        if os.getpid() == pid:
            os.write(2, f"\n{_ENDED}os._exit({status})\n".encode())
        leave(status)

    os._exit = leave_with_note  # type: ignore[assignment]


def own_end(error: BaseException, node: str, log: str) -> str:
    """How a dead worker ended itself; "" when it was killed from outside, or nothing is known.

    Ray reports a segmentation fault, `os._exit` and SIGKILL in the same words. A process that
    crashes can write to its log, and one that is killed by SIGKILL or for memory cannot.

    error: Ray's. node: of the worker. log: the worker's `error_log`.
    """
    said = str(error)
    if "exit code" in said and "SIGTERM" not in said:
        return said[said.index("exit code") :].split(".")[0]
    if not log or "OUT_OF_MEMORY" in said:
        return ""
    place = NodeAffinitySchedulingStrategy(node, soft=False)
    reading = _end_in_log.options(scheduling_strategy=place).remote(log)
    with suppress(exceptions.RayError):
        return ray.get(reading, timeout=_READ_SECONDS)
    return ""


@ray.remote(num_cpus=0, max_retries=0)
def _end_in_log(log: str) -> str:
    return end_in_log(log)


def end_in_log(log: str) -> str:
    """How the process that wrote a log ended itself; "" when the log does not say."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.path.getsize(log) - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        for mark in (_FATAL, _ENDED):
            if line.startswith(mark):
                return line.removeprefix(mark)
        if line.startswith(_ALARM):
            return "a call held the GIL past its time limit"
    return ""
