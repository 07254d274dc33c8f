"""One TOML file describes a benchmark; every error names the key and its line."""

import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .errors import UserError, nearest

#: A method, data set or simulator: `name:key=value`, a TOML table with `name`, or an object.
Named = str | dict[str, Any] | Any


class RunConfig(BaseModel):
    """Everything `isegbench run` can be told. The keys of the TOML file are these names.

    methods, datasets: one or more; each a string as on the command line, or a table
    `{name = "...", key = value, label = "..."}`. simulator: the same, one. clicks: the budget.
    stop_at: IoU at which a trace ends. seed, seeds: the first seed, and how many. executor:
    inline (this process) or ray. workers: Ray workers; gpus_per_worker may be a fraction.
    batch_size: sessions per predict call. data_root: the folder that holds the data sets.
    limit: the first N instances of each data set. instances: a file with a name a line.
    time_limit: seconds per prediction. retry_failures: compute failed traces again.
    boundary_iou: score boundary IoU after every click too. save_masks: keep the last mask of every
    trace in DIR/masks.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    methods: list[Named] = Field(min_length=1)
    datasets: list[Named] = Field(min_length=1)
    simulator: Named = "largest-error"
    clicks: int = Field(20, ge=1)
    stop_at: float | None = Field(None, gt=0, le=1)
    seed: int = Field(0, ge=0)
    seeds: int = Field(1, ge=1)
    executor: Literal["inline", "ray"] = "inline"
    workers: int | None = Field(None, ge=1)
    gpus_per_worker: float = Field(0, ge=0)
    ray_address: str | None = None
    batch_size: int = Field(1, ge=1)
    data_root: Path | None = None
    limit: int | None = Field(None, ge=1)
    instances: Path | None = None
    time_limit: float | None = Field(None, gt=0)
    retry_failures: bool = False
    boundary_iou: bool = False
    save_masks: bool = False
    out: Path | None = None

    @field_validator("methods", "datasets", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return list(value)
        return [value]


def make_config(values: dict[str, Any], where: str = "", text: str = "") -> RunConfig:
    """Check values. Raises UserError naming each bad key, with its line when `text` is given."""
    try:
        return RunConfig(**values)
    except ValidationError as error:
        lines = [_complaint(problem, where, text) for problem in error.errors()]
        raise UserError("\n".join(lines)) from None


def read_config(path: Path) -> dict[str, Any]:
    """The values of a TOML file, checked. Raises UserError naming file, line and key."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from error
    # What the command line may still add is not missing yet.
    needed = {"methods": ["-"], "datasets": ["-"]}
    make_config(needed | values, str(path), text)
    return values


def _complaint(problem: Any, where: str, text: str) -> str:
    key = str(problem["loc"][0]) if problem["loc"] else ""
    line = _line_of(key, text)
    place = f"{where}:{line}: " if line else (f"{where}: " if where else "")
    if problem["type"] == "extra_forbidden":
        return f"{place}unknown key {key!r}: {nearest(key, RunConfig.model_fields)}"
    if problem["type"] == "missing":
        return f"{place}{key} is missing: name at least one"
    return f"{place}{key} = {problem['input']!r}: {problem['msg']}"


def _line_of(key: str, text: str) -> int | None:
    pattern = re.compile(rf"""\s*(\[\[?\s*)?["']?{re.escape(key)}["']?\s*[=\].]""")
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.match(line):
            return number
    return None
