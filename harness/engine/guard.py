"""The one place where exceptions of methods, simulators and data sets are caught."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import DataError, MethodError, SimulatorError
from ..types import Status


@dataclass(frozen=True)
class Failure:
    """Why an instance failed, in one line.

    It does not refer to the exception, whose frames would keep a whole batch in memory.
    out_of_memory: a device had too little memory.
    """

    status: Status
    message: str
    out_of_memory: bool = False


@contextmanager
def guard(status: Status, on_failure: Callable[[Failure], None]) -> Iterator[None]:
    """Call user code inside of this: an exception is not raised but given to `on_failure`.

    status: the status of a trace that ends here.
    """
    try:
        yield
    except Exception as error:
        on_failure(Failure(status, describe(error), _is_out_of_memory(error)))


def describe(error: BaseException) -> str:
    """An error in one line; for other errors than the package's own, with the line it came from."""
    if isinstance(error, (DataError, MethodError, SimulatorError)):
        return str(error)
    place = ""
    frame = error.__traceback__
    while frame is not None:
        place = f" ({frame.tb_frame.f_code.co_filename}:{frame.tb_lineno})"
        frame = frame.tb_next
    return f"{type(error).__name__}: {error}{place}"


def _is_out_of_memory(error: Exception) -> bool:
    """Whether a device had too little memory, recognised without importing torch."""
    named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return named or (isinstance(error, RuntimeError) and "out of memory" in str(error).lower())
