"""The loop, and the only loop: method x instances x simulator -> traces."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from .errors import DataError, MethodError, SimulatorError
from .masks import encode_mask
from .method import Method, Probabilities, Session
from .metrics import boundary_iou, iou
from .prediction import checked_mask
from .seeding import generator, method_seed
from .simulators.simulator import Simulator
from .types import Click, EncodedMask, Instance, InstanceRef, Status, Step, Trace


@dataclass(frozen=True)
class Settings:
    """How far and how wide the engine runs.

    clicks: the budget of every instance. stop_at: an IoU at which a trace ends, or None.
    batch_size: sessions per predict call at most. time_limit: seconds per predict call and
    session, or None. threads: for decoding, scoring and simulating beside the prediction.
    boundary_iou: score that too, after every click. save_masks: traces carry their last mask.
    """

    clicks: int = 20
    stop_at: float | None = None
    batch_size: int = 1
    time_limit: float | None = None
    threads: int = 2
    boundary_iou: bool = False
    save_masks: bool = False


#: Called after every prediction with the instance, the clicks so far, the mask and its IoU.
Observer = Callable[[Instance, Sequence[Click], np.ndarray, float], None]


@dataclass(frozen=True)
class Pairing:
    """A method and a simulator that meet, with the names they have in traces, and the seed.

    fits: the largest batches that the device's memory has room for, by batch key; learnt.
    """

    method: Method
    method_name: str
    simulator: Simulator
    simulator_name: str
    seed: int = 0
    fits: dict[Hashable, int] = field(default_factory=dict, compare=False)


@dataclass(eq=False)
class _Live:
    """One session in the pool. seconds: what the method has spent on the newest click."""

    instance: Instance
    session: Session
    rng: np.random.Generator
    steps: list[Step] = field(default_factory=list)
    begun: bool = False
    batch_key: Hashable = None
    seconds: float = 0.0


def run(
    pairing: Pairing,
    refs: Iterable[InstanceRef],
    settings: Settings,
    observe: Observer | None = None,
) -> Iterator[Trace]:
    """Score a method on instances; yields a trace for each, as they finish.

    Sessions live in a pool of about two batches. Each turn predicts the largest group that shares
    a batch key, while threads score and simulate for the others and decode what comes next. What
    goes wrong on an instance becomes its trace's status. The traces do not depend on the order,
    the batch size or the number of threads, except through the method itself.
    """
    source = iter(refs)
    capacity = 2 * settings.batch_size + settings.threads
    ready: list[_Live] = []
    working: set[Future[_Live | Trace]] = set()
    exhausted = False
    with ThreadPoolExecutor(settings.threads, "isegbench") as pool:
        while True:
            while len(ready) + len(working) < capacity:
                ref = next(source, None)
                if ref is None:
                    exhausted = True
                    break
                working.add(pool.submit(_admit, pairing, ref))
            if not ready and working:
                wait(working, return_when=FIRST_COMPLETED)
            finished = {future for future in working if future.done()}
            working -= finished
            for future in finished:
                outcome = future.result()
                if isinstance(outcome, _Live):
                    outcome = _prepare(pairing, outcome, settings.batch_size > 1) or outcome
                if isinstance(outcome, Trace):
                    yield outcome
                else:
                    ready.append(outcome)
            if not ready:
                # A full pool may finish all at once while instances still wait to be admitted.
                if exhausted and not working:
                    return
                continue
            group = _largest_group(ready, settings.batch_size, pairing.fits)
            for live, outcome in _predict(pairing, group, settings):
                if isinstance(outcome, Trace):
                    yield outcome
                else:
                    args = (pairing, settings, live, outcome, observe)
                    working.add(pool.submit(_assess, *args))


def _admit(pairing: Pairing, ref: InstanceRef) -> "_Live | Trace":
    """Load an instance and place its opening clicks."""
    try:
        instance = ref.load()
    except DataError as error:
        return _trace(pairing, ref, (), "data-failed", error)
    instance.image.flags.writeable = False
    instance.mask.flags.writeable = False
    rng = generator(pairing.seed, ref.dataset, ref.name)
    try:
        clicks = tuple(pairing.simulator.open(instance, pairing.method.opening, rng))
        if not clicks:
            raise SimulatorError("the simulator placed no opening click")
    except Exception as error:
        return _trace(pairing, ref, (), "simulator-failed", error)
    session = Session(
        image=instance.image,
        clicks=clicks,
        dataset=ref.dataset,
        seed=method_seed(pairing.seed, ref.dataset, ref.name),
        truth=instance.mask if pairing.method.sees_truth else None,
    )
    return _Live(instance, session, rng)


def _prepare(pairing: Pairing, live: _Live, batching: bool) -> Trace | None:
    """Let the method begin a new session, and ask with whom it may share a batch."""
    started = perf_counter()
    try:
        if not live.begun:
            pairing.method.begin(live.session)
            live.begun = True
        if batching:
            live.batch_key = pairing.method.batch_key(live.session)
            hash(live.batch_key)
    except Exception as error:
        return _spoiled(pairing, live, "method-failed", error)
    live.seconds = perf_counter() - started
    return None


def _largest_group(ready: list[_Live], batch_size: int, fits: dict[Hashable, int]) -> list[_Live]:
    """Take from `ready` the largest group that may share a batch; of equal ones the oldest."""
    groups: dict[Hashable, list[_Live]] = {}
    for live in ready:
        members = groups.setdefault(live.batch_key, [])
        if len(members) < min(batch_size, fits.get(live.batch_key, batch_size)):
            members.append(live)
    group = max(groups.values(), key=len)
    for live in group:
        ready.remove(live)
    return group


def _predict(
    pairing: Pairing, group: list[_Live], settings: Settings
) -> Iterator[tuple[_Live, Probabilities | Trace]]:
    """Predict a group; each session comes with its map, or with the trace of its failure."""
    started = perf_counter()
    try:
        maps = list(pairing.method.predict([live.session for live in group]))
        if len(maps) != len(group):
            raise MethodError(f"predict returned {len(maps)} maps for {len(group)} session(s)")
    except Exception as error:
        if len(group) == 1:
            yield group[0], _spoiled(pairing, group[0], "method-failed", error)
            return
        parts = _parts(pairing, group, error)
    else:
        parts = []
    # Only here is the error gone, and with it the memory of the batch that its frames held.
    for part in parts:
        yield from _predict(pairing, part, settings)
    if parts:
        return
    share = (perf_counter() - started) / len(group)
    for live, probabilities in zip(group, maps, strict=True):
        live.seconds += share
        if settings.time_limit is not None and live.seconds > settings.time_limit:
            late = MethodError(
                f"predict took {live.seconds:.3g} s; the limit is {settings.time_limit:g} s a click"
            )
            yield live, _spoiled(pairing, live, "timed-out", late)
        else:
            yield live, probabilities


def _parts(pairing: Pairing, group: list[_Live], error: Exception) -> list[list[_Live]]:
    """The smaller groups in which to try again what failed as one.

    Where the device's memory was too small, halves, and the half is remembered. Else somebody in
    the batch is to blame; alone, the others still get their maps.
    """
    if not _out_of_memory(error):
        return [[live] for live in group]
    half = (len(group) + 1) // 2
    key = group[0].batch_key
    pairing.fits[key] = min(half, pairing.fits.get(key, half))
    return [group[:half], group[half:]]


def _out_of_memory(error: Exception) -> bool:
    """Whether a device had too little memory; recognised without importing who raises it."""
    named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return named or (isinstance(error, RuntimeError) and "out of memory" in str(error).lower())


def _assess(
    pairing: Pairing,
    settings: Settings,
    live: _Live,
    probabilities: Probabilities,
    observe: Observer | None,
) -> "_Live | Trace":
    """Score a prediction and place the next click, or finish the trace."""
    started = perf_counter()
    session, instance = live.session, live.instance
    try:
        mask = checked_mask(probabilities, session.shape, pairing.method.threshold)
    except MethodError as error:
        return _spoiled(pairing, live, "method-failed", error)
    score = iou(mask, instance.mask)
    boundary = boundary_iou(mask, instance.mask) if settings.boundary_iou else None
    if observe:
        observe(instance, session.clicks, mask, score)
    budget_left = len(session.clicks) < settings.clicks
    satisfied = settings.stop_at is not None and score >= settings.stop_at
    click = None
    problem: Exception | None = None
    if budget_left and not satisfied and pairing.method.corrections:
        try:
            click = pairing.simulator.correct(
                instance, probabilities, mask, session.clicks, live.rng
            )
        except Exception as error:
            problem = error
    _record(live, score, boundary, perf_counter() - started)
    if problem:
        return _spoiled(pairing, live, "simulator-failed", problem)
    if click is None:
        kept = encode_mask(mask) if settings.save_masks else None
        return _trace(pairing, instance, live.steps, mask=kept)
    session.previous = probabilities
    session.clicks = (*session.clicks, click)
    return live


def _record(live: _Live, score: float, boundary: float | None, assessing: float) -> None:
    """Add the steps of the clicks that led to this prediction; the newest carries its score."""
    *earlier, newest = live.session.clicks[len(live.steps) :]
    live.steps.extend(Step(click) for click in earlier)
    live.steps.append(Step(newest, score, live.seconds, live.seconds + assessing, boundary))


def _spoiled(pairing: Pairing, live: _Live, status: Status, error: Exception) -> Trace:
    """The trace of a session that failed: its steps, and the clicks that got no prediction."""
    unanswered = live.session.clicks[len(live.steps) :]
    live.steps.extend(Step(click) for click in unanswered)
    return _trace(pairing, live.instance, live.steps, status, error)


def _trace(
    pairing: Pairing,
    instance: Instance | InstanceRef,
    steps: Sequence[Step],
    status: Status = "ok",
    error: Exception | None = None,
    mask: EncodedMask | None = None,
) -> Trace:
    return Trace(
        pairing.method_name,
        instance.dataset,
        pairing.simulator_name,
        pairing.seed,
        instance.name,
        tuple(steps),
        status,
        describe(error) if error else None,
        mask,
    )


def describe(error: BaseException) -> str:
    """An error in one line; where it was not ours, with the place in the code it came from."""
    if isinstance(error, (DataError, MethodError, SimulatorError)):
        return str(error)
    place = ""
    frame = error.__traceback__
    while frame is not None:
        place = f" ({frame.tb_frame.f_code.co_filename}:{frame.tb_lineno})"
        frame = frame.tb_next
    return f"{type(error).__name__}: {error}{place}"
