"""`isegbench train` as a user types it."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from isegbench.harness.cli import app
from isegbench.harness.errors import UserError

TOML = """
trainer = "iog"
datasets = "samples[0:2]"
validate_on = "samples[0:1]"
backbone = "resnet18"
heads = 8
side = 32
init = "scratch"
epochs = 1
batch = 2
optimizer = "adamw"
lr = 0.001
threads = 1
device = "cpu"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(TOML)
    return path


@pytest.mark.slow
def test_it_trains_goes_on_and_exports(file, tmp_path):
    out = tmp_path / "out"
    first = CliRunner().invoke(app, ["train", str(file), "--out", str(out)])
    assert first.exit_code == 0, first.output
    assert str(out / "weights" / "best.pth") in first.stdout
    assert "epoch 1: loss" in first.stderr
    assert "mIoU@3 samples" in first.stderr
    for name in ("training.json", "history.csv", "curves.png", "checkpoint.pt"):
        assert (out / name).is_file()
    row = pd.read_csv(out / "history.csv").iloc[0]
    assert row["epoch"] == row["step"] == 1
    assert 0 <= row["mIoU@3 samples"] <= 1

    file.write_text(TOML.replace("epochs = 1", "epochs = 2"))
    again = CliRunner().invoke(app, ["train", str(file), "--out", str(out)])
    assert "Resuming after step 1 of 2." in again.stderr
    assert list(pd.read_csv(out / "history.csv")["step"]) == [1, 2]

    small = tmp_path / "small.pth"
    told = CliRunner().invoke(app, ["train", str(file), "--out", str(out), "--export", str(small)])
    assert f"Weights: {small}" in told.stdout
    assert small.stat().st_size < 0.6 * (out / "weights" / "best.pth").stat().st_size


def test_mistakes_are_told(file, tmp_path):
    file.write_text(TOML + "epoch = 3\n")
    failed = CliRunner().invoke(app, ["train", str(file), "--out", str(tmp_path / "out")])
    assert isinstance(failed.exception, UserError)
    assert "small.toml:15: unknown key 'epoch'" in str(failed.exception)
    file.write_text(TOML)
    nothing = ["train", str(file), "--out", str(tmp_path), "--export", str(tmp_path / "x.pth")]
    failed = CliRunner().invoke(app, nothing)
    assert "nothing was trained in" in str(failed.exception)
