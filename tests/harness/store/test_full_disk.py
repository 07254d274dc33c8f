"""A disk that is full while a run writes to it."""

import json
import os
import subprocess
import time

import pandas as pd
import pytest

from isegbench.harness.errors import UserError
from isegbench.harness.planning.config import make_config
from isegbench.harness.store import traces as store_module
from isegbench.harness.store.traces import Store, read_traces, trace_files
from isegbench.harness.types import Trace
from isegbench.harness.workflows.benchmark import execute

STABLE = ["instance", "click", "y", "x", "kind", "iou", "status"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 96 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_run_stops_keeps_what_it_has_and_goes_on(small_disk, discs, nearest_seed):
    out = small_disk / "run"
    given = {"methods": nearest_seed, "datasets": discs(12), "clicks": 4, "out": out}
    ballast = small_disk / "ballast"
    config = make_config(given)
    done = 0

    def fill(_):
        nonlocal done
        done += 1
        if done == 4:
            while not trace_files(out):
                time.sleep(0.01)
            free = os.statvfs(small_disk)
            ballast.write_bytes(b"x" * (free.f_bavail * free.f_frsize))

    with pytest.raises(UserError, match="No space left on device") as caught:
        execute(config, None, fill)
    assert str(out) in str(caught.value)
    assert "the same command goes on" in str(caught.value)
    kept = read_traces(out)
    assert 0 < kept.instance.nunique() < 12
    ballast.unlink()
    there = []
    execute(config, lambda jobs, count: there.append(count))
    assert there == [kept.instance.nunique()]
    elsewhere = small_disk.parent / "undisturbed"
    execute(make_config({**given, "out": elsewhere}))
    whole, wanted = (pd.DataFrame(read_traces(path)[STABLE]) for path in (out, elsewhere))
    pd.testing.assert_frame_equal(whole, wanted, check_exact=True)


def failed(name):
    return Trace("m", "d", "s", 0, name, (), "method-failed", "it broke " + "x" * 3000)


def test_half_a_line_of_failures_does_not_stay(small_disk):
    with Store(small_disk / "run", 60.0) as store:
        store.add(failed("a"))
        # The first trace is written at once, by a thread; the disk is to fill up after that.
        store.flush()
        ballast = small_disk / "ballast"
        free = os.statvfs(small_disk)
        # Room for the rest of the page that the file has begun, and no other.
        ballast.write_bytes(b"x" * (free.f_bavail * free.f_frsize))
        with pytest.raises(UserError, match=r"failures.jsonl cannot be written: No space left"):
            store.add(failed("b"))
        ballast.unlink()
        store.add(failed("c"))
    lines = (small_disk / "run" / "failures.jsonl").read_text().splitlines()
    assert [json.loads(line)["instance"] for line in lines] == ["a", "c"]


def test_merging_waits_until_there_is_room(tmp_path, monkeypatch):
    def full(path, content):
        raise UserError(f"{path} cannot be written: No space left on device")

    store = Store(tmp_path, 0.0)
    store.add(failed("a"))
    store.add(failed("b"))
    before = trace_files(tmp_path)
    assert len(before) == 2
    with monkeypatch.context() as patched:
        patched.setattr(store_module, "write_whole", full)
        store_module.merge(tmp_path)
    assert trace_files(tmp_path) == before
    store_module.merge(tmp_path)
    assert len(trace_files(tmp_path)) == 1
    assert read_traces(tmp_path).instance.tolist() == ["a", "b"]
