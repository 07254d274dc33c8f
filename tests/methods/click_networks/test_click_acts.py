"""A click acts where it was made, and with its sign, for every method that has a click network.

The networks are replaced by ones that draw the clicks they are given; what real ones make of them
is tested in tests/parity.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from isegbench.harness.method import Session
from isegbench.harness.types import Click
from isegbench.methods.click_networks.cdnet import CDNet
from isegbench.methods.click_networks.focalclick import FocalClick
from isegbench.methods.click_networks.segnext import SegNext
from isegbench.methods.click_networks.simpleclick import SimpleClick
from isegbench.methods.nets.cdnet import CDNet as CDNetwork
from isegbench.methods.nets.click_maps import disk_maps
from isegbench.methods.nets.click_network import ClickEncoding
from isegbench.methods.nets.focalclick import FocalSegFormer
from isegbench.methods.nets.segnext import SegNext as SegNextNetwork
from isegbench.methods.nets.simpleclick import SimpleClick as SimpleClickNetwork
from isegbench.methods.nets.vit import ViTShape

TINY = ViTShape(width=160, depth=4, heads=4, hidden=64, patch=16, grid=4)
DISKS = ClickEncoding(disks=True, radius=5)
SIZE = (120, 300)


def networks():
    """A small network of each method, as its checkpoint would make it."""
    torch.manual_seed(0)
    return {
        CDNet: CDNetwork(34, 128),
        FocalClick: FocalSegFormer("b0", DISKS),
        SimpleClick: SimpleClickNetwork(TINY, [8, 8, 8, 8], 8, DISKS),
        SegNext: SegNextNetwork(TINY, 2, 1, [8, 8, 8, 8], 8, DISKS),
    }


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    for kind, network in networks().items():
        torch.save(network.state_dict(), folder / f"{kind.__name__}.pth")
    return folder


class Drawing(nn.Module):
    """Logits that are high in wide disks about positive clicks, less so about negative ones."""

    sees_previous = True
    encoding = DISKS

    def drawn(self, points, size):
        maps = disk_maps(points, size, size[1] / 8)
        return 6 * maps[:, :1] - 12 * maps[:, 1:] - 3

    def forward(self, image, points):
        return self.drawn(points, image.shape[2:])

    def coarse(self, image, points):
        return self(image, points), image.new_zeros(len(image), 4, 16, 16)

    def refiner(self, image, points, features, coarse):
        return self.drawn(points, image.shape[2:]), torch.full_like(coarse, 9.0)

    def decode(self, features, previous, points):
        return self.drawn(points, previous.shape[2:])


def drawing(kind, checkpoints):
    method = kind(str(checkpoints / f"{kind.__name__}.pth"), device="cpu")
    stand_in = Drawing()
    if kind is SegNext:
        method.network.decode = stand_in.decode
    else:
        method.network = stand_in
    return method


def centre(mask):
    return np.argwhere(mask).mean(axis=0)


@pytest.mark.parametrize("kind", [CDNet, FocalClick, SimpleClick, SegNext])
def test_a_mask_is_about_the_positive_clicks_and_shrinks_under_a_negative_one(kind, checkpoints):
    method = drawing(kind, checkpoints)
    rng = np.random.default_rng(0)
    image = rng.integers(100, 110, (*SIZE, 3), dtype=np.uint8)
    session = Session(image, (Click(40, 220, "positive"),))
    method.begin(session)
    masks = []
    for click in (None, Click(40, 235, "negative")):
        if click is not None:
            session.clicks = (*session.clicks, click)
        (session.previous,) = method.predict([session])
        masks.append((session.previous > method.threshold).numpy())
    first, second = masks
    assert np.abs(centre(first) - (40, 220)).max() < 3
    assert first[40, 220]
    assert not first[110, 60]
    assert not second[40, 235]
    assert 0 < np.count_nonzero(second) < np.count_nonzero(first)


@pytest.mark.parametrize("kind", [CDNet, FocalClick, SimpleClick, SegNext])
def test_a_batch_of_unlike_images_gives_what_one_at_a_time_gives(kind, checkpoints):
    def sessions():
        rng = np.random.default_rng(1)
        made = []
        for size in ((60, 90), (80, 50)):
            image = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
            clicks = (Click(20, 30, "positive"), Click(50, 10, "negative"))
            blob = np.zeros(size, np.float32)
            blob[10:40, 15:45] = 0.9
            session = Session(image, clicks)
            method.begin(session)
            session.previous = blob
            made.append(session)
        return made

    options: dict[str, Any] = {} if kind is SegNext else {"side": 64}
    method = kind(str(checkpoints / f"{kind.__name__}.pth"), device="cpu", **options)
    batch = sessions()
    assert len({method.batch_key(session) for session in batch}) == 1
    together = method.predict(batch)
    for session, expected in zip(sessions(), together, strict=True):
        (alone,) = method.predict([session])
        assert alone.shape == session.shape
        torch.testing.assert_close(alone, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", [FocalClick, SimpleClick, SegNext])
def test_the_previous_mask_is_seen(kind, checkpoints):
    method = kind(str(checkpoints / f"{kind.__name__}.pth"), device="cpu")
    maps = []
    for seen in (False, True):
        session = Session(np.full((40, 60, 3), 90, np.uint8), (Click(10, 20, "positive"),))
        if kind is FocalClick and seen:
            session.previous = np.ones((40, 60), np.float32)
        method.begin(session)
        if seen:
            session.previous = np.ones((40, 60), np.float32)
        maps.append(method.predict([session])[0])
    assert not torch.allclose(*maps, atol=1e-4)
