"""Memory of the C library, kept between predictions instead of given back and asked for again."""

import ctypes
from functools import cache

#: Parameters of glibc's mallopt (malloc.h).
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_NEVER = 2**31 - 1


@cache
def keep_memory() -> bool:
    """Have this process keep the memory that it frees; whether it can be told so.

    A network's layers ask for the same large blocks at every prediction. glibc gives such blocks
    back to the kernel each time, which must then empty and map every page anew: up to an eighth
    of a prediction's time on a processor (docs/speed.md). Values are not touched. Where the C
    library is another one, nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _NEVER))
