import json

import numpy as np
import pytest
import torch
from formula import formula_state
from golden_runs import GOLDENS, rerun, write_checkpoint

from isegbench.harness.errors import UserError
from isegbench.harness.method import Session
from isegbench.harness.registry import methods
from isegbench.harness.simulators.largest_error import LargestError
from isegbench.harness.types import Click
from isegbench.methods.click_networks.ritm import RITM

SMALL = "ritm_hrnet18s"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """`checkpoint(model)`: the path of a golden model's checkpoint."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def write(model=SMALL):
        path = folder / f"{model}.pth"
        return str(path if path.exists() else write_checkpoint(GOLDENS / model, path))

    return write


def check(checkpoint, shared, model, count=None, clicks=None):
    rows = json.loads(shared("goldens", model, "e2e_NoBRS.json").read_text())["rows"][:count]
    clicks = clicks or len(rows[0]["clicks"])
    method = RITM(checkpoint(model), device="cpu")
    results = rerun(method, LargestError(), rows, shared("data"), clicks=clicks)
    for golden in results:
        print(f"{model} {golden.name}: {golden.same}/{clicks} agree, {golden.iou_error():.1e}")
    for golden in results:
        assert golden.clicks == golden.expected_clicks, golden.name
        assert golden.iou_error(solid=True) < 1e-4
        assert golden.iou_error() < 1e-3


@pytest.mark.slow
def test_it_repeats_the_released_clicks(checkpoint, shared):
    check(checkpoint, shared, SMALL, count=2, clicks=4)


@pytest.mark.goldens
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("model", ["ritm_hrnet18s", "ritm_hrnet18", "ritm_hrnet32"])
def test_whole_evaluations(checkpoint, shared, model):
    check(checkpoint, shared, model)


def session_of(size, seed, previous=True):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
    clicks = (Click(40, 60, "positive"), Click(70, 20, "negative"))
    rows, columns = np.mgrid[: size[0], : size[1]]
    blob = np.exp(-((rows - 40) ** 2 + (columns - 60) ** 2) / 900).astype(np.float32)
    return Session(image, clicks, previous=blob if previous else None)


def test_a_batch_gives_what_one_at_a_time_gives(checkpoint):
    method = RITM(checkpoint(), device="cpu", zoom_target=128)

    def sessions():
        # A torch map and an array are the same previous prediction; one session has none.
        made = [session_of((100, 120), 1), session_of((100, 120), 2)]
        made[1].previous = torch.from_numpy(made[1].previous)
        for session in made:
            method.begin(session)
        return made

    batch = sessions()
    assert len({method.batch_key(session) for session in batch}) == 1
    together = method.predict(batch)
    for session, expected in zip(sessions(), together, strict=True):
        (alone,) = method.predict([session])
        torch.testing.assert_close(alone, expected, atol=1e-5, rtol=0)


def test_it_looks_at_its_previous_mask(checkpoint):
    method = RITM(checkpoint(), device="cpu", zoom=False)
    maps = []
    for previous in (True, False):
        session = session_of((100, 120), 1, previous)
        method.begin(session)
        maps.append(method.predict([session])[0])
    assert not torch.allclose(*maps, atol=1e-2)


def with_config(tmp_path, **changes):
    """A checkpoint whose config differs; its weights, by formula, are of the network it names."""
    from isegbench.methods.nets.isegm_models import ritm_network

    config = json.loads((GOLDENS / SMALL / "config.json").read_text())
    for key, value in changes.items():
        config["params"][key] = {"type": "builtin", "value": value, "specified": True}
    state = formula_state(GOLDENS / SMALL)
    own = ritm_network(config).state_dict()
    state = {
        key: state[key] if key in state and state[key].shape == value.shape else value
        for key, value in own.items()
    }
    path = tmp_path / "changed.pth"
    torch.save({"state_dict": state, "config": config}, path)
    return str(path)


@pytest.mark.parametrize("rgb_conv", [False, True])
def test_models_without_a_previous_mask_ignore_it(tmp_path, rgb_conv):
    path = with_config(tmp_path, with_prev_mask=False, use_rgb_conv=rgb_conv)
    method = RITM(path, device="cpu", zoom=False)
    maps = []
    for previous in (True, False):
        session = session_of((64, 90), 1, previous)
        method.begin(session)
        maps.append(method.predict([session])[0])
    assert torch.equal(*maps)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGB-BRS", "DistMap-BRS", "f-BRS-A", "f-BRS-C"])
def test_brs_goes_on_top(checkpoint, mode):
    """It lowers the error around the clicks; without flips, that is what it minimises."""
    errors = []
    for chosen in ("NoBRS", mode):
        method = RITM(checkpoint(), mode=chosen, device="cpu", zoom=False, flip=False)
        session = session_of((100, 120), 3)
        method.begin(session)
        (probabilities,) = method.predict([session])
        (py, px), (ny, nx) = (click.pixel for click in session.clicks)
        positive = probabilities[py - 1 : py + 2, px - 1 : px + 2]
        negative = probabilities[ny - 1 : ny + 2, nx - 1 : nx + 2]
        errors.append(float(((1 - positive) ** 2).mean() + (negative**2).mean()))
    assert errors[1] < errors[0]


def test_an_unknown_class_is_refused_and_never_imported(tmp_path):
    config = {"class": "os.path.Evil", "params": {}}
    torch.save({"state_dict": {"a": torch.ones(1)}, "config": config}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"os\.path\.Evil"):
        RITM(str(tmp_path / "evil.pth"), device="cpu")


@pytest.mark.parametrize(
    ("key", "value"),
    [("clicks_groups", [1, 2]), ("conv_extend", True), ("attention", "more")],
)
def test_a_configuration_that_cannot_be_built_is_refused(tmp_path, key, value):
    config = json.loads((GOLDENS / SMALL / "config.json").read_text())
    config["params"][key] = {"type": "builtin", "value": value, "specified": True}
    path = tmp_path / "odd.pth"
    torch.save({"state_dict": formula_state(GOLDENS / SMALL), "config": config}, path)
    with pytest.raises(UserError, match=key):
        RITM(str(path), device="cpu")


def test_a_config_that_does_not_match_its_weights_is_refused(tmp_path):
    config = json.loads((GOLDENS / SMALL / "config.json").read_text())
    config["params"]["small"]["value"] = False
    path = tmp_path / "mismatch.pth"
    torch.save({"state_dict": formula_state(GOLDENS / SMALL), "config": config}, path)
    with pytest.raises(UserError, match="missing"):
        RITM(str(path), device="cpu")


def test_a_bare_state_dict_is_refused(tmp_path):
    torch.save(formula_state(GOLDENS / SMALL), tmp_path / "bare.pth")
    with pytest.raises(UserError, match="'config' and 'state_dict'"):
        RITM(str(tmp_path / "bare.pth"), device="cpu")


def test_it_is_built_by_name(checkpoint):
    method = methods.build(f"ritm:weights={checkpoint()},device=cpu")
    assert (method.mode, method.opening, method.threshold) == ("NoBRS", "click", 0.49)


def test_it_says_how_its_authors_evaluate(checkpoint):
    said = "; ".join(RITM(checkpoint(), device="cpu").departures)
    for word in ("0.49", "mirrored", "400 pixels (600 on davis)"):
        assert word in said
    plain = RITM(checkpoint(), device="cpu", zoom=False, flip=False, threshold=0.5)
    assert plain.departures == ()
