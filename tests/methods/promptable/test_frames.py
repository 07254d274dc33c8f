import numpy as np
import pytest
import torch
from PIL import Image

from isegbench.methods.promptable.frames import PaddedFrame, RoundedSquareFrame, SquareFrame


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (30, 47, 3), dtype=np.uint8)


def test_sam_keeps_proportions_rounds_to_bytes_and_pads(image):
    pixels = PaddedFrame(64).pixels(image)
    assert pixels.shape == (1, 3, 64, 64)
    resized = Image.fromarray(image).resize((64, 41), Image.Resampling.BILINEAR)
    expected = (np.asarray(resized) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(pixels[0, :, :41].permute(1, 2, 0), expected, atol=1e-5)
    assert not pixels[0, :, 41:].any()


def test_sam_2_stretches_and_does_not_round(image):
    """transformers' processor resizes in 8 bits; the original does not."""
    found = SquareFrame(64).pixels(image)[0]
    mean = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1)
    std = torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)
    levels = (found * std + mean) * 255
    for channel in range(3):
        plane = Image.fromarray(image[..., channel].astype(np.float32))
        expected = np.asarray(plane.resize((64, 64), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(levels[channel], expected, atol=2e-3)
    assert (levels - levels.round()).abs().max() > 0.4


def test_sam_3_rounds_to_bytes(image):
    levels = (RoundedSquareFrame(56).pixels(image) / 2 + 0.5) * 255
    np.testing.assert_allclose(levels, levels.round(), atol=1e-3)
    assert levels.min() >= -1e-3
    assert levels.max() <= 255.001


@pytest.mark.parametrize("shape", [(30, 47), (47, 30), (64, 64), (200, 100)])
def test_points_are_scaled_as_the_image_is(shape):
    corner = np.array([(shape[1], shape[0])], float)
    padded = PaddedFrame(64)
    height, width = padded.inner(shape)
    assert max(height, width) == 64
    assert padded.coordinates(corner, shape).tolist() == [[width, height]]
    assert SquareFrame(64).coordinates(corner, shape).tolist() == [[64, 64]]
    assert padded.coordinates(corner, shape).dtype == np.float32


def test_masks_come_back_to_where_the_image_was():
    """The lower half of the padded input holds no image."""
    logits = torch.full((1, 16, 16), -1.0)
    logits[:, :4, :8] = 1
    found = PaddedFrame(64).in_image(logits, (50, 100))[0] > 0
    assert found[:24, :49].all()
    assert not found[26:].any()
    assert not found[:, 51:].any()
    square = SquareFrame(64).in_image(logits, (50, 100))[0] > 0
    assert square.sum() == pytest.approx(50 * 100 / 8, rel=0.1)
