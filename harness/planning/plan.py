"""From names to work: which method meets which instances, with which simulator and seed."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from .. import registry
from ..dataset import Dataset
from ..engine.session import Settings
from ..errors import UserError, nearest
from ..method import Method
from ..registry import Registry, Spec
from ..simulator import Simulator
from ..simulators.jitter import Jittered
from ..simulators.openings import OPENINGS
from ..store.manifest import DatasetEntry, MethodEntry, PaperEntry, Protocol, WeightsEntry
from ..types import InstanceRef
from .config import Named, RunConfig, read_resources
from .resources import Resources

_SLICE = re.compile(r"(?P<spec>.*)\[(?P<start>-?\d*):(?P<stop>-?\d*)\]", re.DOTALL)


@dataclass(frozen=True)
class MethodPlan:
    """A method to run: its name in traces, how to build it anywhere, and what it says of itself.

    built: the one built here to check it and to describe it. resources: what a worker of it
    occupies.
    """

    name: str
    build: Callable[[], Method]
    built: Method
    entry: MethodEntry
    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True)
class DatasetPlan:
    """A data set to score: its name in traces and the instances chosen, in order."""

    name: str
    refs: Sequence[InstanceRef]
    entry: DatasetEntry


@dataclass(frozen=True)
class Job:
    """One method on instances of one data set with one seed: what an executor runs."""

    method: MethodPlan
    simulator_name: str
    simulator: Simulator
    seed: int
    dataset_name: str
    refs: Sequence[InstanceRef]
    settings: Settings


@dataclass(frozen=True)
class Plan:
    """A whole benchmark, checked and ready to run."""

    methods: list[MethodPlan]
    datasets: list[DatasetPlan]
    simulator_name: str
    simulator: Simulator
    protocol: Protocol
    settings: Settings

    def jobs(self, done: set[tuple]) -> list[Job]:
        """What is left to do when the traces with the keys in `done` exist already."""
        jobs = []
        for method in self.methods:
            for dataset in self.datasets:
                for seed in range(self.protocol.seed, self.protocol.seed + self.protocol.seeds):
                    key = (method.name, dataset.name, self.simulator_name, seed)
                    left = [ref for ref in dataset.refs if (*key, ref.name) not in done]
                    if left:
                        named = (self.simulator_name, self.simulator, seed, dataset.name)
                        jobs.append(Job(method, *named, left, self.settings))
        return jobs

    def instances(self) -> pd.DataFrame:
        """Every planned instance: columns dataset, instance, image."""
        rows = [(d.name, ref.name, ref.image_name) for d in self.datasets for ref in d.refs]
        return pd.DataFrame(rows, columns=["dataset", "instance", "image"])


def make_plan(config: RunConfig) -> Plan:
    """Build everything a run needs. Raises UserError for whatever cannot be built or found."""
    simulator_name, simulator = build_simulator(config.simulator)
    methods = [plan_method(named) for named in config.methods]
    datasets = [plan_dataset(named, config) for named in config.datasets]
    _refuse_twins("method", [method.name for method in methods])
    _refuse_twins("dataset", [dataset.name for dataset in datasets])
    for method in methods:
        opening = method.entry.opening
        if opening not in OPENINGS:
            known = nearest(opening, OPENINGS)
            raise UserError(
                f"method {method.name} asks for an unknown opening {opening!r}: {known}"
            )
        if len(OPENINGS[opening]) > config.clicks:
            raise UserError(
                f"method {method.name} opens with {len(OPENINGS[opening])} clicks ({opening}), "
                f"more than the budget: raise clicks = {config.clicks}"
            )
    protocol = Protocol(
        simulator=simulator_name,
        clicks=config.clicks,
        stop_at=config.stop_at,
        seed=config.seed,
        seeds=config.seeds,
        time_limit=config.time_limit,
    )
    settings = Settings(
        config.clicks,
        config.stop_at,
        config.batch_size,
        config.time_limit,
        boundary_iou=config.boundary_iou,
        save_masks=config.save_masks,
    )
    return Plan(methods, datasets, simulator_name, simulator, protocol, settings)


def plan_method(named: Named) -> MethodPlan:
    """Build and describe one method."""
    resources = Resources()
    if isinstance(named, dict) and "resources" in named:
        named = dict(named)
        try:
            resources = read_resources(named.pop("resources"))
        except ValueError as error:
            raise UserError(f"method {named.get('name')}: {error}") from None
    name, build = _resolve(registry.methods, named, Method)
    built = build()
    if not isinstance(built, Method):
        raise UserError(f"method {name}: {type(built).__name__} is not a subclass of Method")
    return MethodPlan(name, build, built, describe_method(built, _full(named, name)), resources)


def describe_method(method: Method, spec: str) -> MethodEntry:
    """What the manifest and the leaderboard say of a method."""
    paper, weights = method.paper, method.weights
    return MethodEntry(
        spec=spec,
        opening=method.opening,
        threshold=float(method.threshold),
        corrections=method.corrections,
        sees_truth=method.sees_truth,
        paper=paper and PaperEntry(**vars(paper)),
        departures=list(method.departures),
        weights=weights
        and WeightsEntry(
            name=weights.name, sha256=weights.sha256, trained_on=list(weights.trained_on)
        ),
    )


def build_simulator(named: Named) -> tuple[str, Simulator]:
    """A simulator and its name; any one may be given `jitter=PIXELS` besides its own keys."""
    if isinstance(named, Simulator):
        return type(named).__name__, named
    spec, label = _spec(named)
    own = dict(spec.params)
    jitter = own.pop("jitter", None)
    simulator = registry.simulators.build(Spec(spec.name, spec.positional, own))
    if not isinstance(simulator, Simulator):
        kind = type(simulator).__name__
        raise UserError(f"simulator {spec}: {kind} is not a subclass of Simulator")
    if jitter is not None:
        try:
            simulator = Jittered(simulator, float(jitter))
        except ValueError:
            raise UserError(f"simulator {spec}: jitter={jitter!r} is not a number") from None
    return label or str(spec), simulator


def plan_dataset(named: Named, config: RunConfig) -> DatasetPlan:
    """Find a data set and choose its instances: `[start:stop]`, then names, then the limit."""
    subset, start, stop = [], None, None
    if isinstance(named, str) and (sliced := _SLICE.fullmatch(named)):
        named = sliced["spec"]
        start, stop = (int(sliced[end]) if sliced[end] else None for end in ("start", "stop"))
        subset.append(f"[{'' if start is None else start}:{'' if stop is None else stop}]")
    name, build = _resolve(registry.datasets, named, Dataset, data_root=config.data_root)
    dataset = build()
    if not isinstance(dataset, Dataset):
        raise UserError(f"dataset {name}: {type(dataset).__name__} is not a subclass of Dataset")
    dataset.name = name
    everything = dataset.instances()
    refs = everything[start:stop]
    if config.instances is not None:
        refs = _named_instances(name, refs, config.instances, len(config.datasets) > 1)
        subset.append(f"instances of {config.instances}")
    if config.limit is not None:
        refs = refs[: config.limit]
        subset.append(f"first {config.limit}")
    if not refs:
        raise UserError(f"dataset {name}: no instance is left of {len(everything)} ({subset})")
    names = [ref.name for ref in everything]
    if len(set(names)) < len(names):
        twin = next(one for one, other in pairwise(sorted(names)) if one == other)
        raise UserError(f"dataset {name} holds two instances called {twin!r}: names must differ")
    entry = DatasetEntry(
        spec=_full(named, name),
        instances=len(everything),
        fingerprint=hashlib.sha256("\n".join(names).encode()).hexdigest(),
        planned=len(refs),
        subset=", ".join(subset) or "all",
        published=dataset.expected[1] if dataset.expected else None,
    )
    return DatasetPlan(name, refs, entry)


def _named_instances(
    dataset: str, refs: Sequence[InstanceRef], path: Path, elsewhere: bool
) -> list[InstanceRef]:
    """The instances a file names, one a line, in the data set's order.

    elsewhere: names that are not here may belong to another data set of the run.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--instances {path} cannot be read: {error}") from error
    wanted = {line.strip() for line in lines if line.strip()}
    unknown = wanted - {ref.name for ref in refs}
    if unknown and not elsewhere:
        first = min(unknown)
        close = nearest(first, [ref.name for ref in refs][:10_000]).split(" Known")[0]
        hint = f" ({close})" if close.startswith("did you mean") else ""
        raise UserError(
            f"--instances {path}: {len(unknown)} name(s) not in {dataset}, such as {first!r}{hint}"
        )
    return [ref for ref in refs if ref.name in wanted]


def _spec(named: Named) -> tuple[Spec, str | None]:
    """A spec and the label it was given, from a string or a TOML table."""
    if isinstance(named, str):
        return Spec.parse(named), None
    values = dict(named)
    if not isinstance(values.get("name"), str):
        raise UserError(f'{named!r}: a table needs a name = "..."')
    given = Spec.parse(values.pop("name"))
    label = values.pop("label", None)
    params = {key.replace("-", "_"): value for key, value in values.items()}
    return Spec(given.name, given.positional, given.params | params), label


def _full(named: Named, name: str) -> str:
    """What to write down so that the same can be built again; an object has only its name."""
    return _spec(named)[0].full if isinstance(named, (str, dict)) else name


def _resolve(
    kind: Registry[Any], named: Named, base: type, **context: Any
) -> tuple[str, Callable[[], Any]]:
    """A name for traces and a builder, from a string, a TOML table, a class or an object."""
    if isinstance(named, (str, dict)):
        spec, label = _spec(named)
        return label or str(spec), Recipe(kind.factory(spec.name), spec, kind.kind, context)
    if isinstance(named, type):
        return named.__name__, named
    if isinstance(named, base):
        return getattr(named, "name", None) or type(named).__name__, lambda: named
    raise UserError(f"{named!r} is not a {kind.kind}: give a name, a class or an object")


@dataclass(frozen=True)
class Recipe:
    """How to build what a spec names, on any machine: the factory travels, not its name."""

    factory: Callable[..., Any]
    spec: Spec
    kind: str
    context: dict[str, Any]

    def __call__(self) -> Any:
        return registry.build_with(self.factory, self.spec, self.kind, self.context)


def _refuse_twins(what: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{what} {name!r} is given twice: give one of them a label")
        seen.add(name)
