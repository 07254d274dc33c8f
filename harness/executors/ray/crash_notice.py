"""A message that is shown when this process ends without having said that it may."""

import subprocess
from types import TracebackType

#: Waits for a line; where its input ends without one, nobody is left to say what happened.
_SCRIPT = 'read -r farewell || printf "%s\\n" "$1" >&2'


class LastWords:
    """A context manager around work that may end this process from below.

    Ray ends a driver whose own node's daemon has died, by exiting at once; and a process may be
    killed. A small shell then tells the user, who else would see nothing. Without a shell there
    is no message.
    """

    def __init__(self, message: str) -> None:
        self._message = message
        self._listener: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "LastWords":
        try:
            self._listener = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "sh", self._message],
                stdin=subprocess.PIPE,
                # Ctrl-C is for this process alone, which then says farewell.
                start_new_session=True,
            )
        except OSError:
            self._listener = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._listener:
            self._listener.communicate(b"farewell\n")
