"""A small training on the embedded samples, and a watch that remembers."""

import pytest

from isegbench.harness.workflows.training import gather, read_training

SMALL = """
trainer = "iog"
datasets = "samples[0:4]"
backbone = "resnet18"
heads = 16
side = 64
init = "scratch"
epochs = 2
batch = 2
optimizer = "adamw"
lr = 0.003
head_factor = 1
threads = 1
device = "cpu"
cache = true
"""


class Remembering:
    """A `Watch`. stop_after: raise KeyboardInterrupt after so many steps, as a person would."""

    def __init__(self, stop_after=None):
        self.losses, self.said, self.begun = [], [], None
        self.stop_after = stop_after

    def start(self, steps, done):
        self.begun = (steps, done)

    def step(self, loss):
        self.losses.append(loss)
        if len(self.losses) == self.stop_after:
            raise KeyboardInterrupt

    def say(self, text):
        self.said.append(text)


@pytest.fixture
def watch():
    return Remembering


@pytest.fixture
def small(tmp_path):
    """`small(out, **keys)`: (trainer, configuration, material) of the small training."""

    def make(out="out", **keys):
        path = tmp_path / "small.toml"
        path.write_text(SMALL)
        trainer, config = read_training(path, out=tmp_path / out, **keys)
        return trainer, config, gather(config)

    return make
