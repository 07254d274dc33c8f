"""A method around another method."""

from collections.abc import Hashable, Sequence

from ..method import Method, Probabilities, Session


class WrappedMethod(Method):
    """Behaves as the method inside it; a subclass overrides what it measures or changes.

    inner: a method whose constructor has ended; its attributes are read once.
    """

    def __init__(self, inner: Method) -> None:
        self.inner = inner
        self.opening = inner.opening
        self.threshold = inner.threshold
        self.corrections = inner.corrections
        self.sees_truth = inner.sees_truth
        self.paper = inner.paper
        self.departures = inner.departures
        self.requires = inner.requires
        self.weights = inner.weights

    def begin(self, session: Session) -> None:
        self.inner.begin(session)

    def predict(self, sessions: Sequence[Session]) -> Sequence[Probabilities]:
        return self.inner.predict(sessions)

    def predict_one(self, session: Session) -> Probabilities:
        return self.inner.predict_one(session)

    def batch_key(self, session: Session) -> Hashable:
        return self.inner.batch_key(session)
