"""Decoders: encoded bytes to the arrays an instance holds.

Each is a module's function (with functools.partial for its settings), so that it can be pickled
and sent to a worker beside the bytes. Released reading rules: f-BRS and RITM, `GrabCutDataset`,
`BerkeleyDataset` and `DavisDataset`.
"""

import io

import numpy as np

from ...harness.errors import DataError
from ...harness.types import BACKGROUND, IGNORED, OBJECT
from .size import check_header, check_size
from .truncation import check_complete


def decode_image(data: bytes) -> np.ndarray:
    """(H, W, 3) uint8 RGB: what `cv2.imread` gives (8 bits, colour, upright after EXIF), in RGB
    order. Raises DataError."""
    return np.ascontiguousarray(_decode_bgr(data)[:, :, ::-1])


def decode_trimap(data: bytes) -> np.ndarray:
    """(H, W) uint8 mask by the rule of GrabCut and Berkeley; raises DataError.

    Blue channel of the BGR image: above 128 is object, 128 is ignored. The released code leaves
    smaller values as they are and then compares with 1, so 1 is object and the rest background.
    """
    blue = _decode_bgr(data)[:, :, 0]
    mask = np.full(blue.shape, BACKGROUND, np.uint8)
    mask[(blue > 128) | (blue == 1)] = OBJECT
    mask[blue == 128] = IGNORED
    return mask


def decode_any_colour(data: bytes) -> np.ndarray:
    """(H, W) uint8 mask by the rule of DAVIS and COCO_MVal: object where any channel of the
    colour image is above 0; raises DataError."""
    return np.where(_decode_bgr(data).max(axis=2) > 0, OBJECT, BACKGROUND).astype(np.uint8)


def decode_threshold(data: bytes, threshold: int = 0, ignore: int | None = None) -> np.ndarray:
    """(H, W) uint8 mask: object where the largest colour channel is above `threshold`, ignored
    where it equals `ignore`. An alpha channel is left out, 16 bits stay 16. Raises DataError."""
    import cv2

    value = _decode(data, cv2.IMREAD_UNCHANGED)
    if value.ndim == 3:
        colours = 1 if value.shape[2] == 2 else 3
        value = value[:, :, :colours].max(axis=2)
    mask = np.where(value > threshold, OBJECT, BACKGROUND).astype(np.uint8)
    if ignore is not None:
        mask[value == ignore] = IGNORED
    return mask


def decode_indexed(data: bytes, object_id: int, ignore: int | None = None) -> np.ndarray:
    """(H, W) uint8 mask of one object of an index image: `object_id` is object, `ignore` is
    ignored, other objects are background. Raises DataError."""
    return mask_of_object(read_indices(data), object_id, ignore)


def mask_of_object(indices: np.ndarray, object_id: int, ignore: int | None = None) -> np.ndarray:
    """The (H, W) uint8 mask of one id in an (H, W) integer array of object ids."""
    mask = np.where(indices == object_id, OBJECT, BACKGROUND).astype(np.uint8)
    if ignore is not None:
        mask[indices == ignore] = IGNORED
    return mask


def object_ids(indices: np.ndarray, ignore: int | None = None) -> list[int]:
    """The ids in an (H, W) integer array, ascending, without 0 and `ignore`."""
    return [int(i) for i in np.unique(indices) if i != 0 and i != ignore]


def read_indices(data: bytes) -> np.ndarray:
    """(H, W) integers of an image whose pixel values are object ids.

    For a palette image these are the indices, not the colours. Raises DataError when it is damaged,
    or has more than one channel.
    """
    from PIL import Image  # OpenCV resolves palettes to colours

    check_complete(data)
    try:
        with Image.open(io.BytesIO(data)) as image:
            check_size(image.height, image.width)
            mode, indices = image.mode, np.asarray(image)
    except Image.DecompressionBombError as error:
        raise DataError(f"the image is too large: {error}") from error
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for a damaged PNG
        raise DataError(f"it is damaged, or not an image: {error}") from error
    if mode not in ("1", "L", "P") and not mode.startswith("I"):
        raise DataError(f"an index mask has one channel of integers, this one is {mode}")
    return indices.astype(np.uint8) if indices.dtype == bool else indices


def _decode_bgr(data: bytes) -> np.ndarray:
    import cv2

    return _decode(data, cv2.IMREAD_COLOR)


def _decode(data: bytes, flags: int) -> np.ndarray:
    import cv2

    check_complete(data)
    check_header(data)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise DataError("it is damaged, or not an image")
    return image
