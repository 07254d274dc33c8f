"""The configuration of a run, from a TOML file or keywords; errors name the key and its line."""

import inspect
import re
import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from ..errors import UserError, nearest
from .resources import Resources

#: A method, data set or simulator: `name:key=value`, a TOML table with `name`, or an object.
Named = str | dict[str, Any] | Any

Model = TypeVar("Model", bound=BaseModel)


class RunConfig(BaseModel):
    """The configuration of a run: the one place that declares an option.

    A field is a key of the TOML file, a keyword of `run` and, with its description as the help,
    an option of the command line. In a description, {default} is the field's default.

    methods, datasets: one or more; each a string as on the command line, or a table
    `{name = "...", key = value, label = "..."}`. The table of a method can have `resources =
    {gpus = 0.25, cpus = 1, memory = "8GiB"}`, what each of its Ray workers occupies;
    gpus_per_worker is for methods without `gpus`. simulator: one, as a data set. runtime_env: the
    runtime environment of Ray's nodes, as for `ray.init`.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    methods: list[Named] = Field(
        min_length=1, description="name, name:key=value,... or path/to/file.py:Class. Repeatable."
    )
    datasets: list[Named] = Field(
        min_length=1,
        description="name, name:key=value,... or a part: davis[0:10]. Repeatable.",
    )
    simulator: Named = Field("largest-error", description="The simulated user; default {default}.")
    clicks: int = Field(
        20, ge=1, lt=2**31, description="Clicks for each instance; default {default}."
    )
    stop_at: float | None = Field(
        None, gt=0, le=1, description="End a trace when it reaches this IoU."
    )
    seed: int = Field(0, ge=0, lt=2**62, description="The first seed; default {default}.")
    seeds: int = Field(1, ge=1, lt=2**31, description="The number of seeds; default {default}.")
    executor: Literal["inline", "ray"] = Field(
        "inline", description="Where to compute; default {default}."
    )
    workers: int | None = Field(
        None, ge=1, description="The number of Ray workers; default all cores."
    )
    gpus_per_worker: float = Field(
        0, ge=0, allow_inf_nan=False, description="GPU share of a Ray worker, such as 0.25."
    )
    ray_address: str | None = Field(
        None, description="A running Ray cluster; default this machine."
    )
    runtime_env: dict[str, Any] | None = None
    batch_size: int = Field(1, ge=1, description="Sessions per prediction; default {default}.")
    data_root: Path | None = Field(
        None, description="Folder of the data sets; default ISEGBENCH_DATA, then the cache."
    )
    limit: int | None = Field(
        None, ge=1, description="Only the first N instances of each data set."
    )
    instances: Path | None = Field(
        None, description="A file with the names of instances, one in each line."
    )
    time_limit: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="The most seconds of a prediction."
    )
    retry_failures: bool = Field(False, description="Compute failed traces again.")
    redo: tuple[str, ...] = Field(
        (), description="Compute this method of a run again; its traces are removed. Repeatable."
    )
    keep: bool = Field(
        False, description="Resume though code or data differ; the manifest records what does."
    )
    stop_failing_after: int = Field(
        5,
        ge=0,
        description="Stop a method whose first N instances all fail alike; default {default}, "
        "0: never.",
    )
    boundary_iou: bool = Field(False, description="Score boundary IoU after every click too.")
    save_masks: bool = Field(
        False, description="Keep every trace's last mask: COCO JSON in DIR/masks."
    )
    out: Path | None = Field(None, description="The directory of the run, made or resumed.")
    ship_package: bool = Field(False, description="Send isegbench to Ray nodes that lack it.")

    def fields_of(self, kind: type) -> dict[str, Any]:
        """The values of the fields that another dataclass or model has too."""
        return {
            name: getattr(self, name)
            for name in inspect.get_annotations(kind)
            if name in type(self).model_fields
        }

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = get_args(cls.model_fields[str(info.field_name)].annotation)
        kinds = kinds or (cls.model_fields[str(info.field_name)].annotation,)
        if isinstance(value, bool) and {int, float} & set(kinds):
            raise ValueError("must be a number")
        return value

    @field_validator("methods", "datasets", "redo", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return list(value)
        return [value]

    @field_validator("methods")
    @classmethod
    def _with_fit_resources(cls, methods: list[Named]) -> list[Named]:
        for named in methods:
            if isinstance(named, dict) and "resources" in named:
                read_resources(named["resources"])
        return methods


class _ResourcesTable(BaseModel):
    """The table `resources` of a method in a configuration."""

    model_config = ConfigDict(extra="forbid")

    cpus: float = Field(1.0, ge=0, allow_inf_nan=False)
    gpus: float | None = Field(None, ge=0, allow_inf_nan=False)
    memory: ByteSize | None = None


def read_resources(given: Any) -> Resources:
    """The resources of a worker, from a table such as `{"gpus": 0.25, "memory": "8GiB"}`.

    Raises a ValueError that names the key; its `ctx` has the key and the value.
    """
    if isinstance(given, Resources):
        return given
    if not isinstance(given, dict):
        raise _unfit("resources", given, f"{given!r}: must be a table such as {{gpus = 0.25}}")
    try:
        table = _ResourcesTable.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        key = str(problem["loc"][0])
        reason = problem["msg"]
        if problem["type"] == "extra_forbidden":
            reason = nearest(key, _ResourcesTable.model_fields)
            raise _unfit(key, problem["input"], f"unknown key {key!r}: {reason}") from None
        raise _unfit(key, problem["input"], f"{key} = {problem['input']!r}: {reason}") from None
    try:
        return Resources(table.cpus, table.gpus, table.memory and int(table.memory))
    except UserError as error:
        reason = str(error).removeprefix("resources: ")
        raise _unfit("gpus", table.gpus, reason) from None


def _unfit(key: str, value: Any, reason: str) -> PydanticCustomError:
    # The reason may have braces, which pydantic replaces in a message but not in a context.
    context = {"key": key, "value": value, "reason": reason}
    return PydanticCustomError("resources", "resources: {reason}", context)


def make_config(values: dict[str, Any], where: str = "", text: str = "") -> RunConfig:
    """Check values. Raises UserError naming each bad key, with its line when `text` is given."""
    return checked(RunConfig, values, where, text)


def checked(model: type[Model], values: dict[str, Any], where: str = "", text: str = "") -> Model:
    """A model with these values.

    where, text: the file of the values and its content, for errors. Raises UserError naming each
    bad key, with its line when `text` is given.
    """
    try:
        return model(**values)
    except ValidationError as error:
        raise UserError(_complaints(error.errors(), model, where, text)) from None


def read_config(path: Path) -> dict[str, Any]:
    """The values of a TOML file, checked. Raises UserError naming file, line and key."""
    values, text = read_toml(path)
    try:
        RunConfig(**values)
    except ValidationError as error:
        # The command line can still give a missing key.
        wrong = [problem for problem in error.errors() if problem["type"] != "missing"]
        if wrong:
            raise UserError(_complaints(wrong, RunConfig, str(path), text)) from None
    return values


def read_toml(path: Path) -> tuple[dict[str, Any], str]:
    """The values of a TOML file and its text. Raises UserError when it cannot be read."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from error


def _complaints(problems: list[Any], model: type[BaseModel], where: str, text: str) -> str:
    return "\n".join(_complaint(problem, model, where, text) for problem in problems)


def _complaint(problem: Any, model: type[BaseModel], where: str, text: str) -> str:
    key = str(problem["loc"][0]) if problem["loc"] else ""
    line = _line_of(key, text)
    place = f"{where}:{line}: " if line else (f"{where}: " if where else "")
    if problem["type"] == "resources":
        line = _line_within(problem["ctx"]["key"], problem["ctx"]["value"], text) or line
        place = f"{where}:{line}: " if line else place
        return f"{place}{key}: {problem['msg']}"
    if problem["type"] == "extra_forbidden":
        return f"{place}unknown key {key!r}: {nearest(key, model.model_fields)}"
    if problem["type"] == "missing":
        field = model.model_fields[key]
        several = field.annotation is not None and get_origin(field.annotation) is list
        return f"{place}{key} is missing{': name at least one' if several else ''}"
    if not key:
        return f"{place}{problem['msg']}"
    return f"{place}{key} = {problem['input']!r}: {problem['msg']}"


def _line_of(key: str, text: str) -> int | None:
    pattern = re.compile(rf"""\s*(\[\[?\s*)?["']?{re.escape(key)}["']?\s*[=\].]""")
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.match(line):
            return number
    return None


def _line_within(key: str, value: Any, text: str) -> int | None:
    """The first line that sets a key to this value, also inside a table on one line."""
    written = f"{value:g}" if isinstance(value, float) else str(value)
    pattern = re.compile(rf"""\b{re.escape(key)}\b["']?\s*=\s*["']?{re.escape(written)}""")
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.search(line):
            return number
    return None
