"""The gallery of a run: instances worth looking at, as contact sheets, strips and traces."""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...errors import UserError, nearest
from ...files import file_names
from ...metrics import scores
from ...workflows.replay import Replayed, replay_instance
from ..results.runs import Run, load_run
from .contact_sheet import Tile, draw_sheet
from .trace_picture import draw_trace, save_picture, trace_picture_name

#: Clicks of a strip; those a trace does not have are left out, its last one is always there.
STRIP = (1, 2, 3, 5, 10, 20)
COLUMNS = 4


@dataclass(frozen=True)
class Choice:
    """An instance worth looking at. values: what the choice went by, for each method."""

    dataset: str
    instance: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Chosen:
    """A gallery's instances, the clearest of each kind first; `different` is () without a rival."""

    method: str
    against: str | None
    worst: tuple[Choice, ...]
    best: tuple[Choice, ...]
    different: tuple[Choice, ...]


def choose(
    run: Run,
    method: str | None = None,
    against: str | None = None,
    dataset: str | None = None,
    count: int = 6,
) -> Chosen:
    """The instances on which a method is worst and best, and differs most from another one.

    What is compared is the mean of the IoU over all clicks of the budget from the first
    prediction on, of the first seed; a trace that ended early keeps its last IoU. Traces that
    failed are left out: they have no masks to show. method, against: by default the run's first
    and second method that do not see the truth and have finished a trace. dataset: only this one.

    Raises UserError for names that the run does not hold, equal methods, and when nothing is left.
    """
    if count < 1:
        raise UserError(f"the gallery needs at least one instance of each kind, not {count}")
    _known("dataset", dataset, run.manifest.datasets)
    areas = _areas(run, dataset)
    method, against = _methods(run, method, against, set(areas.columns))
    if method not in areas:
        raise UserError(f"{run.place} holds no finished trace of {method} to show")
    own = pd.Series(areas[method]).dropna().sort_values(kind="stable")
    differences = pd.DataFrame()
    if against is not None and against in areas:
        differences = areas[[method, against]].dropna()
        gap = pd.Series(differences[method] - differences[against]).abs()
        differences = differences.loc[gap.sort_values(ascending=False, kind="stable").index]
        differences = differences[differences[method] != differences[against]]
    return Chosen(
        method,
        against,
        tuple(_choices(own.to_frame().head(count))),
        tuple(_choices(own.to_frame().tail(count).iloc[::-1])),
        tuple(_choices(differences.head(count))),
    )


def _choices(frame: pd.DataFrame) -> Iterator[Choice]:
    for (dataset, instance), *values in frame.itertuples():  # pyright: ignore
        yield Choice(dataset, instance, tuple(float(value) for value in values))


def _methods(
    run: Run, method: str | None, against: str | None, finished: Container[str]
) -> tuple[str, str | None]:
    for name in (method, against):
        _known("method", name, run.manifest.methods)
    entries = {name: entry for name, entry in run.manifest.methods.items() if name in finished}
    competing = [name for name, entry in entries.items() if not entry.sees_truth]
    first = method or next((n for n in competing or list(entries) if n != against), None)
    if first is None or first == against:
        raise UserError(f"{against} cannot be compared with itself: name another --against")
    return first, against or next((name for name in competing if name != first), None)


def _known(what: str, name: str | None, known: Iterable[str]) -> None:
    if name is not None and name not in known:
        raise UserError(f"the run holds no {what} {name!r}: {nearest(name, known)}")


def _areas(run: Run, dataset: str | None) -> pd.DataFrame:
    """Mean IoU over the clicks: rows (data set, instance), a column a method, NaN for none."""
    curves = scores.iou_curves(run.traces, run.manifest.protocol.clicks)
    traces = curves.traces
    keep = (traces["status"] == "ok").to_numpy() & ~np.isnan(curves.ious).all(axis=1)
    if dataset is not None:
        keep &= (traces["dataset"] == dataset).to_numpy()
    if not keep.any():
        raise UserError(f"{run.place} holds no finished trace to show")
    area = np.nanmean(curves.ious[keep], axis=1)
    frame = traces.loc[keep, ["dataset", "instance", "method", "seed"]].assign(area=area)
    frame = frame.sort_values("seed", kind="stable")
    frame = frame.drop_duplicates(["dataset", "instance", "method"])
    return frame.pivot(index=["dataset", "instance"], columns="method", values="area")


def write_gallery(
    directory: Path,
    method: str | None = None,
    against: str | None = None,
    dataset: str | None = None,
    count: int = 6,
    data_root: Path | None = None,
    say: Callable[[Path], None] = lambda path: None,
) -> list[Path]:
    """Draw the gallery of a run into DIR/report/gallery; returns the contact sheets.

    `sheet-worst-M.png`, `sheet-best-M.png` and `sheet-different-M-M2.png`, with a strip of each
    of their instances, `strip-KIND-NN-...png`. The whole trace of each instance goes to
    DIR/report/traces, where the report page finds it. say: called with each file once it
    is written.

    Traces hold clicks, not masks: methods run again on the recorded clicks, so the images and
    weights must be here. Raises UserError when they are not, and as `choose`.
    """
    run = load_run(directory, categorical=True)
    chosen = choose(run, method, against, dataset, count)
    folder = directory / "report" / "gallery"
    pictures = _Replays(directory, data_root, say)
    stems = file_names(name for name in (chosen.method, chosen.against) if name)
    sheets = []
    for kind, choices, methods in (
        ("worst", chosen.worst, [chosen.method]),
        ("best", chosen.best, [chosen.method]),
        ("different", chosen.different, [chosen.method, chosen.against]),
    ):
        if not choices:
            continue
        names = [name for name in methods if name is not None]
        tag = f"{kind}-{'-'.join(stems[name] for name in names)}"
        rows = []
        for number, choice in enumerate(choices, start=1):
            shown = [pictures.of(choice, name) for name in names]
            rows.append([_tile(choice, one, shown) for one in shown])
            stem = file_names([f"{choice.dataset}-{choice.instance}"]).popitem()[1]
            strip = draw_sheet(
                [_strip(one) for one in shown], f"{choice.dataset}, {choice.instance}"
            )
            pictures.save(strip, folder / f"strip-{tag}-{number:02d}-{stem}.png")
        sheets.append(folder / f"sheet-{tag}.png")
        pictures.save(draw_sheet(_arranged(rows), _title(kind, names)), sheets[-1])
    return sheets


class _Replays:
    """Masks of traces, each method run once an instance."""

    def __init__(
        self, directory: Path, data_root: Path | None, say: Callable[[Path], None]
    ) -> None:
        self._directory, self._data_root, self._say = directory, data_root, say
        self._known: dict[tuple[str, str, str], Replayed] = {}

    def of(self, choice: Choice, method: str) -> Replayed:
        key = choice.dataset, choice.instance, method
        if key not in self._known:
            (replayed,) = replay_instance(self._directory, *key, self._data_root)
            self._known[key] = replayed
            save_trace(self._directory, choice.dataset, choice.instance, replayed)
        return self._known[key]

    def save(self, picture: np.ndarray, path: Path) -> None:
        save_picture(picture, path)
        self._say(path)


def save_trace(
    directory: Path, dataset: str, instance: str, replayed: Replayed, out: Path | None = None
) -> Path:
    """Draw a whole trace to where the report page finds it, or into another folder."""
    what = replayed.instance
    title = f"{replayed.method} on {dataset}, {instance}"
    picture = draw_trace(what.image, what.mask, replayed.steps, title)
    folder = out or directory / "report" / "traces"
    path = folder / trace_picture_name(dataset, instance, replayed.method)
    save_picture(picture, path)
    return path


def draw_pictures(directory: Path, count: int, out: Path | None = None) -> list[tuple[str, str]]:
    """Draw the traces of all methods on `count` instances: those on which the first two methods
    differ most, or the worst where there is one method, and then any that a method has finished.
    out: the run whose report shows them, by default this one. Returns (data set, instance) of each.

    Raises UserError as `write_gallery`.
    """
    run = load_run(directory, categorical=True)
    chosen = choose(run, count=count)
    telling = [(one.dataset, one.instance) for one in chosen.different or chosen.worst]
    drawn = list(dict.fromkeys([*telling, *_areas(run, None).index]))[:count]
    for dataset, instance in drawn:
        for replayed in replay_instance(directory, dataset, instance):
            save_trace(out or directory, dataset, instance, replayed)
    return drawn


def _title(kind: str, methods: list[str]) -> str:
    if kind == "different":
        return f"Most different: {methods[0]} and {methods[1]}"
    return f"{kind.capitalize()} of {methods[0]}, by mean IoU over the clicks"


def _arranged(rows: list[list[Tile]]) -> list[list[Tile]]:
    """Instances beside each other; the tiles of one instance are in one row."""
    per_row = max(1, COLUMNS // len(rows[0]))
    return [
        [tile for group in rows[start : start + per_row] for tile in group]
        for start in range(0, len(rows), per_row)
    ]


def _tile(choice: Choice, shown: Replayed, all_shown: Sequence[Replayed]) -> Tile:
    """One method on one instance: at the click where two methods differ most, else at the first
    click with IoU 0.9 or more, else at the last."""
    step = _step_at(shown, _telling_click(all_shown))
    clicks, _, score = step
    method = f"{shown.method}: " if len(all_shown) > 1 else ""
    noun = "click" if len(clicks) == 1 else "clicks"
    caption = (
        f"{choice.dataset}, {choice.instance}\n{method}IoU {score:.3f} after {len(clicks)} {noun}"
    )
    return Tile(shown.instance.image, shown.instance.mask, step, caption)


def _telling_click(shown: Sequence[Replayed]) -> int:
    if len(shown) == 1:
        reached = [len(clicks) for clicks, _, score in shown[0].steps if score >= 0.9]
        return reached[0] if reached else len(shown[0].steps[-1][0])
    first = max(len(one.steps[0][0]) for one in shown)
    last = max(len(one.steps[-1][0]) for one in shown)
    gaps = {
        click: abs(_step_at(shown[0], click)[2] - _step_at(shown[1], click)[2])
        for click in range(first, last + 1)
    }
    return max(gaps, key=lambda click: (gaps[click], -click))


def _step_at(shown: Replayed, click: int) -> tuple:
    """The last step with at most so many clicks, else the first."""
    fitting = [step for step in shown.steps if len(step[0]) <= click]
    return fitting[-1] if fitting else shown.steps[0]


def _strip(shown: Replayed) -> list[Tile]:
    what = shown.instance
    last = len(shown.steps[-1][0])
    steps = {len(step[0]): step for step in shown.steps}
    wanted = sorted({n for n in STRIP if n in steps} | {min(steps), last})
    tiles = [Tile(what.image, what.mask, None, f"{shown.method}\ntruth")]
    for number in wanted:
        noun = "click" if number == 1 else "clicks"
        caption = f"{number} {noun}\nIoU {steps[number][2]:.3f}"
        tiles.append(Tile(what.image, what.mask, steps[number], caption))
    return tiles
