"""The random changes, against SciPy's and against what they mean."""

import numpy as np
import pytest
from scipy import ndimage

from isegbench.methods.iog.training.augmentation import Augmentation, Layers, augmented, turned


def layers(height=60, width=80, seed=0):
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.uniform(0, 255, (height, width, 3)), (3, 3, 0))
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot((rows - 28.3) / 15, (columns - 44.6) / 22)
    mask, void = away <= 1, (away > 1) & (away <= 1.2)
    return Layers(image.astype(np.float32), mask.astype(np.float32), void.astype(np.float32))


def scipy_turned(values, angle, scale, order):
    """Rotated against the clock (y down) and enlarged about the centre, by SciPy."""
    height, width = values.shape[:2]
    radians = np.deg2rad(angle)
    cos, sin = np.cos(radians) / scale, np.sin(radians) / scale
    # Where a pixel (y, x) of the result comes from: the inverse of the turn.
    inverse = np.array([[cos, sin], [-sin, cos]])
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    offset = centre - inverse @ centre
    return ndimage.affine_transform(values, np.column_stack([inverse, offset]), order=order)


@pytest.mark.parametrize(("angle", "scale"), [(20, 1.25), (-13, 0.75), (7, 1), (0, 1.13)])
def test_turning_agrees_with_scipy(angle, scale):
    before = layers()
    after = turned(before, angle, scale)
    for name in ("mask", "void"):
        expected = scipy_turned(getattr(before, name), angle, scale, order=0)
        got = getattr(after, name)
        assert set(np.unique(got)) <= {0, 1}
        # The nearest pixel of a tie, and OpenCV's coordinates of 1/32 pixel, decide few.
        assert (got != expected).mean() < 0.005
    inner = (slice(15, 45), slice(20, 60))
    for channel in range(3):
        expected = scipy_turned(before.image[..., channel], angle, scale, order=3)
        difference = np.abs(after.image[..., channel] - expected)[inner]
        # Two cubic kernels on a smooth image.
        assert difference.max() < 2


def test_a_quarter_turn_is_exact():
    before = layers(61, 61)
    after = turned(before, 90, 1)
    np.testing.assert_array_equal(after.mask, np.rot90(before.mask))
    np.testing.assert_allclose(after.image, np.rot90(before.image), atol=1e-3)


def test_nothing_to_do_changes_nothing():
    before = layers()
    still = augmented(before, Augmentation(0, 0, (1, 1)), np.random.default_rng(0))
    np.testing.assert_array_equal(still.image, before.image)
    mirrored = augmented(before, Augmentation(1, 0, (1, 1)), np.random.default_rng(0))
    np.testing.assert_array_equal(mirrored.image, before.image[:, ::-1])
    np.testing.assert_array_equal(mirrored.mask, before.mask[:, ::-1])
    np.testing.assert_array_equal(mirrored.void, before.void[:, ::-1])


def test_the_draws_cover_their_ranges():
    """A disc's area tells the scale, a bar's direction the angle, a corner the mirror."""
    side = 101
    rows, columns = np.mgrid[:side, :side] - side // 2
    disc = Layers(
        np.zeros((side, side, 3), np.float32),
        (np.hypot(rows, columns) <= 25).astype(np.float32),
        ((np.abs(rows) < 2) & (columns > 0) & (columns < 28)).astype(np.float32),
    )
    scales, angles, mirrored = [], [], []
    for seed in range(300):
        after = augmented(disc, Augmentation(), np.random.default_rng(seed))
        scales.append(np.sqrt(after.mask.sum() / disc.mask.sum()))
        y, x = np.argwhere(after.void).mean(axis=0) - side // 2
        mirrored.append(x < 0)
        angles.append(np.rad2deg(np.arctan2(-y * np.sign(x), abs(x))))
    assert 0.74 < min(scales) < 0.77
    assert 1.23 < max(scales) < 1.26
    assert 18 < max(angles) < 21
    assert -21 < min(angles) < -18
    assert 0.4 < np.mean(mirrored) < 0.6
    assert abs(np.corrcoef(scales, angles)[0, 1]) < 0.2
