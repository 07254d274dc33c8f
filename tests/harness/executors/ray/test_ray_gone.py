"""Ray itself dies during a run: everything finished is kept, and a message says how to go on."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from isegbench.harness.planning.config import make_config
from isegbench.harness.store.traces import read_traces
from isegbench.harness.workflows.benchmark import execute

from .conftest import FAULTY, REPEATS, STABLE

DOOMED = Path(__file__).with_name("doomed_run.py")

ENDS = {
    "gcs_server": (2, "does not answer any more. Everything finished is kept"),
    # Ray ends a process when the raylet of its node dies.
    "raylet": (1, ""),
}


@pytest.mark.parametrize("process", ENDS)
def test_ray_killed_under_a_run(ray_folder, pictures, undisturbed, tmp_path, process):
    if process == "raylet" and REPEATS < 2:
        pytest.skip("takes a minute: set ISEGBENCH_FAULT_REPEATS=2 or more")
    out = tmp_path / "run"
    toml = tmp_path / "run.toml"
    toml.write_text(
        f"""
        datasets = ["{pictures}"]
        out = "{out}"
        clicks = 5
        seeds = 3
        simulator = "random-error"
        executor = "ray"
        workers = 1
        [[methods]]
        name = "{FAULTY}:Steady"
        label = "steady"
        seconds = 0.1
        """
    )
    command = [sys.executable, str(DOOMED), str(toml), process, "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    code, said = ENDS[process]
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    kept = len(read_traces(out).groupby(["seed", "instance"]))
    assert 5 <= kept < 90
    resumed = []
    method = {"name": f"{FAULTY}:Steady", "label": "steady", "seconds": 0.1}
    more = {"clicks": 5, "seeds": 3, "simulator": "random-error", "out": out}
    config = make_config({"methods": method, "datasets": pictures, **more})
    stop_early = RuntimeError("enough was seen")

    def note(_, count):
        resumed.append(count)
        raise stop_early

    with pytest.raises(RuntimeError, match="enough was seen"):
        execute(config, note)
    assert resumed == [kept], "only the other instances would be computed"
    wanted = undisturbed().set_index(["seed", "instance"])
    found = read_traces(out)[STABLE].set_index(["seed", "instance"])
    pd.testing.assert_frame_equal(found, wanted.loc[found.index.unique()], check_exact=True)
