"""The method interface: everything the author of a method needs to read.

A method turns a person's clicks into a probability map. Write one class::

    import numpy as np
    from isegbench.harness.method import Method

    class Everything(Method):
        opening = "click"

        def predict_one(self, session):
            return np.ones(session.shape, np.float32)

and run it: ``isegbench run --method path/to/file.py:Everything --dataset samples --out DIR``.
Constructor parameters with type annotations become the keys of ``file.py:Everything:key=value``.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from .types import Click, Opening

if TYPE_CHECKING:
    import torch

#: A probability map: (H, W) float32 in [0, 1], a NumPy array or a torch tensor on any device.
Probabilities = Union[np.ndarray, "torch.Tensor"]


@dataclass(slots=True, eq=False)
class Session:
    """One simulated user who segments one object: the input of a method.

    image: (H, W, 3) uint8 RGB, read-only. clicks: all so far, oldest first, the newest last.
    previous: the probability map this method returned last for this session, or None.
    memory: for the method alone, kept between clicks and dropped with the session.
    dataset: the data set's name, for protocols that differ by data set.
    seed: an int in [0, 2**31) fixed by (run seed, data set, instance), for methods that use chance.
    truth: (H, W) uint8 ground truth for methods that declare `sees_truth`, otherwise None.
    """

    image: np.ndarray
    clicks: tuple[Click, ...]
    dataset: str = ""
    seed: int = 0
    previous: Probabilities | None = None
    truth: np.ndarray | None = None
    memory: dict[str, Any] = field(default_factory=dict)
    #: The instance's name, for the harness; a method must not use it.
    _instance: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the image, and of every probability map."""
        return self.image.shape[0], self.image.shape[1]

    def points(self, kind: str) -> np.ndarray:
        """(N, 2) float64 array of the (y, x) of all clicks of one kind, in click order."""
        return np.array([(c.y, c.x) for c in self.clicks if c.kind == kind], float).reshape(-1, 2)


@dataclass(frozen=True)
class Paper:
    """Where a method comes from."""

    title: str
    authors: str
    year: int
    url: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file on this machine: what `downloads.weights.resolve` gives.

    name: as the user named it. path: the file. sha256: of its bytes. trained_on: data sets whose
    images or masks the training saw, in this package's names where they have one, e.g. ("sbd",
    "pascal"); None where it is not recorded. The manifest and the leaderboard show all but path.
    """

    name: str
    path: Path
    sha256: str
    trained_on: tuple[str, ...] | None = None


class Method:
    """A segmentation method driven by clicks. Override `predict_one` or `predict`.

    The engine calls `begin` once per session, then `predict` after the opening and after each
    correction, all in one thread. A method keeps what belongs to a session in `session.memory` and
    nothing else between calls: the same sessions in another order or grouping must give the same
    maps.
    """

    #: The clicks that it needs before the first prediction.
    opening: Opening = "click"
    #: A pixel is object where its probability is strictly greater than this.
    threshold: float = 0.5
    #: False for a method that predicts once, from its opening.
    corrections: bool = True
    #: True for bounds like the oracle: the engine then fills `session.truth`. Marked in tables.
    sees_truth: bool = False

    #: The work this re-implements or wraps, if published.
    paper: Paper | None = None
    #: Where the authors' protocol departs from the common one; printed as footnotes.
    departures: tuple[str, ...] = ()
    #: (module, package) that it needs and isegbench does not install by default, for example
    #: ("maxflow", "isegbench[graphcut]"); `isegbench list methods` shows how to install it.
    requires: tuple[str, str] | None = None
    #: The checkpoint in use, or each of several; None for methods without weights.
    weights: Checkpoint | tuple[Checkpoint, ...] | None = None

    def begin(self, session: Session) -> None:
        """Work to do once per session (encode the image, crop), kept in `session.memory`."""
        return

    def predict(self, sessions: Sequence[Session]) -> Sequence[Probabilities]:
        """One probability map for each session, in order; (H, W) float32 in [0, 1] at image size.

        All sessions share a `batch_key`. Maps may be NumPy arrays or torch tensors on any device.
        A tensor on a GPU may still be computed: it is scored on the GPU, in another thread, while
        the next batch is predicted.
        """
        return [self.predict_one(session) for session in sessions]

    def predict_one(self, session: Session) -> Probabilities:
        """The probability map of one session, for methods that cannot batch."""
        raise NotImplementedError(f"{type(self).__name__} must define predict_one or predict")

    def batch_key(self, session: Session) -> Hashable:
        """Sessions with equal keys may share a batch; by default those of equal image shape."""
        return session.shape
