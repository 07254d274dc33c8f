"""Check that a method keeps the rules of the method interface, before a benchmark."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import registry
from ..engine.guard import describe
from ..errors import UserError, nearest
from ..method import Method
from ..registry import Spec
from ..simulators.openings import OPENINGS
from .check_sessions import Broken, Played

#: Maps that differ by less are equal: float32 sums in another order differ by less than this.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Check:
    """One rule: whether it holds (None: not checked), what was found, and what to change."""

    name: str
    passed: bool | None
    found: str = ""
    advice: str = ""


#: {rule: what to change when it is broken}, in the order of the checks.
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
    "order": "keep nothing between sessions: put the data of a session into session.memory",
    "memory": "put the data of a session into session.memory, not into the method object",
    "batch_key": "return something hashable from batch_key, such as a tuple",
    "batches": "make predict return for each session of a batch the map that it returns for it "
    "alone, in order; return different batch_keys for sessions that cannot share a batch",
}


def check(method: str | type[Method] | Method) -> list[Check]:
    """Check a method on three objects of the data set `samples`, in some seconds.

    method: a name, `"path/to/file.py:Class:key=value"`, a class or an object. The method gets an
    opening and two corrections for each object: one object after the other, the same again, in
    another order, in turns, and in batches. The maps must agree to within TOLERANCE, the masks
    exactly.

    Returns a `Check` for each rule, in the order of ADVICE. Rules that depend on a broken rule are
    not checked. Raises UserError for a name or a file that does not exist.
    """
    build = _builder(method)
    found: dict[str, Check] = {}
    try:
        for rule in _rules(build):
            found[rule.name] = rule
    except Broken as broken:
        found[broken.rule] = Check(broken.rule, False, str(broken), ADVICE[broken.rule])
    return [found.get(name, Check(name, None)) for name in ADVICE]


def _rules(build: Callable[[], Any]) -> Iterator[Check]:
    """The rules that hold, and the broken rules that no later check depends on."""
    method = _built(build)
    yield Check("builds", True)
    if method.opening not in OPENINGS:
        raise Broken("opening", f"{method.opening!r}: {nearest(str(method.opening), OPENINGS)}")
    yield Check("opening", True)
    if isinstance(method.threshold, bool) or not _is_fraction(method.threshold):
        raise Broken("threshold", f"{method.threshold!r}")
    yield Check("threshold", True)
    yield _pickled(build)

    instances = [ref.load() for ref in registry.datasets.build("samples").instances()]
    # Two objects on one photograph may share a batch; the third has another size.
    first = instances[0]
    second = next(i for i in instances[1:] if i.image.shape == first.image.shape)
    third = next(i for i in instances if i.image.shape != first.image.shape)
    played = Played(method, [first, second, third])
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


def _compared(rule: str, one: Played, other: Played) -> Check:
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
    """Whether the method can be sent to a Ray worker, pickled as the Ray executor pickles it."""
    from ray import cloudpickle

    from ..executors.ray.shipping import pickle_own_files_by_value

    pickle_own_files_by_value()
    try:
        sent = cloudpickle.dumps(build)  # pyright: ignore[reportPrivateImportUsage]
        cloudpickle.loads(sent)()
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
        raise Broken("builds", str(error)) from None
    except Exception as error:
        raise Broken("builds", describe(error)) from None
    if not isinstance(method, Method):
        raise Broken("builds", f"{type(method).__name__} is not a subclass of Method")
    return method


def _is_fraction(value: Any) -> bool:
    try:
        return 0 <= float(value) <= 1 and not isinstance(value, str)
    except (TypeError, ValueError):
        return False
