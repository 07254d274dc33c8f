"""Recorded clicks, played back: human studies, or the traces of an earlier run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SimulatorError, UserError
from ..files import read_cell
from ..simulator import Simulator
from ..types import Click, Instance
from .openings import OPENINGS

REQUIRED = ("instance", "y", "x", "kind")
_SEPARATES = ("method", "simulator", "seed")


class RecordedClicks(Simulator):
    """Plays one list of clicks, whatever the instance; the first `opening` of them are the opening.

    It ends with the last click.
    """

    def __init__(self, clicks: Sequence[Click], opening: int = 1) -> None:
        self.clicks = list(clicks)
        self.opening = opening

    @classmethod
    def of(cls, trace: Any) -> "RecordedClicks":
        """From the rows of one trace (a data frame), its clicks up to the last that got a map.

        Raises UserError when none did.
        """
        scored = trace["iou"].notna().to_numpy()
        if not scored.any():
            raise UserError(
                f"{trace['method'].iloc[0]} failed on {trace['instance'].iloc[0]} before its "
                "first prediction"
            )
        last = len(scored) - int(scored[::-1].argmax())
        return cls(_clicks(trace)[:last], int(scored.argmax()) + 1)

    def open(self, instance: Instance, opening: str, rng: np.random.Generator) -> list[Click]:
        return self.clicks[: self.opening]

    def correct(
        self,
        instance: Instance,
        probabilities: object,
        mask: np.ndarray,
        clicks: Sequence[Click],
        rng: np.random.Generator,
    ) -> Click | None:
        return self.clicks[len(clicks)] if len(clicks) < len(self.clicks) else None


class Replay(Simulator):
    """Plays the clicks of a CSV or Parquet file, in order, until none is left.

    Columns: instance, y, x (pixels), kind; a row a click. `dataset` is matched when present,
    `click` gives the order when present (else the order of rows). Traces of a run are such a
    file; where it holds several recordings of one instance, `method`, `simulator` and `seed`
    choose one. Raises UserError for a file that cannot be read or is ambiguous.
    """

    def __init__(
        self,
        path: Path,
        method: str | None = None,
        simulator: str | None = None,
        seed: int | None = None,
    ) -> None:
        self._clicks = read_clicks(path, {"method": method, "simulator": simulator, "seed": seed})
        self._path = path

    def open(self, instance: Instance, opening: str, rng: np.random.Generator) -> list[Click]:
        recorded = self._recorded(instance)
        required = OPENINGS.get(opening)
        if required is None:
            raise SimulatorError(f"cannot replay an opening called {opening!r}")
        clicks = RecordedClicks(recorded, len(required)).open(instance, opening, rng)
        if sorted(click.kind for click in clicks) != sorted(required):
            found = ", ".join(click.kind for click in clicks) or "none"
            raise SimulatorError(
                f"{self._path}: the opening {opening!r} needs the clicks {', '.join(required)}, "
                f"but instance {instance.name} begins with: {found}"
            )
        return clicks

    def correct(
        self,
        instance: Instance,
        probabilities: object,
        mask: np.ndarray,
        clicks: Sequence[Click],
        rng: np.random.Generator,
    ) -> Click | None:
        recorded = RecordedClicks(self._recorded(instance))
        return recorded.correct(instance, probabilities, mask, clicks, rng)

    def _recorded(self, instance: Instance) -> list[Click]:
        for key in ((instance.dataset, instance.name), (None, instance.name)):
            if key in self._clicks:
                return self._clicks[key]
        raise SimulatorError(
            f"{self._path} holds no clicks for instance {instance.name} of {instance.dataset}"
        )


def read_clicks(
    path: Path, chosen: dict[str, str | int | None]
) -> dict[tuple[str | None, str], list[Click]]:
    """{(data set or None, instance): clicks in order} from a CSV or Parquet file of clicks."""
    import pandas as pd

    path = Path(path)
    frame: Any
    try:
        if path.suffix == ".csv":
            frame = pd.read_csv(path, dtype={"instance": str, "dataset": str})
            for name, column in frame.items():
                if not pd.api.types.is_numeric_dtype(column):
                    frame[name] = [read_cell(v) if isinstance(v, str) else v for v in column]
        else:
            frame = pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"replay: {path}: no such file") from None
    except Exception as error:
        raise UserError(f"replay: {path} cannot be read as CSV or Parquet: {error}") from error
    missing = [column for column in REQUIRED if column not in frame]
    if missing:
        raise UserError(f"replay: {path} lacks the column(s) {', '.join(missing)}")
    for column in ("click", "y", "x"):
        if column in frame and not pd.api.types.is_numeric_dtype(frame[column]):
            raise UserError(f"replay: {path}: the column {column!r} holds more than numbers")
    if "click" in frame:  # a trace that failed before its first click has a row 0
        frame = frame[frame["click"] > 0]
    if frame[["y", "x"]].isna().any(axis=None):
        raise UserError(f"replay: {path} has clicks without y or x")
    if not np.isfinite(frame[["y", "x"]].to_numpy(float)).all():
        raise UserError(f"replay: {path} has clicks whose y or x is not finite")
    for column, value in chosen.items():
        if value is not None:
            if column not in frame:
                raise UserError(f"replay: {path} has no column {column!r} to choose from")
            frame = frame[frame[column] == value]
    if "click" in frame:
        frame = frame.sort_values("click", kind="stable")
    grouping = [column for column in ("dataset", "instance") if column in frame]
    return {
        (key[0] if len(key) == 2 else None, str(key[-1])): _clicks_of(path, key, group)
        for key, group in frame.groupby(grouping, sort=False, observed=True)
    }


def _clicks_of(path: Path, key: tuple, group: Any) -> list[Click]:
    for column in _SEPARATES:
        if column in group and group[column].nunique() > 1:
            raise UserError(
                f"replay: {path} holds several recordings of {key[-1]}: choose one with "
                f"{column}=..., one of: {', '.join(map(str, sorted(group[column].unique())))}"
            )
    try:
        return _clicks(group)
    except (ValueError, UserError) as error:
        raise UserError(f"replay: {path}: instance {key[-1]}: {error}") from error


def _clicks(rows: Any) -> list[Click]:
    points = zip(rows["y"], rows["x"], rows["kind"], strict=True)
    return [Click(float(y), float(x), kind) for y, x, kind in points]
