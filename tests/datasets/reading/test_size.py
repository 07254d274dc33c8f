import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from isegbench.datasets.reading.decode import (
    decode_any_colour,
    decode_image,
    decode_threshold,
    read_indices,
)
from isegbench.datasets.reading.size import MAX_PIXELS, upright_size
from isegbench.harness.errors import DataError


def png_claiming(width: int, height: int) -> bytes:
    """A PNG file of a few bytes whose header claims a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(200_000, 200_000), (30_000, 30_000), (11_586, 11_586)])
@pytest.mark.parametrize(
    "decode", [decode_image, decode_any_colour, decode_threshold, read_indices]
)
def test_a_small_file_of_a_huge_image_is_refused(size, decode):
    assert size[0] * size[1] > MAX_PIXELS
    with pytest.raises(DataError, match="too large"):
        decode(png_claiming(*size))


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_header_s_size_is_that_of_the_decoded_image(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (40, 30)).save(tmp_path / "x.jpg", exif=exif)
    data = (tmp_path / "x.jpg").read_bytes()
    assert upright_size(tmp_path / "x.jpg") == decode_image(data).shape[:2]


def test_what_is_no_image_has_no_size(tmp_path):
    (tmp_path / "x.png").write_bytes(b"no image")
    assert upright_size(tmp_path / "x.png") is None


def test_other_images_are_still_decoded():
    for mode in ("CMYK", "L", "RGB"):
        buffer = BytesIO()
        Image.new(mode, (40, 30)).save(buffer, "JPEG")
        assert decode_image(buffer.getvalue()).shape == (30, 40, 3)
    _, sixteen = cv2.imencode(".png", np.full((30, 40), 40_000, np.uint16))
    assert decode_image(sixteen.tobytes()).shape == (30, 40, 3)
