import os
import pickle
import sys
import types

import pytest
import torch
from torch import nn

from isegbench.harness.errors import UserError
from isegbench.methods.nets.dilated_resnet import DilatedResNet
from isegbench.methods.runtime.checkpoint_file import fit, load_checkpoint, load_state


class Evil:
    """Writes a file when unpickled; what a malicious checkpoint would do."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.fixture
def state():
    return {"a.weight": torch.randn(40, 50), "a.bias": torch.arange(3.0)}


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_torchs_formats_give_their_tensors(tmp_path, state, new):
    file = tmp_path / "w.pth"
    torch.save(state, file, _use_new_zipfile_serialization=new)
    loaded = load_checkpoint(file)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_a_modules_own_state_with_its_metadata_is_read(tmp_path, new):
    module = nn.BatchNorm2d(3)
    torch.save(module.state_dict(), tmp_path / "w.pth", _use_new_zipfile_serialization=new)
    fit(nn.BatchNorm2d(3), load_state(tmp_path / "w.pth"))


def test_the_prefix_of_several_devices_is_removed_inside_too(tmp_path, state):
    prefixed = {f"module.{key}": value for key, value in state.items()}
    torch.save(prefixed, tmp_path / "bare.pth")
    assert load_state(tmp_path / "bare.pth").keys() == state.keys()
    torch.save({"state_dict": prefixed, "config": {"class": "x"}}, tmp_path / "w.pth")
    assert load_state(tmp_path / "w.pth").keys() == state.keys()
    assert load_checkpoint(tmp_path / "w.pth")["config"] == {"class": "x"}
    # Only when all keys have it: a network may have a part called "module".
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "part.pth")
    assert load_state(tmp_path / "part.pth").keys() == {"module.a", "b"}


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused_as_such(tmp_path, state, new, kept):
    file = tmp_path / "w.pth"
    torch.save(state, file, _use_new_zipfile_serialization=new)
    data = file.read_bytes()
    file.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(UserError, match=r"w\.pth is truncated"):
        load_checkpoint(file)


def test_a_flipped_bit_is_found(tmp_path, state):
    file = tmp_path / "w.pth"
    torch.save(state, file)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(UserError, match="is damaged: the checksum"):
        load_checkpoint(file)


@pytest.mark.parametrize(
    "save",
    [
        lambda content, file: torch.save(content, file),
        lambda content, file: torch.save(content, file, _use_new_zipfile_serialization=False),
        lambda content, file: file.write_bytes(pickle.dumps(content, protocol=0)),
        lambda content, file: file.write_bytes(pickle.dumps(content, protocol=4)),
    ],
    ids=["zip", "legacy", "pickle0", "pickle4"],
)
def test_pickled_code_is_refused_by_name_and_never_runs(tmp_path, save):
    made = tmp_path / "made by the checkpoint"
    file = tmp_path / "w.pth"
    save({"a": Evil(made)}, file)
    with pytest.raises(UserError, match=rf"refused.*{os.name}\.mkdir would be called"):
        load_checkpoint(file)
    assert not made.exists()


def test_the_malicious_pickle_would_have_run(tmp_path):
    pickle.loads(pickle.dumps(Evil(tmp_path / "made")))
    assert (tmp_path / "made").exists()


def test_a_pickled_module_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"refused.*Linear"):
        load_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Virus scan warning</html>", "is a web page"),
        (b"hello world" * 99, "damaged, or another kind of file"),
        (bytes(range(256)) * 9, "damaged, or another kind of file"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, content, problem):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(UserError, match=problem):
        load_checkpoint(tmp_path / "w.pth")


def test_a_missing_file_a_list_and_values_that_are_not_finite(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_checkpoint(tmp_path / "w.pth")
    torch.save([torch.ones(1)], tmp_path / "w.pth")
    with pytest.raises(UserError, match="holds a list"):
        load_checkpoint(tmp_path / "w.pth")
    torch.save({"config": {}}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="no tensors"):
        load_state(tmp_path / "w.pth")
    torch.save({"state_dict": {"a": torch.tensor([1.0, torch.nan])}}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="a holds values that are not finite"):
        load_checkpoint(tmp_path / "w.pth")


def test_fit_copies_and_tolerates_missing_batch_counters():
    source, target = DilatedResNet(18), DilatedResNet(18)
    state = source.state_dict()
    counters = [key for key in state if key.endswith("num_batches_tracked")]
    assert counters
    for key in counters:
        del state[key]
    fit(target, state)
    assert all(torch.equal(target.state_dict()[key], value) for key, value in state.items())


def test_the_difference_is_readable():
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    state = module.state_dict()
    state["0.weights"] = state.pop("0.weight")
    state["1.weight"] = torch.ones(4, 3)
    with pytest.raises(UserError) as caught:
        fit(module, state, what="w.pth")
    text = str(caught.value)
    assert "w.pth does not fit Sequential" in text
    assert "1 of 8 keys missing: 0.weight" in text
    assert "1 unexpected: 0.weights" in text
    assert "1.weight is 4x3, must be 3x3" in text


def test_a_tolerant_fit_reports_what_it_left_but_never_takes_other_shapes():
    module = nn.Linear(2, 3)
    report = fit(module, {"weight": torch.ones(3, 2), "aux.bias": torch.ones(1)}, strict=False)
    assert report.missing == ("bias",)
    assert report.unexpected == ("aux.bias",)
    assert (module.weight == 1).all()
    with pytest.raises(UserError, match="of another shape"):
        fit(module, {"weight": torch.ones(2, 3)}, strict=False)


def test_keys_to_ignore_are_skipped():
    module = nn.Linear(2, 3)
    fit(module, {**module.state_dict(), "aux.bias": torch.ones(1)}, ignore=("aux.",))


def test_another_architecture_is_guessed():
    with pytest.raises(UserError, match=r"another depth: layer3 has 2 blocks, not 6"):
        fit(DilatedResNet(34), DilatedResNet(18).state_dict())
    other = {"trunk.weight": torch.ones(1), "head.weight": torch.ones(1)}
    with pytest.raises(UserError, match=r"another architecture.*head, trunk"):
        fit(nn.Linear(2, 3), other)


def test_named_classes_of_the_release_become_placeholders(tmp_path):
    """SimpleClick's checkpoints hold an instance of its loss; its package is not here."""
    path = tmp_path / "with_loss.pth"
    module = types.ModuleType("isegm_stand_in.loss")

    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.criterion = cross_entropy
            self.weight = 1.0

    def cross_entropy():
        raise AssertionError("called")

    for thing in (Loss, cross_entropy):
        thing.__module__ = module.__name__
        thing.__qualname__ = thing.__name__
        setattr(module, thing.__name__, thing)
    package = types.ModuleType("isegm_stand_in")
    sys.modules.update({"isegm_stand_in": package, module.__name__: module})
    try:
        content = {"state_dict": {"a": torch.ones(2)}, "config": {"loss": Loss(), "depth": 3}}
        torch.save(content, path)
    finally:
        del sys.modules["isegm_stand_in"], sys.modules[module.__name__]
    with pytest.raises(UserError, match=r"isegm_stand_in\.loss\.\w+ would be called"):
        load_checkpoint(path)
    checkpoint = load_checkpoint(path, unread="isegm_stand_in.")
    assert torch.equal(checkpoint["state_dict"]["a"], torch.ones(2))
    assert checkpoint["config"]["depth"] == 3
    with pytest.raises(UserError, match="would be called"):
        load_checkpoint(path, unread="another.")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.empty(3, device="meta"), "meta device"),
        (lambda: nn.Parameter(torch.empty(3, device="meta")), "meta device"),
        (lambda: torch.eye(3).to_sparse(), "sparse or quantized"),
        (lambda: torch.eye(3).to_sparse_csr(), "sparse or quantized"),
        (lambda: torch.ones(1).expand(10**12), "the file holds fewer"),
        (lambda: torch.full((3,), float("nan"), dtype=torch.complex64), "not finite"),
        (lambda: torch.tensor([1.0, float("inf")], dtype=torch.float16), "not finite"),
    ],
)
@pytest.mark.parametrize("place", [lambda t: {"a": t}, lambda t: {"state_dict": {"a": t}}])
def test_tensors_that_cannot_be_used_are_refused(tmp_path, make, message, place):
    torch.save(place(make()), tmp_path / "w.pth")
    with pytest.raises(UserError, match=message):
        load_checkpoint(tmp_path / "w.pth")
