import io

import cv2
import numpy as np
import pytest
from PIL import Image

from isegbench.datasets.reading.decode import (
    decode_any_colour,
    decode_image,
    decode_threshold,
    decode_trimap,
    object_ids,
    read_indices,
)
from isegbench.harness.errors import DataError


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
def test_image_is_what_imread_gives_in_rgb(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8))
    image = decode_image(path.read_bytes())
    expected = cv2.imread(str(path))
    assert expected is not None
    np.testing.assert_array_equal(image, expected[:, :, ::-1])
    assert image.flags.c_contiguous


def test_grey_16_bit_and_turned_images_are_what_imread_gives(tmp_path):
    values = np.random.default_rng(1).integers(0, 256, (12, 20), np.uint8)
    cv2.imwrite(str(tmp_path / "grey.png"), values)
    cv2.imwrite(str(tmp_path / "deep.png"), values.astype(np.uint16) * 256)
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: a quarter turn
    Image.fromarray(values).save(tmp_path / "turned.jpg", exif=turned)
    for name, shape in {
        "grey.png": (12, 20, 3),
        "deep.png": (12, 20, 3),
        "turned.jpg": (20, 12, 3),
    }.items():
        image = decode_image((tmp_path / name).read_bytes())
        assert image.shape == shape
        expected = cv2.imread(str(tmp_path / name))
        assert expected is not None
        np.testing.assert_array_equal(image, expected[:, :, ::-1])


@pytest.mark.parametrize("decode", [decode_image, decode_trimap, decode_any_colour, read_indices])
def test_nonsense_is_refused(decode):
    for data in (b"", b"\x89PNG\r\n\x1a\n", _png(Image.new("L", (9, 9)))[:40]):
        with pytest.raises(DataError):
            decode(data)


def test_threshold_and_ignore_on_every_value():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    data = cv2.imencode(".png", values)[1].tobytes()
    np.testing.assert_array_equal(decode_threshold(data), values > 0)
    mask = decode_threshold(data, threshold=127, ignore=128)
    np.testing.assert_array_equal(mask == 255, values == 128)
    np.testing.assert_array_equal(mask == 1, (values > 127) & (values != 128))


def test_threshold_keeps_16_bits_and_leaves_alpha_out():
    values = np.array([[0, 1, 300]], np.uint16)
    data = cv2.imencode(".png", values)[1].tobytes()
    assert decode_threshold(data).tolist() == [[0, 1, 1]]
    assert decode_threshold(data, ignore=300).tolist() == [[0, 1, 255]]
    colour = np.array([[[0, 0, 0, 255], [0, 9, 0, 0]]], np.uint8)
    assert decode_threshold(cv2.imencode(".png", colour)[1].tobytes()).tolist() == [[0, 1]]
    grey_alpha = Image.fromarray(np.array([[[0, 255], [7, 0]]], np.uint8), "LA")
    assert decode_threshold(_png(grey_alpha)).tolist() == [[0, 1]]


def test_indices_are_read_from_palettes_and_channels():
    indices = np.array([[0, 3, 3], [7, 0, 255]], np.uint8)
    palette = Image.fromarray(indices, mode="P")
    palette.putpalette([5] * 768)
    for image in (palette, Image.fromarray(indices)):
        np.testing.assert_array_equal(read_indices(_png(image)), indices)
    deep = indices.astype(np.uint16) * 200
    np.testing.assert_array_equal(read_indices(_png(Image.fromarray(deep))), deep)
    binary = Image.fromarray(indices > 3)
    np.testing.assert_array_equal(read_indices(_png(binary)), indices > 3)
    assert object_ids(indices) == [3, 7, 255]
    assert object_ids(indices, ignore=255) == [3, 7]
    with pytest.raises(DataError, match="RGB"):
        read_indices(_png(Image.new("RGB", (4, 4))))
