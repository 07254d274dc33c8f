"""Samples against a slow, literal reading of how they are made."""

import cv2
import numpy as np
import torch
from scipy import ndimage

from isegbench.harness.types import instance_from_arrays
from isegbench.methods.iog.training.augmentation import Augmentation, Layers
from isegbench.methods.iog.training.samples import Samples, cropped

SIDE = 128


def instance(shape=(90, 120), box=(30, 70, 5, 60), seed=0):
    """An ellipse with a band of ignored pixels below it, on noise."""
    top, bottom, left, right = box
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    y, x = (top + bottom) / 2, (left + right) / 2
    inside = ((rows - y) / (bottom - y)) ** 2 + ((columns - x) / (right - x)) ** 2 <= 1
    mask = inside.astype(np.uint8)
    mask[bottom + 1 : bottom + 6] = 255
    image = np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)
    return instance_from_arrays("ellipses", "one", image, mask)


def literal_guidance(mask, side):
    """Two maps from a crop's (side, side) bool mask, pixel by pixel as the facts say."""
    scale = side / 512
    padded = np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1]
    inside = np.unravel_index(np.argmax(padded), mask.shape)
    ys, xs = np.nonzero(mask)
    reach = round(10 * scale)
    y1, x1 = max(ys.min() - reach, 0), max(xs.min() - reach, 0)
    y2, x2 = min(ys.max() + reach, side), min(xs.max() + reach, side)
    rows, columns = np.mgrid[:side, :side]

    def bump(y, x):
        squared = (rows - y) ** 2 + (columns - x) ** 2
        return np.exp(-4 * np.log(2) * squared / (10 * scale) ** 2)

    outside = np.max([bump(y, x) for y in (y1, y2) for x in (x1, x2)], axis=0)
    both = np.stack([bump(*inside), outside]).astype(np.float32)
    return 255 * (both - both.min()) / (both.max() - both.min() + 1e-10)


def test_a_sample_without_augmentation_is_the_padded_crop():
    ref = instance()
    loaded = ref.load()
    sample = Samples([ref], SIDE, None)[(0, 0)]
    ys, xs = np.nonzero(loaded.mask == 1)
    margin = 30
    padded = np.pad(loaded.image, ((margin, margin), (margin, margin), (0, 0)))
    window = (
        slice(ys.min(), ys.max() + 1 + 2 * margin),
        slice(xs.min(), xs.max() + 1 + 2 * margin),
    )
    size = (SIDE, SIDE)
    image = cv2.resize(padded[window].astype(np.float32), size)
    np.testing.assert_allclose(sample.input[:3].numpy(), image.transpose(2, 0, 1), atol=1e-3)
    for value, tensor in ((1, sample.mask), (255, sample.void)):
        layer = np.pad((loaded.mask == value).astype(np.float32), margin)[window]
        np.testing.assert_allclose(tensor[0].numpy(), cv2.resize(layer, size), atol=1e-6)
    expected = literal_guidance(sample.mask[0].numpy() > 0.5, SIDE)
    np.testing.assert_allclose(sample.input[3:].numpy(), expected, atol=1e-3)


def test_without_an_inside_point_its_channel_is_empty():
    with_point = Samples([instance()], SIDE, None)[(0, 0)]
    without = Samples([instance()], SIDE, None, inside=False)[(0, 0)]
    assert with_point.input[3].max() > 254
    assert (without.input[3] == 0).all()
    torch.testing.assert_close(without.input[4], with_point.input[4], atol=1e-3, rtol=0)


def test_an_object_that_vanished_gives_zeros():
    nothing = Layers(
        np.full((20, 30, 3), 200, np.float32),
        np.zeros((20, 30), np.float32),
        np.zeros((20, 30), np.float32),
    )
    sample = cropped(nothing, SIDE)
    assert sample.input.shape == (5, SIDE, SIDE)
    assert all((tensor == 0).all() for tensor in sample)


def test_an_object_too_thin_for_the_crop_gives_empty_guidance():
    """Two single pixels far apart, between the points that shrinking looks at."""
    mask = np.zeros((1000, 1000), np.float32)
    mask[100, 100] = mask[899, 899] = 1
    thin = Layers(np.full((1000, 1000, 3), 200, np.float32), mask, np.zeros_like(mask))
    for inside in (True, False):
        sample = cropped(thin, 64, inside=inside)
        assert not (sample.mask > 0.5).any()
        assert (sample.input[3:] == 0).all()
        assert (sample.input[:3] > 0).any()


def test_a_sample_depends_on_its_key_and_the_seed_alone():
    refs = [instance(), instance(box=(10, 40, 30, 110), seed=1)]
    one = Samples(refs, SIDE, Augmentation(), seed=5)
    other = Samples(refs, SIDE, Augmentation(), seed=5, cache=True)
    for key in ((3, 1), (0, 0)):
        one[key]
    for key in ((0, 0), (3, 1), (0, 1), (3, 1)):
        for first, second in zip(one[key], other[key], strict=True):
            assert torch.equal(first, second)
    assert not torch.equal(one[(0, 0)].input, one[(1, 0)].input)
    changed = Samples(refs, SIDE, Augmentation(), seed=6)
    assert not torch.equal(one[(0, 0)].input, changed[(0, 0)].input)
