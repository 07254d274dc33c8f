"""Whether an encoded JPEG is complete. OpenCV 4 fills what is missing, without a message."""

from ...harness.errors import DataError

_START, _END = b"\xff\xd8", b"\xff\xd9"


def check_complete(data: bytes) -> None:
    """Raise DataError when `data` is empty, or a JPEG file that ends too early.

    OpenCV 4 decodes a truncated JPEG to an image whose lower part is grey. The decoders of other
    formats report a truncation themselves.
    """
    if not data:
        raise DataError("the file is empty")
    if data.startswith(_START) and not _jpeg_is_whole(data):
        raise DataError(f"the file is truncated: it ends after {len(data)} bytes")


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether an end-of-image marker follows the first scan.

    Segments before the scan are skipped, because a thumbnail in one has its own end marker. Inside
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
            return data.find(_END, position) >= 0
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a length
            position += 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False
