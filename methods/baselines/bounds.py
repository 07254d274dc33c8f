"""The two ends of the scale: one method returns the ground truth, the other an empty mask."""

import numpy as np

from ...harness.errors import MethodError
from ...harness.method import Method, Session
from ...harness.types import OBJECT


class Oracle(Method):
    """Returns the ground truth: IoU 1 after the first click, unless the harness has an error.

    Ignored pixels come back as background; they are not scored.
    """

    opening = "click"
    sees_truth = True

    def predict_one(self, session: Session) -> np.ndarray:
        """(H, W) float32, 0 or 1. Raises MethodError when the session holds no truth."""
        if session.truth is None:
            raise MethodError("oracle needs session.truth, which the engine fills for it")
        return (session.truth == OBJECT).astype(np.float32)


class Empty(Method):
    """Returns an empty mask: IoU 0 after every click, to the end of the budget."""

    opening = "click"

    def predict_one(self, session: Session) -> np.ndarray:
        """(H, W) float32 zeros."""
        return np.zeros(session.shape, np.float32)
