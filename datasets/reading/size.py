"""The size of an image: read from a file's header, and checked before anything is decoded."""

import io
from pathlib import Path
from typing import Any, BinaryIO

from ...harness.errors import DataError

#: Larger images are refused: as RGB they take 400 MB, and a few bytes of PNG can claim any size.
MAX_PIXELS = 2**27
#: Annotations of a larger image are compared with the image's header before they are decoded.
LARGE_PIXELS = 2**24


def is_size(height: Any, width: Any) -> bool:
    """Whether both are whole numbers above 0, as a file of an image can hold them."""
    return all(type(side) is int and 0 < side < 2**32 for side in (height, width))


def check_size(height: int, width: int) -> None:
    """Raise DataError for an image of more than MAX_PIXELS."""
    if height * width > MAX_PIXELS:
        raise DataError(
            f"an image of {width}x{height} pixels is too large: at most {MAX_PIXELS} pixels"
        )


def check_header(data: bytes) -> None:
    """Raise DataError when an image's header says that it is too large.

    Says nothing of what Pillow does not read: decoding it raises what is wrong.
    """
    _read_header(io.BytesIO(data), upright=False)


def upright_size(path: Path) -> tuple[int, int] | None:
    """(height, width) of an image as it is decoded, upright after EXIF.

    None when it is no image that Pillow can read. Raises DataError when it is too large.
    """
    return _read_header(path, upright=True)


def _read_header(source: Path | BinaryIO, upright: bool) -> tuple[int, int] | None:
    from PIL import ExifTags, Image

    try:
        with Image.open(source) as image:
            width, height = image.size
            check_size(height, width)
            # EXIF may stand behind the pixels of a PNG, which are then decoded.
            if upright and image.getexif().get(ExifTags.Base.Orientation, 1) >= 5:
                return width, height
            return height, width
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"the image is too large: at most {MAX_PIXELS} pixels ({error})") from error
    except Exception:  # Pillow raises nearly anything on a damaged file
        return None


def size_problem(height: Any, width: Any, image: Path) -> str:
    """Why annotations of an image of a recorded size cannot be decoded; "" when they can.

    Reads the image's header only where the recorded size is so large that decoding is costly.
    """
    if not is_size(height, width):
        return "the image's record has no height and width"
    if height * width <= LARGE_PIXELS:
        return ""
    try:
        check_size(height, width)
        real = upright_size(image)
    except DataError as error:
        return str(error)
    if real is not None and real != (height, width):
        return f"the image's record says {width}x{height}, but the image is {real[1]}x{real[0]}"
    return ""
