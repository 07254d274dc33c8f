"""The loop, and the only loop: method x instances x simulator -> traces."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from time import perf_counter

import numpy as np

from .device import own_lane
from .errors import DataError, MethodError, SimulatorError
from .live import Live, Pairing, Settings, spoiled, trace_of
from .masks import encode_mask
from .method import Session
from .metrics import boundary_iou, iou
from .predicting import Coming, launch
from .prediction import checked_mask
from .seeding import generator, method_seed
from .types import Click, Instance, InstanceRef, Trace

#: Called after every prediction with the instance, the clicks so far, the mask and its IoU.
Observer = Callable[[Instance, Sequence[Click], np.ndarray, float], None]


def run(
    pairing: Pairing,
    refs: Iterable[InstanceRef],
    settings: Settings,
    observe: Observer | None = None,
) -> Iterator[Trace]:
    """Score a method on instances; yields a trace for each, as they finish.

    Sessions live in a pool of about two batches. Each turn predicts the largest group that shares
    a batch key, while threads score and simulate for the others and decode what comes next. A GPU
    is given the next group while it works on the last one, if the group is a full batch; a smaller
    one may still grow. What goes wrong on an instance becomes its trace's status. The traces do
    not depend on the order, the batch size or the number of threads, except through the method
    itself.
    """
    source = iter(refs)
    capacity = 2 * settings.batch_size + settings.threads
    batching = settings.batch_size > 1
    ready: list[Live] = []
    working: set[Future[Live | Trace]] = set()
    exhausted = False
    newest: Coming | None = None
    with ThreadPoolExecutor(settings.threads, "isegbench") as pool:
        while True:
            while len(ready) + len(working) < capacity:
                ref = next(source, None)
                if ref is None:
                    exhausted = True
                    break
                working.add(pool.submit(_admit, pairing, ref, batching))
            if not ready and working:
                wait(working, return_when=FIRST_COMPLETED)
            finished = {future for future in working if future.done()}
            working -= finished
            for future in finished:
                outcome = future.result()
                if isinstance(outcome, Live) and not pairing.method.threaded:
                    outcome = _prepare(pairing, outcome, batching)
                if isinstance(outcome, Trace):
                    yield outcome
                else:
                    ready.append(outcome)
            if not ready:
                # A full pool may finish all at once while instances still wait to be admitted.
                if exhausted and not working:
                    return
                continue
            group = _largest_group(pairing, ready, settings.batch_size)
            may_grow = len(group) < _most(pairing, settings.batch_size, group[0].batch_key)
            if may_grow and working and newest and not newest.ends.passed():
                wait(working, return_when=FIRST_COMPLETED)
                continue
            for live in group:
                ready.remove(live)
            for live, outcome in launch(pairing, group):
                if isinstance(outcome, Trace):
                    yield outcome
                else:
                    newest = outcome
                    args = (pairing, settings, live, outcome, observe)
                    working.add(pool.submit(_assess, *args))


def _admit(pairing: Pairing, ref: InstanceRef, batching: bool) -> Live | Trace:
    """Load an instance and place its opening clicks."""
    try:
        instance = ref.load()
    except DataError as error:
        return trace_of(pairing, ref, (), "data-failed", error)
    instance.image.flags.writeable = False
    instance.mask.flags.writeable = False
    rng = generator(pairing.seed, ref.dataset, ref.name)
    try:
        clicks = tuple(pairing.simulator.open(instance, pairing.method.opening, rng))
        if not clicks:
            raise SimulatorError("the simulator placed no opening click")
    except Exception as error:
        return trace_of(pairing, ref, (), "simulator-failed", error)
    session = Session(
        image=instance.image,
        clicks=clicks,
        dataset=ref.dataset,
        seed=method_seed(pairing.seed, ref.dataset, ref.name),
        truth=instance.mask if pairing.method.sees_truth else None,
    )
    live = Live(instance, session, rng)
    return _prepared_here(pairing, live, batching)


def _prepared_here(pairing: Pairing, live: Live, batching: bool) -> Live | Trace:
    """Prepare a session in a thread of the pool, where the method may be met there."""
    if not pairing.method.threaded:
        return live
    with own_lane():
        return _prepare(pairing, live, batching)


def _prepare(pairing: Pairing, live: Live, batching: bool) -> Live | Trace:
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
        return spoiled(pairing, live, "method-failed", error)
    live.seconds = perf_counter() - started
    return live


def _largest_group(pairing: Pairing, ready: list[Live], batch_size: int) -> list[Live]:
    """The largest group in `ready` that may share a batch; of equal ones the oldest."""
    groups: dict[Hashable, list[Live]] = {}
    for live in ready:
        members = groups.setdefault(live.batch_key, [])
        if len(members) < _most(pairing, batch_size, live.batch_key):
            members.append(live)
    return max(groups.values(), key=len)


def _most(pairing: Pairing, batch_size: int, key: Hashable) -> int:
    """How many sessions with that batch key the device's memory has room for."""
    return min(batch_size, pairing.fits.get(key, batch_size))


def _assess(
    pairing: Pairing,
    settings: Settings,
    live: Live,
    coming: Coming,
    observe: Observer | None,
) -> Live | Trace:
    """Wait for a prediction, score it and place the next click, or finish the trace."""
    session, instance, method = live.session, live.instance, pairing.method
    try:
        with own_lane():
            probabilities, seconds = coming.arrive()
            live.seconds += seconds
            started = perf_counter()
            mask = checked_mask(probabilities, session.shape, method.threshold)
    except Exception as error:
        return spoiled(pairing, live, "method-failed", error)
    if settings.time_limit is not None and live.seconds > settings.time_limit:
        late = MethodError(
            f"predict took {live.seconds:.3g} s; the limit is {settings.time_limit:g} s a click"
        )
        return spoiled(pairing, live, "timed-out", late)
    score = iou(mask, instance.mask)
    boundary = boundary_iou(mask, instance.mask) if settings.boundary_iou else None
    if observe:
        observe(instance, session.clicks, mask, score)
    budget_left = len(session.clicks) < settings.clicks
    satisfied = settings.stop_at is not None and score >= settings.stop_at
    click = None
    problem: Exception | None = None
    if budget_left and not satisfied and method.corrections:
        try:
            click = pairing.simulator.correct(
                instance, probabilities, mask, session.clicks, live.rng
            )
        except Exception as error:
            problem = error
    live.record(score, boundary, perf_counter() - started)
    if problem:
        return spoiled(pairing, live, "simulator-failed", problem)
    if click is None:
        kept = encode_mask(mask) if settings.save_masks else None
        return trace_of(pairing, instance, live.steps, mask=kept)
    session.previous = probabilities
    session.clicks = (*session.clicks, click)
    return _prepared_here(pairing, live, settings.batch_size > 1)
