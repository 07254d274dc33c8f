import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from isegbench.datasets.reading.decode import decode_image, read_indices
from isegbench.datasets.reading.truncation import check_complete
from isegbench.harness.errors import DataError

PICTURE = np.random.default_rng(0).integers(0, 256, (33, 47, 3), np.uint8)


def _encode(kind: str) -> bytes:
    if kind.endswith("opencv"):
        return cv2.imencode(f".{kind.split('-')[0]}", PICTURE)[1].tobytes()
    buffer = io.BytesIO()
    image = Image.fromarray(PICTURE)
    if kind == "jpeg-progressive":
        image.save(buffer, "jpeg", progressive=True)
    elif kind == "jpeg-with-thumbnail":
        # A whole JPEG inside a comment segment, as cameras keep a preview.
        whole, preview = io.BytesIO(), io.BytesIO()
        image.save(whole, "jpeg")
        image.resize((8, 8)).save(preview, "jpeg")
        comment = preview.getvalue()
        length = (len(comment) + 2).to_bytes(2, "big")
        return whole.getvalue()[:2] + b"\xff\xfe" + length + comment + whole.getvalue()[2:]
    elif kind == "bmp-palette":
        image.quantize(16).save(buffer, "bmp")
    else:
        image.quantize(16).save(buffer, "png")
    return buffer.getvalue()


KINDS = ("jpg-opencv", "png-opencv", "bmp-opencv", "jpeg-progressive", "jpeg-with-thumbnail")
ENCODED = {kind: _encode(kind) for kind in (*KINDS, "bmp-palette", "png-palette")}


@pytest.mark.parametrize("kind", ENCODED)
def test_whole_files_pass_with_or_without_trailing_bytes(kind):
    check_complete(ENCODED[kind])
    check_complete(ENCODED[kind] + b"\0" * 7)


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(sorted(ENCODED)), part=st.floats(0, 1))
def test_a_truncated_file_is_refused_or_has_all_its_pixels(kind, part):
    """PNG ends with 12 bytes, and BMP with padding, that no pixel needs."""
    data = ENCODED[kind]
    kept = data[: min(int(part * len(data)), len(data) - 1)]
    for decode in (decode_image, read_indices):
        try:
            whole = decode(data)
        except DataError:  # a colour image is no index mask
            continue
        try:
            found = decode(kept)
        except DataError:
            continue
        assert not kind.startswith("jp")
        np.testing.assert_array_equal(found, whole)


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from([kind for kind in ENCODED if kind.startswith("jp")]), part=st.floats(0, 1)
)
def test_every_truncated_jpeg_is_named_so(kind, part):
    data = ENCODED[kind]
    kept = data[: min(int(part * len(data)), len(data) - 1)]
    if len(kept) >= 2:  # less is not recognised as a JPEG
        with pytest.raises(DataError, match="truncated"):
            check_complete(kept)


def test_empty_and_unknown():
    with pytest.raises(DataError, match="empty"):
        check_complete(b"")
    check_complete(b"RIFF of another format")  # left to its decoder


def test_real_files_are_whole(shared):
    files = [p for name in ("GrabCut", "Berkeley") for p in shared("data", name).rglob("*.*")]
    assert len(files) >= 300
    for file in files:
        check_complete(file.read_bytes())
