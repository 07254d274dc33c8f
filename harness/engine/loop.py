"""The loop, and the only loop: method x instances x simulator -> traces."""

from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from ..types import InstanceRef, Trace
from .predict import BatchSizes, predict, prepare
from .score import Observer, score
from .session import LiveSession, Pairing, Settings


class Engine:
    """Scores one method on instances, with clicks of one simulator.

    About two batches of sessions are open at a time. Only the thread that iterates over `run` calls
    the method. Threads of a pool decode images, score predictions and place clicks meanwhile.

    The largest group of sessions that share a batch key is predicted as soon as it is a full
    batch. A smaller group may still grow, so it is predicted only when no thread works any more.
    This keeps batches full while there are enough sessions. It cannot deadlock: the loop waits only
    for work of a thread, which needs nothing of the loop.

    A prediction may be a tensor that a GPU still computes. The thread that scores it waits for it,
    and the next full batch is predicted meanwhile.

    observe: called in a thread of the pool after every prediction.
    """

    def __init__(
        self, pairing: Pairing, settings: Settings, observe: Observer | None = None
    ) -> None:
        self.pairing = pairing
        self.settings = settings
        self.observe = observe
        #: Kept from run to run: a batch that was too large once is too large again.
        self.sizes = BatchSizes(settings.batch_size)

    def run(self, refs: Iterable[InstanceRef]) -> Generator[Trace, None, None]:
        """A trace for each instance, as they finish.

        What goes wrong on an instance becomes its trace's status. The traces do not depend on the
        order, the batch size or the number of threads, except through the method itself.
        """
        settings = self.settings
        source, exhausted = iter(refs), False
        capacity = 2 * settings.batch_size + settings.threads
        ready: list[LiveSession] = []
        working: list[Future[LiveSession]] = []
        with ThreadPoolExecutor(settings.threads, "isegbench") as pool:
            while True:
                while not exhausted and len(ready) + len(working) < capacity:
                    if (ref := next(source, None)) is None:
                        exhausted = True
                    else:
                        working.append(pool.submit(LiveSession(self.pairing, ref).open))
                if not ready and not working:
                    return
                room = False
                for live in _take_finished(working):
                    if not live.trace:
                        prepare(live, self.sizes, settings.time_limit)
                    if live.trace:
                        yield live.trace
                        room = True
                    else:
                        ready.append(live)
                if room:
                    # Others take their place before anything waits or a small group is predicted.
                    continue
                group = self.sizes.largest_group(ready)
                if not self.sizes.is_full(group):
                    if working:
                        wait(working, return_when=FIRST_COMPLETED)
                        continue
                    if not exhausted and len(ready) < capacity:
                        continue  # all sessions in work have ended at once: admit others first
                if not group:
                    continue
                ready = [live for live in ready if live not in group]
                predict(group, self.sizes, settings.time_limit)
                for live in group:
                    if live.trace:
                        yield live.trace
                    else:
                        working.append(pool.submit(score, live, settings, self.observe))


def _take_finished(working: list[Future[LiveSession]]) -> list[LiveSession]:
    """Remove the futures that are done; their sessions, in the order of submission."""
    done = [future for future in working if future.done()]
    for future in done:
        working.remove(future)
    return [future.result() for future in done]
