import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from isegbench.harness.errors import UserError
from isegbench.harness.method import Session
from isegbench.harness.registry import methods
from isegbench.harness.types import Click
from isegbench.methods.forte import forte
from isegbench.methods.forte.forte import (
    Forte,
    click_maps,
    clicked_map,
    keep_clicked,
    resized_size,
)


class Echo(nn.Module):
    """Stands in for the network: the brightness of the picture plus the previous mask."""

    def __init__(self):
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.5))
        self.shapes = []

    def forward(self, image, maps, previous, clicked):
        self.shapes.append([tuple(x.shape) for x in (image, maps, previous, clicked)])
        bright = (image[:, :1] * 0.229 + 0.485).clamp(0, 1)
        return (self.share * bright + (1 - self.share) * previous).clamp(0, 1)


@pytest.fixture
def method(tmp_path, monkeypatch):
    monkeypatch.setattr(forte, "ForteNet", Echo)
    torch.save({"share": torch.tensor(0.8)}, tmp_path / "w.pth")
    return methods.build(f"forte:weights={tmp_path / 'w.pth'},device=cpu")


def test_sides_are_rounded_up_to_32():
    assert resized_size((32, 33)) == (32, 64)
    assert resized_size((1, 480)) == (32, 480)


def test_equal_to_a_half_is_object():
    half, below = np.float32(0.5), np.nextafter(np.float32(0.5), np.float32(0))
    assert (np.array([half, below]) > Forte.threshold).tolist() == [True, False]
    assert (torch.tensor([half, below]) > Forte.threshold).tolist() == [True, False]


def test_click_maps_are_gaussians_of_the_exact_distance():
    clicked = np.zeros((40, 64, 2), np.float32)
    clicked[3, 5, 1] = clicked[30, 60, 1] = 1
    found = click_maps(clicked)
    assert (found[..., :3] == 0).all()
    distance = np.asarray(ndimage.distance_transform_edt(clicked[..., 1] == 0))
    for index, scale in enumerate((0.02, 0.08, 0.16)):
        expected = np.exp(-(distance**2) / (2 * (scale * 352) ** 2))
        np.testing.assert_allclose(found[..., 3 + index], expected, atol=1e-6)


def test_only_regions_with_a_positive_click_are_kept():
    opacity = np.zeros((5, 9), np.float32)
    opacity[:2, :2] = 0.9
    opacity[2, 2] = 0.6  # touches by a corner
    opacity[:, 6] = 0.8
    opacity[4, 0] = 0.4
    clicked = np.zeros((5, 9, 2), np.float32)
    np.testing.assert_array_equal(keep_clicked(opacity, clicked), opacity)
    clicked[0, 0, 1] = 1
    clicked[0, 6, 0] = 1
    expected = opacity.copy()
    expected[:, 6] = expected[4, 0] = 0
    np.testing.assert_array_equal(keep_clicked(opacity, clicked), expected)


def test_a_prediction_has_the_image_size_and_obeys_the_clicks(method):
    rng = np.random.default_rng(0)
    image = rng.integers(120, 256, (45, 70, 3), np.uint8)
    clicks = (Click(10, 20, "positive"), Click(40.4, 60.2, "negative"))
    session = Session(image, clicks)
    method.begin(session)
    (found,) = method.predict([session])
    assert found.shape == (45, 70)
    assert found.dtype == np.float32
    assert found[10, 20] == 1
    assert found[40, 60] == 0
    assert method.network.shapes == [
        [(1, 3, 64, 96), (1, 6, 64, 96), (1, 1, 64, 96), (1, 2, 64, 96)]
    ]
    regions = np.empty(found.shape, int)
    ndimage.label(found > 0.5, np.ones((3, 3)), regions)
    assert set(np.unique(regions)) == {0, regions[10, 20]}


def test_the_previous_map_comes_back_and_grouping_changes_nothing(method):
    image = np.full((32, 32, 3), 200, np.uint8)
    sessions = []
    for previous in (None, np.ones((32, 32), np.float32)):
        session = Session(image, (Click(3, 3, "positive"),), previous=previous)
        method.begin(session)
        sessions.append(session)
    first, second = method.predict(sessions)
    assert second.mean() - first.mean() == pytest.approx(0.2, abs=0.01)
    np.testing.assert_array_equal(second, method.predict_one(sessions[1]))


def test_clicks_become_two_planes():
    session = Session(
        np.zeros((4, 5, 3), np.uint8), (Click(0, 1, "negative"), Click(3, 4, "positive"))
    )
    found = clicked_map(session)
    assert found[0, 1].tolist() == [1, 0]
    assert found[3, 4].tolist() == [0, 1]
    assert found.sum() == 2


def test_a_checkpoint_of_another_system_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ISEGBENCH_CACHE", str(tmp_path))
    torch.save({"backbone.weight": torch.ones(3)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"(?s)does not fit ForteNet.*another architecture"):
        Forte(str(tmp_path / "w.pth"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")  # Google is not asked
    with pytest.raises(UserError, match=r"drive\.google\.com.*weights add forte_r50 FILE"):
        Forte("forte_r50")
