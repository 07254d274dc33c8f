"""How busy the GPU is, as its driver says: `nvidia-smi` asked ten times a second."""

import shutil
import subprocess

COMMAND = [
    "nvidia-smi",
    "--query-gpu=utilization.gpu",
    "--format=csv,noheader,nounits",
    "--loop-ms=100",
    "--id=0",
]


class Busy:
    """A context; afterwards `share` is the mean share of the time in which a kernel ran, in 0..1.

    None where there is no nvidia-smi, or it said nothing.
    """

    share: float | None = None

    def __enter__(self) -> "Busy":
        self._asked = None
        if shutil.which(COMMAND[0]):
            self._asked = subprocess.Popen(
                COMMAND, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._asked is None:
            return
        self._asked.terminate()
        said = self._asked.communicate()[0]
        percent = [int(line) for line in said.split() if line.isdigit()]
        if percent:
            self.share = sum(percent) / len(percent) / 100
