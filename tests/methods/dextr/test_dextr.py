import numpy as np
import pytest
import torch
from torch import nn

from isegbench.harness.errors import MethodError, SimulatorError, UserError
from isegbench.harness.method import Checkpoint, Session
from isegbench.harness.registry import methods, simulators
from isegbench.harness.simulators.openings import opening_clicks
from isegbench.harness.types import Click, Instance
from isegbench.methods.dextr import dextr
from isegbench.methods.dextr.dextr import DEXTR, MARGIN, crop_point, released_click


class Brightness(nn.Module):
    """Stands in for the network: bright pixels are object. One parameter, so it has a file."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, x):
        return nn.functional.avg_pool2d(x[:, :3].mean(1, keepdim=True) - 128, 8) * self.scale


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setenv("ISEGBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(dextr, "DEXTRNet", Brightness)
    torch.save({"module.scale": torch.tensor(0.2)}, tmp_path / "w.pth")
    return str(tmp_path / "w.pth")


def disc(y, x, radius, shape=(90, 120)):
    """A bright disc on dark noise."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    mask = (np.hypot(rows - y, columns - x) <= radius).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 40, (*shape, 3))
    image = (noise + 200 * mask[..., None]).astype(np.uint8)
    return Instance("discs", "disc", "disc", image, mask)


def session_of(instance, clicks=None):
    rng = np.random.default_rng(0)
    return Session(
        instance.image, tuple(clicks or opening_clicks("extreme-points", instance.mask, rng))
    )


def begun(method, session):
    method.begin(session)
    return session


@pytest.mark.parametrize("centre", [(45, 60), (5, 8), (85, 118)])
def test_the_map_lies_where_the_object_is(weights, centre):
    """Also for an object cut by the border, whose crop reaches far beyond it."""
    instance = disc(centre[0], centre[1], 20)
    method = methods.build(f"dextr:weights={weights}")
    session = begun(method, session_of(instance))
    (found,) = method.predict([session])
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    mask = found > method.threshold
    both = (mask & (instance.mask == 1)).sum() / (mask | (instance.mask == 1)).sum()
    assert both > 0.9


def test_nothing_outside_the_tight_box_is_object(weights):
    instance = disc(45, 60, 20)
    instance.image[:] = 255
    method = DEXTR(weights)
    (found,) = method.predict([begun(method, session_of(instance))])
    rows, columns = np.nonzero(found)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (25, 65, 40, 80)


@pytest.mark.parametrize("protocol", ["image", "released"])
def test_a_batch_gives_what_single_sessions_give(weights, protocol):
    method = DEXTR(weights, protocol=protocol)
    simulator = simulators.build("dextr-released" if protocol == "released" else "largest-error")
    sessions = []
    for place in ((30, 40, 9), (70, 90, 25, (100, 140)), (45, 60, 30)):
        instance = disc(*place)
        clicks = simulator.open(instance, "extreme-points", np.random.default_rng(0))
        sessions.append(begun(method, session_of(instance, clicks)))
    assert len({method.batch_key(session) for session in sessions}) == 1
    together = method.predict(sessions)
    for session, found in zip(sessions, together, strict=True):
        assert found.shape == session.shape
        np.testing.assert_allclose(found, method.predict([session])[0], atol=1e-5)


def test_the_input_is_the_crop_and_the_heat_of_the_points(weights):
    instance = disc(45, 60, 20)
    method = DEXTR(weights)
    session = begun(method, session_of(instance))
    x = session.memory["input"]
    assert x.shape == (4, 512, 512)
    side = 41 + 2 * MARGIN
    for click in session.clicks:
        row = int((click.y - 25 + MARGIN) * 512 / side)
        column = int((click.x - 40 + MARGIN) * 512 / side)
        assert x[3, row, column] == 255
    assert (x[3] == 255).sum() <= 4
    # The demo resizes 8-bit pixels: whole numbers.
    assert (x[:3] == x[:3].round()).all()
    assert x[0, 256, 256] > 190


def test_eight_bits_take_255_levels_only(weights):
    method = DEXTR(weights, protocol="released")
    instance = disc(45, 60, 20)
    clicks = simulators.build("dextr-released").open(instance, "extreme-points", None)
    (found,) = method.predict([begun(method, session_of(instance, clicks))])
    levels = found * 255
    np.testing.assert_allclose(levels, levels.round(), atol=1e-4)
    assert {0, 255} <= set(levels.round().ravel().tolist())


@pytest.mark.parametrize("point", [(1, 511), (255, 256), (256, 255), (300, 17)])
def test_a_released_click_tells_pixel_and_point_exactly(point):
    click = released_click((37, 4001), point)
    assert click.pixel == (37, 4001)
    assert crop_point(click) == point
    stored = Click(float(np.float32(click.y)), float(np.float32(click.x)), "extreme")
    assert crop_point(stored) == point


@pytest.mark.parametrize(
    "place", [(45, 60, 20), (5, 8, 20), (45, 60, 0), (700, 900, 600, (1400, 1800))]
)
def test_released_clicks_span_the_tight_box_and_lie_in_the_crop(place):
    """The last object is larger than the crop: resizing skips rows and columns."""
    instance = disc(*place)
    clicks = simulators.build("dextr-released").open(instance, "extreme-points", None)
    pixels = np.array([click.pixel for click in clicks])
    rows, columns = np.nonzero(instance.mask)
    assert pixels[:, 0].min() == rows.min()
    assert pixels[:, 0].max() == rows.max()
    assert pixels[:, 1].min() == columns.min()
    assert pixels[:, 1].max() == columns.max()
    points = np.array([crop_point(click) for click in clicks])
    assert points.min() > 0
    assert points.max() < 512
    assert points[0, 1] == points[:, 1].min()
    assert points[3, 0] == points[:, 0].max()


def test_ordinary_clicks_are_refused_by_the_released_protocol(weights):
    method = DEXTR(weights, protocol="released")
    with pytest.raises(MethodError, match="use the simulator dextr-released"):
        method.begin(session_of(disc(45, 60, 20)))


def test_other_openings_and_missing_points_are_refused(weights):
    with pytest.raises(SimulatorError, match="extreme-points only"):
        simulators.build("dextr-released").open(disc(45, 60, 20), "click", None)
    with pytest.raises(MethodError, match="needs 4 extreme points, got 1"):
        DEXTR(weights).begin(session_of(disc(45, 60, 20), [Click(1, 1, "extreme")]))


def test_weights_are_recorded_and_wrong_ones_refused(weights, tmp_path):
    used = DEXTR(weights).weights
    assert isinstance(used, Checkpoint)
    assert used.name == weights
    assert len(used.sha256) == 64
    torch.save({"encoder.weight": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth does not fit"):
        DEXTR(str(tmp_path / "other.pth"))
    with pytest.raises(UserError, match="did you mean 'dextr_coco'"):
        DEXTR("dextr_cocoo")


def test_it_is_found_by_name_and_predicts_once():
    factory = methods.factory("dextr")
    assert factory is DEXTR
    assert not DEXTR.corrections
    assert DEXTR.opening == "extreme-points"
    with pytest.raises(UserError, match="protocol='released2'"):
        methods.build("dextr:weights=x,protocol=released2")
