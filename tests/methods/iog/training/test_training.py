"""Whole trainings in small: they learn, and go on after a kill as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

import isegbench
from isegbench.harness.errors import UserError
from isegbench.methods.iog.checkpoint import read_checkpoint
from isegbench.methods.iog.training.state import CHECKPOINT

STILL = {"flip": 0, "rotation": 0, "scale": [1, 1]}


def state(directory):
    content = torch.load(directory / CHECKPOINT, weights_only=True)
    return content["network"], content["optimizer"]["state"], content["progress"]


def assert_same_training(one, other):
    for first, second in zip(state(one)[:2], state(other)[:2], strict=True):
        assert first.keys() == second.keys()
        for key, value in first.items():
            pairs = [(value, second[key])]
            if isinstance(value, dict):
                pairs = [(value[name], second[key][name]) for name in value]
            assert all(torch.equal(a, b) for a, b in pairs), key
    left, right = (
        pd.read_csv(path / "history.csv").drop(columns="seconds") for path in (one, other)
    )
    pd.testing.assert_frame_equal(left, right, check_exact=True)


@pytest.mark.slow
def test_two_images_are_learnt_by_heart(small, watch):
    """To IoU above 0.95 on the crops, and through the harness with the weights that are kept.

    An epoch holds each image ten times: the checkpoint and the figure at the end of an epoch cost
    more than five steps of this small network.
    """
    keys = {"heads": 32, "batch": 2, "epochs": 10, "lr": 0.01, "schedule": "cosine"}
    often = {"validate_every": 10, "snapshot_every": 5, "validate_on": "samples[0:2]"}
    data = ["samples[0:2]"] * 10
    trainer, config, material = small(datasets=data, **keys, **often, **STILL)
    seen = watch()
    best = trainer.train(config, material, seen)
    assert seen.begun == (100, 0)
    history = pd.read_csv(config.out / "history.csv")
    assert history["train_iou"].iloc[-1] > 0.95
    assert seen.losses[-1] < 0.5 * seen.losses[0]
    assert history["mIoU@3 samples"].iloc[-1] > 0.95
    frame = isegbench.run({"name": "iog", "weights": str(best)}, "samples[0:2]", clicks=3).traces
    assert frame["iou"].dropna().to_numpy().mean() == pytest.approx(
        history["mIoU@3 samples"].iloc[-1]
    )
    assert {p.name for p in best.parent.iterdir()} == {
        *("best.pth", "last.pth", "epoch-0005.pth", "epoch-0010.pth")
    }
    assert (config.out / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("network", ["iog", "iog-refine"])
def test_a_stopped_training_comes_to_the_same_result(small, watch, network):
    """Stopped in the middle of the second epoch, after a checkpoint at every step."""
    quick = {"network": network, "optimizer": "sgd", "lr": 1e-6}
    trainer, config, material = small("whole", **quick)
    trainer.train(config, material, watch())
    trainer, config, material = small("parts", **quick, save_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(config, material, watch(stop_after=3))
    resumed = watch()
    trainer.train(config, material, resumed)
    # The interrupt came before the third step was kept: it is made again.
    assert resumed.begun == (4, 2)
    assert_same_training(config.out.parent / "whole", config.out)


@pytest.mark.slow
def test_a_killed_process_comes_to_the_same_result(small, watch, tmp_path):
    """Killed by the system at some moment, perhaps while it writes."""
    trainer, config, material = small("whole", epochs=4, optimizer="sgd", lr=1e-6)
    trainer.train(config, material, watch())
    file, out = tmp_path / "small.toml", tmp_path / "killed"
    text = file.read_text() + "save_seconds = 0\n"
    for old, new in (("epochs = 2", "epochs = 4"), ("adamw", "sgd"), ("0.003", "1e-6")):
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    command = [sys.executable, "-m", "isegbench", "train", str(file)]
    command += ["--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not (out / CHECKPOINT).exists() and time.monotonic() < deadline:
        assert process.poll() is None, "the training ended before it was killed"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    steps = state(out)[2]["step"]
    assert 0 < steps < 8
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"Resuming after step {steps} of 8." in done.stderr
    assert_same_training(tmp_path / "whole", out)


def test_weights_say_what_they_are(small, watch):
    trainer, config, material = small(
        network="outside", epochs=1, trained_on=["coco", "davis"], half=True
    )
    best = trainer.train(config, material, watch())
    saved = read_checkpoint(best)
    assert saved.trained_on == ("coco", "davis")
    assert saved.guidance == "outside"
    assert saved.config == {"kind": "iog", "depth": 18, "side": 64, "heads": 16}
    assert saved.state["backbone.conv1.weight"].dtype == torch.float16
    small_file = config.out / "small.safetensors"
    trainer.export(config, small_file)
    exported = read_checkpoint(small_file)
    assert (exported.trained_on, exported.guidance) == (saved.trained_on, "outside")
    assert all(torch.equal(value, exported.state[key]) for key, value in saved.state.items())
    method = {"name": "iog-box", "outside": str(small_file), "stages": 1}
    frame = isegbench.run(method, "samples[0:1]", clicks=2).traces
    assert set(frame["status"]) == {"ok"}


@pytest.mark.slow
def test_the_first_weights_can_be_another_trainings(small, watch):
    trainer, config, material = small("first", epochs=1)
    best = trainer.train(config, material, watch())
    other = small("second", epochs=1, init=str(best), lr=1e-12)
    again = other[0].train(other[1], other[2], watch())
    before, after = read_checkpoint(best).state, read_checkpoint(again).state
    for key in ("backbone.conv1.weight", "Fine_net.final_predict.1.weight"):
        torch.testing.assert_close(before[key], after[key])
    trainer, config, material = small("third", init=str(best), heads=32)
    with pytest.raises(UserError, match="side = 64 and heads = 16"):
        trainer.train(config, material, watch())


def test_another_training_in_the_same_place_is_refused(small, watch):
    trainer, config, material = small(epochs=1)
    trainer.train(config, material, watch())
    trainer, config, material = small(epochs=1, lr=0.5, datasets="samples[1:5]")
    with pytest.raises(UserError, match=r"lr: 0\.003 there, now 0\.5") as refused:
        trainer.train(config, material, watch())
    assert "datasets" in str(refused.value)


@pytest.mark.slow
def test_a_longer_training_goes_on(small, watch):
    trainer, config, material = small(epochs=1)
    trainer.train(config, material, watch())
    trainer, config, material = small(epochs=2)
    seen = watch()
    trainer.train(config, material, seen)
    assert seen.begun == (4, 2)
    assert list(pd.read_csv(config.out / "history.csv")["epoch"]) == [1, 2]


def test_a_diverging_training_says_so(small, watch):
    trainer, config, material = small(optimizer="sgd", lr=1e30, epochs=8)
    with pytest.raises(UserError, match="lower lr = 1e\\+30"):
        trainer.train(config, material, watch())


def test_too_few_objects_and_float16_on_a_cpu_are_refused(small, watch):
    trainer, config, material = small(batch=5)
    with pytest.raises(UserError, match="4 objects .* fewer than batch = 5"):
        trainer.train(config, material, watch())
    trainer, config, material = small("other", precision="float16")
    with pytest.raises(UserError, match="needs a GPU"):
        trainer.train(config, material, watch())


@pytest.mark.slow
def test_bfloat16_learns_as_float32_does(small, watch):
    losses = {}
    for precision in ("float32", "bfloat16"):
        trainer, config, material = small(precision, precision=precision, **STILL)
        seen = watch()
        trainer.train(config, material, seen)
        losses[precision] = np.array(seen.losses)
    assert losses["bfloat16"][-1] < losses["bfloat16"][0]
    np.testing.assert_allclose(losses["bfloat16"], losses["float32"], rtol=0.15)
