"""The sessions that `check` plays: a method on some instances, in several orders."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from ..engine.guard import describe
from ..engine.score import checked_mask
from ..engine.seeding import generator, method_seed
from ..errors import MethodError
from ..method import Method, Session
from ..simulators.largest_error import LargestError
from ..simulators.openings import OPENINGS, opening_clicks
from ..types import Click, Instance
from .predictor import as_array

#: Corrections after the opening, on each instance.
_CORRECTIONS = 2


class Broken(Exception):
    """A rule does not hold; the message is what was found."""

    def __init__(self, rule: str, found: str) -> None:
        super().__init__(found)
        self.rule = rule


class Played:
    """Sessions of a method on some instances, and the maps it returned, a list for each instance.

    clicks: those of each instance. The first `Played` places them, the others repeat them.
    """

    def __init__(
        self, method: Method, instances: list[Instance], clicks: list[list[Click]] | None = None
    ) -> None:
        self.method = method
        self.instances = instances
        self.placed = clicks is not None
        self.clicks = clicks or [self._opening(instance) for instance in instances]
        self.maps: list[list[np.ndarray]] = [[] for _ in instances]
        self._returned: list[tuple[Any, np.ndarray]] = []
        self._sessions: dict[int, Session] = {}

    def with_method(self, method: Method) -> "Played":
        """The same instances and clicks for another method; nothing is played yet."""
        return Played(method, self.instances, self.clicks)

    def one_by_one(self, reverse: bool = False) -> None:
        """All predictions of an instance, then those of the next one."""
        order = range(len(self.instances))
        for number in reversed(order) if reverse else order:
            for turn in range(self._turns()):
                self._predict([number], turn)

    def in_turns(self) -> None:
        """The first prediction of each instance, then the second of each, and so on."""
        for turn in range(self._turns()):
            for number in range(len(self.instances)):
                self._predict([number], turn)

    def in_batches(self) -> None:
        """As `in_turns`, with equal batch keys in one batch; every second turn in reverse order."""
        for turn in range(self._turns()):
            groups: dict[Hashable, list[int]] = {}
            for number in range(len(self.instances)):
                groups.setdefault(self._key(self._session(number, turn)), []).append(number)
            for numbers in groups.values():
                self._predict(numbers[::-1] if turn % 2 else numbers, turn)

    def _turns(self) -> int:
        return 1 + _CORRECTIONS if self.method.corrections else 1

    def _opening(self, instance: Instance) -> list[Click]:
        rng = generator(0, instance.dataset, instance.name)
        return opening_clicks(self.method.opening, instance.mask, rng)

    def _session(self, number: int, turn: int) -> Session:
        """The session of an instance, with the clicks of this turn."""
        instance, session = self.instances[number], self._sessions.get(number)
        clicks = tuple(self.clicks[number][: len(OPENINGS[self.method.opening]) + turn])
        if session is None:
            instance.image.flags.writeable = False
            session = Session(
                image=instance.image,
                clicks=clicks,
                dataset=instance.dataset,
                seed=method_seed(0, instance.dataset, instance.name),
                truth=instance.mask.copy() if self.method.sees_truth else None,
            )
            self._sessions[number] = session
            self._called([session], lambda: self.method.begin(session))
        session.clicks = clicks
        return session

    def _key(self, session: Session) -> Hashable:
        key = self._called([session], lambda: self.method.batch_key(session))
        try:
            hash(key)
        except TypeError as error:
            raise Broken("batch_key", f"{key!r}: {error}") from None
        return key

    def _predict(self, numbers: Sequence[int], turn: int) -> None:
        sessions = [self._session(number, turn) for number in numbers]
        rule = "prediction" if len(sessions) == 1 else "batches"
        try:
            maps = self._called(sessions, lambda: _listed(self.method.predict(sessions)))
        except Broken as broken:
            if len(sessions) > 1 and broken.rule == "predicts":
                raise Broken("batches", f"a batch of {len(sessions)}: {broken}") from None
            raise
        if len(maps) != len(sessions):
            raise Broken(rule, f"{len(maps)} maps for {len(sessions)} session(s)")
        for number, session, values in zip(numbers, sessions, maps, strict=True):
            try:
                mask = checked_mask(values, session.shape, self.method.threshold)
            except MethodError as error:
                raise Broken(rule, str(error)) from None
            kept = as_array(values)
            self._returned.append((values, kept))
            self.maps[number].append(kept)
            session.previous = values
            if not self.placed and turn < self._turns() - 1:
                self._place(number, kept, mask)
        for values, kept in self._returned:
            if not np.array_equal(as_array(values), kept):
                raise Broken("own output", "a later prediction changed a map returned before")

    def _place(self, number: int, probabilities: np.ndarray, mask: np.ndarray) -> None:
        """Add the next correction; a fixed negative click when the mask has no error."""
        instance, clicks = self.instances[number], self.clicks[number]
        rng = generator(0, instance.dataset, instance.name)
        click = LargestError().correct(instance, probabilities, mask, clicks, rng)
        clicks.append(click or Click(0, 0, "negative"))

    def _called(self, sessions: list[Session], call: Callable[[], Any]) -> Any:
        """Call the author's code; raise Broken when it raises or changes its inputs."""
        before = [
            (s.image, s.image.copy(), s.clicks, s.previous, _copy(s.previous)) for s in sessions
        ]
        try:
            found = call()
        except Broken:
            raise
        except Exception as error:
            rule = "inputs" if "read-only" in str(error) else "predicts"
            raise Broken(rule, describe(error)) from None
        for session, (image, pixels, clicks, previous, values) in zip(
            sessions, before, strict=True
        ):
            if session.image is not image or not np.array_equal(image, pixels):
                raise Broken("inputs", "session.image was changed")
            if session.clicks is not clicks:
                raise Broken("inputs", "session.clicks was changed")
            if values is not None and not np.array_equal(as_array(previous), values):
                if isinstance(found, list) and any(one is previous for one in found):
                    raise Broken("own output", "the array returned before was filled again")
                raise Broken("inputs", "session.previous was changed")
        return found


def _copy(probabilities: Any) -> np.ndarray | None:
    return None if probabilities is None else as_array(probabilities)


def _listed(found: Any) -> list[Any]:
    if not isinstance(found, Iterable):
        raise Broken("prediction", f"predict returned {type(found).__name__}, not a list of maps")
    return list(found)
