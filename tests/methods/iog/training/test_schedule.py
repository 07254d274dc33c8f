"""Order of the samples, learning rates, and the checks of a configuration."""

import numpy as np
import pytest

from isegbench.harness.errors import UserError
from isegbench.harness.workflows.training import read_training
from isegbench.methods.iog.training.batches import Batches
from isegbench.methods.iog.training.config import IOGTraining
from isegbench.methods.iog.training.loop import make_network
from isegbench.methods.iog.training.schedule import factor, make_optimizer, set_rates


def test_an_epoch_is_every_instance_once_and_epochs_differ():
    batches = list(Batches(10, 5, 2, seed=3))
    assert len(batches) == 4
    for epoch in (0, 1):
        keys = [key for batch in batches[2 * epoch : 2 * epoch + 2] for key in batch]
        assert {key[0] for key in keys} == {epoch}
        assert sorted(key[1] for key in keys) == list(range(10))
    assert [k[1] for k in batches[0]] != [k[1] for k in batches[2]]
    assert list(Batches(10, 5, 2, seed=4)) != batches


def test_what_does_not_fill_a_batch_is_left_out():
    assert [len(batch) for batch in Batches(11, 4, 3, seed=0)] == [4] * 6


@pytest.mark.parametrize("first", range(7))
def test_a_resumed_order_is_the_rest_of_the_whole(first):
    whole = list(Batches(10, 4, 3, seed=0))
    rest = Batches(10, 4, 3, seed=0, first=first)
    assert list(rest) == whole[first:]
    assert len(rest) == len(whole) - first


def test_processes_share_each_batch():
    whole = list(Batches(12, 4, 2, seed=0))
    shares = [list(Batches(12, 4, 2, seed=0, rank=rank, processes=2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*shares, strict=True)] == whole


def test_rates():
    assert [factor(s, 10, "constant", 0) for s in (0, 9)] == [1, 1]
    assert factor(0, 10, "poly", 0) == 1
    assert factor(5, 10, "poly", 0) == pytest.approx(0.5**0.9)
    assert factor(5, 10, "cosine", 0) == pytest.approx(0.5)
    warm = [factor(step, 100, "cosine", 4) for step in range(5)]
    np.testing.assert_allclose(warm, [0.2, 0.4, 0.6, 0.8, 1])
    assert 0 < factor(99, 100, "cosine", 4) < 0.001


def test_heads_learn_ten_times_as_fast():
    values = {"datasets": ["-"], "backbone": "resnet18", "init": "scratch", "side": 64}
    config = IOGTraining.model_validate({"trainer": "iog", "out": "o", **values})
    network = make_network(config)
    optimizer = make_optimizer(network, "sgd", 1e-8, 10, 0.9, 5e-4)
    set_rates(optimizer, 0.5)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rates) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        expected = 5e-9 if name.startswith("backbone.") else 5e-8
        assert rates[id(parameter)] == pytest.approx(expected)


def test_defaults_are_the_released_values():
    minimal = {"trainer": "iog", "datasets": "voc", "out": "o"}
    config = IOGTraining.model_validate(minimal)
    assert (config.backbone, config.side, config.init) == ("resnet101", 512, "imagenet")
    assert (config.epochs, config.batch, config.snapshot_every) == (100, 5, 10)
    assert (config.optimizer, config.momentum, config.weight_decay) == ("sgd", 0.9, 5e-4)
    assert (config.lr, config.head_factor, config.schedule) == (1e-8, 10, "constant")
    assert (config.flip, config.rotation, config.scale) == (0.5, 20, (0.75, 1.25))
    refining = IOGTraining.model_validate({**minimal, "network": "iog-refine"})
    assert refining.batch == 2


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("epoch = 3", r"t\.toml:4: unknown key 'epoch': did you mean 'epochs'"),
        ("side = 100", r"t\.toml:4: side = 100: .*multiple of 16"),
        ("scale = [1.2, 0.8]", r"t\.toml:4: scale = .*smaller one first"),
        ('network = "iogg"', r"t\.toml:4: network = 'iogg'"),
        ("batch = 1", r"t\.toml:4: batch = 1: .*greater than or equal to 2"),
        ("devices = 2", r"t\.toml:4: devices = 2: .*equal share, at least 2, of batch = 5"),
        ('trainer = "dextr"', "not valid TOML"),
    ],
)
def test_errors_name_the_line_of_the_key(tmp_path, line, complaint):
    path = tmp_path / "t.toml"
    path.write_text(f'trainer = "iog"\ndatasets = "samples"\nout = "o"\n{line}\n')
    with pytest.raises(UserError, match=complaint):
        read_training(path)
