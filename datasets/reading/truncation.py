"""Is an encoded image whole? Some decoders fill what is missing and say nothing."""

import struct

from ...harness.errors import DataError

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_END = b"\xff\xd9"


def check_complete(data: bytes) -> None:
    """Raise DataError when `data` is empty, or a JPEG, PNG or BMP file that ends too early.

    OpenCV 4 decodes a truncated JPEG to an image whose lower part is grey. Other formats are
    left to their decoders.
    """
    if not data:
        raise DataError("the file is empty")
    if data.startswith(b"\xff\xd8"):
        whole = _jpeg_is_whole(data)
    elif data.startswith(_PNG):
        whole = _png_is_whole(data)
    elif data.startswith(b"BM"):
        whole = len(data) >= _bmp_length(data)
    else:
        return
    if not whole:
        raise DataError(f"the file is truncated: it ends after {len(data)} bytes")


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether an end-of-image marker follows the first scan.

    Segments before it are stepped over, because a thumbnail in one has an end of its own. Inside
    a scan the byte 0xFF is always stuffed (ITU T.81, B.1.1.5), so that the marker cannot occur
    by chance.
    """
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == 0xDA:
            return data.find(_JPEG_END, position) >= 0
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a length
            position += 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False


def _png_is_whole(data: bytes) -> bool:
    """Whether the chunks run on to IEND."""
    position = len(_PNG)
    while position + 12 <= len(data):
        if data[position + 4 : position + 8] == b"IEND":
            return True
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return False


def _bmp_length(data: bytes) -> int:
    """How many bytes the headers of a BMP file (BITMAPINFOHEADER or later) announce."""
    if len(data) < 54:
        return 54
    offset, header, width, height, _, depth, compression, size = struct.unpack_from(
        "<IIiiHHII", data, 10
    )
    if header < 40:  # OS/2 1.x: other fields; left to the decoder
        return 0
    if compression == 0:  # the size may then be given as 0
        size = (abs(width) * depth + 31) // 32 * 4 * abs(height)
    return offset + size
