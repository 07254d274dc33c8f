"""What the cached backbone saves iog-refine per added click: `python tests/speed/iog_refine.py`.

Times, in turn and on one CPU thread, the prediction after an added click with what the session
keeps, and the same prediction by a session that runs everything again. Both include drawing the
click and pasting the map. The weights are made by formula; they do not matter for time. On a busy
machine the seconds of the processor are the ones to compare.
"""

import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import skimage.data
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))
from golden_runs import GOLDENS, write_checkpoint

from isegbench.harness.method import Session
from isegbench.harness.types import Click
from isegbench.methods.iog.iog_refine import IOGRefine

OPENING = (Click(3, 70, "corner"), Click(505, 450, "corner"), Click(120, 220, "positive"))
REPETITIONS = 5


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        weights = write_checkpoint(GOLDENS / "iog_refine_r101", Path(folder) / "weights.pth")
        method = IOGRefine(str(weights), device="cpu")
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    session = started(method, OPENING)
    method.predict([session])
    cached, again = [], []
    for _ in range(REPETITIONS + 1):
        y, x = rng.integers(60, 440, 2)
        session.clicks = (*session.clicks, Click(int(y), int(x), "negative"))
        seconds, kept = timed(lambda: method.predict([session]))
        cached.append(seconds)
        seconds, whole = timed(lambda: method.predict([started(method, session.clicks)]))
        again.append(seconds)
        assert np.abs(kept[0] - whole[0]).max() <= 1e-5
    print(f"one added click, median of {REPETITIONS}, 512 x 512, ResNet-101, one CPU thread:")
    # The first of each warms up.
    for index, clock in enumerate(("wall", "processor")):
        spent, full = (
            statistics.median(times[index] for times in taken[1:]) for taken in (cached, again)
        )
        print(
            f"  {clock + ':':10} {spent:.3f} s behind the cached backbone, "
            f"{full:.3f} s everything again, ratio {full / spent:.2f}"
        )


def started(method: IOGRefine, clicks: tuple[Click, ...]) -> Session:
    """A session that has these clicks and has not predicted."""
    session = Session(skimage.data.astronaut(), clicks)
    method.begin(session)
    return session


def timed(call):
    """((seconds of the wall, of the processor), result)."""
    wall, processor = perf_counter(), process_time()
    result = call()
    return (perf_counter() - wall, process_time() - processor), result


if __name__ == "__main__":
    main()
