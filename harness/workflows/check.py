"""Whether a method keeps the method interface's rules: what an author runs before a benchmark."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import registry
from ..engine.score import checked_mask
from ..engine.seeding import generator, method_seed
from ..engine.session import describe
from ..errors import MethodError, UserError, nearest
from ..method import Method, Session
from ..registry import Spec
from ..simulators.largest_error import LargestError
from ..simulators.openings import OPENINGS, opening_clicks
from ..types import Click, Instance
from .predictor import as_array

#: Two maps are equal where no pixel differs by more: float32 sums in another order differ by less.
TOLERANCE = 1e-4
#: Corrections after the opening, on each instance.
_CORRECTIONS = 2


@dataclass(frozen=True)
class Check:
    """One rule: whether it holds (None: not checked), what was found, and what to do."""

    name: str
    passed: bool | None
    found: str = ""
    advice: str = ""


#: {rule: what to do where it is broken}, in the order in which they are checked.
ADVICE = {
    "builds": "make the constructor work with the given parameters",
    "opening": f"set opening to one of: {', '.join(OPENINGS)}",
    "threshold": "set threshold to a number from 0 to 1",
    "pickling": "keep open files, locks and lambdas out of the object, or give the class by name",
    "predicts": "make begin and predict work on every image, click and image size",
    "prediction": "return one NumPy array or tensor for each session: (H, W), float32, in [0, 1]",
    "inputs": "copy session.image and session.previous before changing them; do not set "
    "session.image or session.clicks",
    "own output": "return a new array from each prediction, not a buffer that is filled again",
    "determinism": "draw random numbers from a generator seeded by session.seed",
    "order": "keep nothing between sessions: what belongs to one goes into session.memory",
    "memory": "keep what belongs to a session in session.memory, not in the method object",
    "batch_key": "return something hashable from batch_key, such as a tuple",
    "batches": "make predict give each session of a batch the map it gets alone, in order; return "
    "different batch_keys for sessions that cannot share a batch",
}


class _Broken(Exception):
    """A rule does not hold; the message says what was found."""

    def __init__(self, rule: str, found: str) -> None:
        super().__init__(found)
        self.rule = rule


def check(method: str | type[Method] | Method) -> list[Check]:
    """Check a method on three objects of the data set `samples`, some seconds of work.

    method: a name, `"path/to/file.py:Class:key=value"`, a class or an object. The method gets an
    opening and two corrections for each object: one object after the other, the same again, in
    another order, in turns, and in batches. Maps must agree to within TOLERANCE, masks exactly.

    Returns a `Check` for each rule, in the order of ADVICE; where one is broken, those that need
    it are not checked. Raises UserError for a name or a file that does not exist.
    """
    build = _builder(method)
    found: dict[str, Check] = {}
    try:
        for rule in _rules(build):
            found[rule.name] = rule
    except _Broken as broken:
        found[broken.rule] = Check(broken.rule, False, str(broken), ADVICE[broken.rule])
    return [found.get(name, Check(name, None)) for name in ADVICE]


def _rules(build: Callable[[], Any]) -> Iterator[Check]:
    """The rules that hold, and those that are broken but let others be checked."""
    method = _built(build)
    yield Check("builds", True)
    if method.opening not in OPENINGS:
        raise _Broken("opening", f"{method.opening!r}: {nearest(str(method.opening), OPENINGS)}")
    yield Check("opening", True)
    if isinstance(method.threshold, bool) or not _is_fraction(method.threshold):
        raise _Broken("threshold", f"{method.threshold!r}")
    yield Check("threshold", True)
    yield _pickled(build)

    instances = [ref.load() for ref in registry.datasets.build("samples").instances()]
    # Two objects on one photograph may share a batch; the third has another size.
    first = instances[0]
    second = next(i for i in instances[1:] if i.image.shape == first.image.shape)
    third = next(i for i in instances if i.image.shape != first.image.shape)
    played = _Played(method, [first, second, third])
    played.one_by_one()
    for rule in ("predicts", "prediction", "inputs", "own output"):
        yield Check(rule, True)

    again = played.with_method(_built(build))
    again.one_by_one()
    same = _compared("determinism", played, again)
    yield same
    if not same.passed:
        return
    reverse = played.with_method(_built(build))
    reverse.one_by_one(reverse=True)
    yield _compared("order", played, reverse)
    turns = played.with_method(_built(build))
    turns.in_turns()
    yield _compared("memory", played, turns)
    batches = played.with_method(_built(build))
    batches.in_batches()
    yield Check("batch_key", True)
    yield _compared("batches", played, batches)


class _Played:
    """Sessions of a method on some instances, and the maps it gave, a list an instance.

    clicks: those of each instance; placed by the first player, repeated by the others.
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

    def with_method(self, method: Method) -> "_Played":
        """Nothing played yet, with the same clicks."""
        return _Played(method, self.instances, self.clicks)

    def one_by_one(self, reverse: bool = False) -> None:
        order = range(len(self.instances))
        for number in reversed(order) if reverse else order:
            for turn in range(self._turns()):
                self._predict([number], turn)

    def in_turns(self) -> None:
        """Each instance's first prediction, then each one's second."""
        for turn in range(self._turns()):
            for number in range(len(self.instances)):
                self._predict([number], turn)

    def in_batches(self) -> None:
        """As in turns, with all that have equal keys in one batch; every second one backwards."""
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
            raise _Broken("batch_key", f"{key!r}: {error}") from None
        return key

    def _predict(self, numbers: Sequence[int], turn: int) -> None:
        sessions = [self._session(number, turn) for number in numbers]
        rule = "prediction" if len(sessions) == 1 else "batches"
        try:
            maps = self._called(sessions, lambda: _listed(self.method.predict(sessions)))
        except _Broken as broken:
            if len(sessions) > 1 and broken.rule == "predicts":
                raise _Broken("batches", f"a batch of {len(sessions)}: {broken}") from None
            raise
        if len(maps) != len(sessions):
            raise _Broken(rule, f"{len(maps)} maps for {len(sessions)} session(s)")
        for number, session, values in zip(numbers, sessions, maps, strict=True):
            try:
                mask = checked_mask(values, session.shape, self.method.threshold)
            except MethodError as error:
                raise _Broken(rule, str(error)) from None
            kept = as_array(values)
            self._returned.append((values, kept))
            self.maps[number].append(kept)
            session.previous = values
            if not self.placed and turn < self._turns() - 1:
                self._place(number, kept, mask)
        for values, kept in self._returned:
            if not np.array_equal(as_array(values), kept):
                raise _Broken("own output", "a later prediction changed a map returned before")

    def _place(self, number: int, probabilities: np.ndarray, mask: np.ndarray) -> None:
        """The next correction; where nothing is wrong, the newest click once more."""
        instance, clicks = self.instances[number], self.clicks[number]
        rng = generator(0, instance.dataset, instance.name)
        click = LargestError().correct(instance, probabilities, mask, clicks, rng)
        clicks.append(click or Click(0, 0, "negative"))

    def _called(self, sessions: list[Session], call: Callable[[], Any]) -> Any:
        """What the author's code returns; raises _Broken where it raises or changes its inputs."""
        before = [
            (s.image, s.image.copy(), s.clicks, s.previous, _copy(s.previous)) for s in sessions
        ]
        try:
            found = call()
        except _Broken:
            raise
        except Exception as error:
            rule = "inputs" if "read-only" in str(error) else "predicts"
            raise _Broken(rule, describe(error)) from None
        for session, (image, pixels, clicks, previous, values) in zip(
            sessions, before, strict=True
        ):
            if session.image is not image or not np.array_equal(image, pixels):
                raise _Broken("inputs", "session.image was changed")
            if session.clicks is not clicks:
                raise _Broken("inputs", "session.clicks was changed")
            if values is not None and not np.array_equal(as_array(previous), values):
                if isinstance(found, list) and any(one is previous for one in found):
                    raise _Broken("own output", "the array returned before was filled again")
                raise _Broken("inputs", "session.previous was changed")
        return found


def _compared(rule: str, one: _Played, other: _Played) -> Check:
    threshold, largest, pixels = one.method.threshold, 0.0, 0
    for maps, others in zip(one.maps, other.maps, strict=True):
        for a, b in zip(maps, others, strict=True):
            largest = max(largest, float(np.abs(a - b).max()))
            pixels = max(pixels, int(((a > threshold) != (b > threshold)).sum()))
    if largest <= TOLERANCE and pixels == 0:
        return Check(rule, True)
    found = f"a probability differs by {largest:.2g}, a mask in {pixels} pixel(s)"
    return Check(rule, False, found, ADVICE[rule])


def _pickled(build: Callable[[], Any]) -> Check:
    """Whether the method reaches a Ray worker, pickled as the Ray executor pickles it."""
    from ray import cloudpickle

    from ..executors.ray.shipping import let_own_files_travel

    let_own_files_travel()
    try:
        cloudpickle.loads(cloudpickle.dumps(build))()
    except Exception as error:
        return Check("pickling", False, describe(error), ADVICE["pickling"])
    return Check("pickling", True)


def _builder(method: str | type[Method] | Method) -> Callable[[], Any]:
    if isinstance(method, str):
        spec = Spec.parse(method)
        factory = registry.methods.factory(spec.name)
        return lambda: registry.build_with(factory, spec, "method", {})
    if isinstance(method, type):
        return method
    return lambda: method


def _built(build: Callable[[], Any]) -> Method:
    try:
        method = build()
    except UserError as error:
        raise _Broken("builds", str(error)) from None
    except Exception as error:
        raise _Broken("builds", describe(error)) from None
    if not isinstance(method, Method):
        raise _Broken("builds", f"{type(method).__name__} is not a subclass of Method")
    return method


def _is_fraction(value: Any) -> bool:
    try:
        return 0 <= float(value) <= 1 and not isinstance(value, str)
    except (TypeError, ValueError):
        return False


def _copy(probabilities: Any) -> np.ndarray | None:
    return None if probabilities is None else as_array(probabilities)


def _listed(found: Any) -> list[Any]:
    if not isinstance(found, Iterable):
        raise _Broken("prediction", f"predict returned {type(found).__name__}, not a list of maps")
    return list(found)
