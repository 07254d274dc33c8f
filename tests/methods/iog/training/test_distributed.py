"""Two processes that share a batch, against one that adds up their gradients itself."""

import pytest
import torch

from isegbench.methods.iog.training.batches import Batches
from isegbench.methods.iog.training.loop import make_network
from isegbench.methods.iog.training.objective import Objective
from isegbench.methods.iog.training.samples import Sample, Samples
from isegbench.methods.iog.training.state import CHECKPOINT


def by_hand(config, material):
    """One step: each half of the batch by itself, their gradients averaged; loss and weights.

    Batch normalisation sees a half alone, as in two processes.
    """
    network = make_network(config).train()
    samples = Samples(material.refs, config.side, config.augmentation, config.seed)
    losses = []
    for rank in range(2):
        (keys,) = Batches(len(material.refs), config.batch, 1, config.seed, 0, rank, 2)
        chosen = [samples[key] for key in keys]
        stacked = Sample(*(torch.stack(parts) for parts in zip(*chosen, strict=True)))
        outcome = Objective(network)(stacked)
        (outcome.loss / 2).backward()
        losses.append(outcome.loss.item())
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                rate = config.lr * (1 if name.startswith("backbone.") else config.head_factor)
                parameter -= rate * parameter.grad
    return sum(losses) / 2, dict(network.named_parameters())


def test_two_processes_make_the_step_of_their_averaged_gradients(small, watch, local_ray):
    plain = {"optimizer": "sgd", "lr": 1e-6, "head_factor": 10, "momentum": 0, "weight_decay": 0}
    trainer, config, material = small(batch=4, epochs=1, devices=2, **plain)
    seen = watch()
    best = trainer.train(config, material, seen)
    assert best.is_file()
    assert seen.begun == (1, 0)
    loss, parameters = by_hand(config, material)
    assert seen.losses == pytest.approx([loss], rel=1e-4)
    trained = torch.load(config.out / CHECKPOINT, weights_only=True)["network"]
    first = dict(make_network(config).named_parameters())
    for name, expected in parameters.items():
        moved = (expected - first[name]).abs().max()
        assert (trained[name] - expected).abs().max() <= 1e-3 * moved + 1e-7, name
