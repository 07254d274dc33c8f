"""The loop, and the only loop: method x instances x simulator -> traces."""

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import chain

from ..errors import DataError, SimulatorError
from ..method import Session
from ..types import InstanceRef, Trace
from .gpu import Mark
from .predict import Coming, launch
from .score import Observer, assess, together
from .seeding import generator, method_seed
from .session import Live, Pairing, Settings, prepared, prepared_here, trace_of


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
    working: dict[Future[list[Live | Trace]], int] = {}
    exhausted = False
    busy_until = Mark()
    with ThreadPoolExecutor(settings.threads, "isegbench") as pool:
        while True:
            while len(ready) + sum(working.values()) < capacity:
                ref = next(source, None)
                if ref is None:
                    exhausted = True
                    break
                working[pool.submit(_admit, pairing, ref, batching)] = 1
            if not ready and working:
                wait(working, return_when=FIRST_COMPLETED)
            finished = [future for future in working if future.done()]
            for future in finished:
                del working[future]
            for outcome in chain.from_iterable(future.result() for future in finished):
                if isinstance(outcome, Live) and not pairing.method.threaded:
                    outcome = prepared(pairing, outcome, batching)
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
            if may_grow and working and not busy_until.passed():
                wait(working, return_when=FIRST_COMPLETED)
                continue
            for live in group:
                ready.remove(live)
            failed, parts = _launched(pairing, settings, group, observe)
            busy_until = Mark()
            while parts:
                size, part = len(parts[0]), parts.popleft()
                working[pool.submit(assess, pairing, settings, part, observe)] = size
                del part
            yield from failed


def _launched(
    pairing: Pairing, settings: Settings, group: list[Live], observe: Observer | None
) -> tuple[list[Trace], deque[list[tuple[Live, Coming]]]]:
    """The traces of those that failed, and what is coming for the others, in parts to assess."""
    failed: list[Trace] = []
    coming: list[tuple[Live, Coming]] = []
    for live, outcome in launch(pairing, group):
        if isinstance(outcome, Trace):
            failed.append(outcome)
        else:
            coming.append((live, outcome))
    in_one_go = together(pairing, settings, observe) and coming
    return failed, deque([coming] if in_one_go else [[one] for one in coming])


def _admit(pairing: Pairing, ref: InstanceRef, batching: bool) -> list[Live | Trace]:
    """Load an instance and place its opening clicks; in a list, as `assess` gives them."""
    try:
        instance = ref.load()
    except DataError as error:
        return [trace_of(pairing, ref, (), "data-failed", error)]
    instance.image.flags.writeable = False
    instance.mask.flags.writeable = False
    rng = generator(pairing.seed, ref.dataset, ref.name)
    try:
        clicks = tuple(pairing.simulator.open(instance, pairing.method.opening, rng))
        if not clicks:
            raise SimulatorError("the simulator placed no opening click")
    except Exception as error:
        return [trace_of(pairing, ref, (), "simulator-failed", error)]
    session = Session(
        image=instance.image,
        clicks=clicks,
        dataset=ref.dataset,
        seed=method_seed(pairing.seed, ref.dataset, ref.name),
        truth=instance.mask if pairing.method.sees_truth else None,
    )
    live = Live(instance, session, rng)
    return [prepared_here(pairing, live, batching)]


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
