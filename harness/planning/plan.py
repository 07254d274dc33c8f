"""The plan of a run: its methods, data sets and simulator, and the jobs made from them."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from .. import registry
from ..dataset import Dataset
from ..engine import guard
from ..engine.declared import Declared
from ..engine.process_state import process_state_kept
from ..engine.session import Pairing, Settings
from ..errors import UserError, cleaned, nearest
from ..method import Checkpoint, Method
from ..registry import Spec
from ..simulator import Simulator
from ..simulators.jitter import Jittered
from ..simulators.openings import OPENINGS
from ..store.manifest import DatasetEntry, Identity, MethodEntry, Protocol, WeightsRecord
from ..types import InstanceRef
from .config import Named, RunConfig, read_resources
from .content import content_of
from .identity import identity_of
from .resources import Resources

T = TypeVar("T")

_SLICE = re.compile(r"(?P<spec>.*)\[(?P<start>-?\d*):(?P<stop>-?\d*)\]", re.DOTALL)


@dataclass(frozen=True)
class MethodPlan:
    """A method to run: its name in traces, its builder, and its entry in the manifest.

    build: builds the method on any machine. built: the method built in this process, to check and
    describe it; None in a pickled plan. resources: what a worker of the method occupies.
    """

    name: str
    build: Callable[[], Method]
    built: Method
    entry: MethodEntry
    resources: Resources = field(default_factory=Resources)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"built": None}


@dataclass(frozen=True)
class DatasetPlan:
    """A data set to score: its name in traces and the chosen instances, in order.

    everything: all instances that the data set holds.
    """

    name: str
    refs: Sequence[InstanceRef]
    entry: DatasetEntry
    everything: Sequence[InstanceRef]

    def described(self) -> DatasetEntry:
        """The entry with the fingerprint of all images and masks, which this reads."""
        return self.entry.model_copy(update={"content": content_of(self.everything)})


@dataclass(frozen=True)
class SimulatorPlan:
    """Who clicks: the name in traces, the simulator, and what it is made of."""

    name: str
    built: Simulator
    identity: Identity


@dataclass(frozen=True)
class Selection:
    """The folder of a data set's files, and the choice of its instances.

    data_root: the folder of the data sets; None: ISEGBENCH_DATA, else the cache. limit: the first
    N instances. instances: a file with one name in each line. several: the names in that file may
    belong to other data sets too.
    """

    data_root: Path | None = None
    limit: int | None = None
    instances: Path | None = None
    several: bool = False


#: All instances of a data set in the default folder.
EVERYTHING = Selection()


@dataclass(frozen=True)
class Job:
    """One method on instances of one data set with one seed: what an executor runs.

    It can be pickled: a worker builds the method from `method.build`.
    """

    method: MethodPlan
    simulator_name: str
    simulator: Simulator
    seed: int
    dataset_name: str
    refs: Sequence[InstanceRef]
    settings: Settings

    def pairing(self, method: Method) -> Pairing:
        """The input of the engine. method: the one built in this process."""
        return Pairing(method, self.method.name, self.simulator, self.simulator_name, self.seed)


@dataclass(frozen=True)
class Plan:
    """A whole benchmark, checked and ready to run."""

    methods: list[MethodPlan]
    datasets: list[DatasetPlan]
    simulator: SimulatorPlan
    protocol: Protocol
    settings: Settings

    def jobs(self, done: set[tuple]) -> list[Job]:
        """The jobs of a run without the traces with the keys in `done`, which are finished."""
        jobs = []
        for method in self.methods:
            for dataset in self.datasets:
                for seed in range(self.protocol.seed, self.protocol.seed + self.protocol.seeds):
                    key = (method.name, dataset.name, self.simulator.name, seed)
                    left = [ref for ref in dataset.refs if (*key, ref.name) not in done]
                    if left:
                        who = (self.simulator.name, self.simulator.built)
                        named = (*who, seed, dataset.name)
                        jobs.append(Job(method, *named, left, self.settings))
        return jobs

    def instances(self) -> pd.DataFrame:
        """All planned instances: columns dataset, instance, image."""
        rows = [(d.name, ref.name, ref.image_name) for d in self.datasets for ref in d.refs]
        return pd.DataFrame(rows, columns=["dataset", "instance", "image"])


def make_plan(config: RunConfig) -> Plan:
    """Build methods, data sets and simulator. Raises UserError when one cannot be built."""
    simulator = plan_simulator(config.simulator)
    methods = [plan_method(named) for named in config.methods]
    several = len(config.datasets) > 1
    selection = Selection(**config.fields_of(Selection), several=several)
    datasets = [plan_dataset(named, selection) for named in config.datasets]
    _refuse_twins("method", [method.name for method in methods])
    _refuse_twins("dataset", [dataset.name for dataset in datasets])
    for method in methods:
        opening = method.entry.opening
        if len(OPENINGS[opening]) > config.clicks:
            raise UserError(
                f"method {method.name} opens with {len(OPENINGS[opening])} clicks ({opening}), "
                f"more than the budget: raise clicks = {config.clicks}"
            )
    shared: dict[str, Any] = config.fields_of(Protocol) | {"simulator": simulator.name}
    protocol = Protocol(**shared)
    settings = Settings(**config.fields_of(Settings))
    return Plan(methods, datasets, simulator, protocol, settings)


def plan_method(named: Named) -> MethodPlan:
    """Build and describe one method."""
    resources = Resources()
    if isinstance(named, dict) and "resources" in named:
        named = dict(named)
        try:
            resources = read_resources(named.pop("resources"))
        except ValueError as error:
            raise UserError(f"method {named.get('name')}: {error}") from None
    shown = named if isinstance(named, (str, dict)) else getattr(named, "__name__", type(named))

    def build() -> MethodPlan:
        with process_state_kept():
            found = registry.methods.resolve(named, Method)
            built = found.build()
            _refuse_unfinished(found.label, built)
            entry = describe_method(built, cleaned(found.spec))
            entry.identity = identity_of(found, built)
            return MethodPlan(cleaned(found.label), found.build, built, entry, resources)

    return guard.build(f"method {shown} cannot be used", build)


def _refuse_unfinished(name: str, method: Method) -> None:
    kind = type(method)
    own = (kind.predict is not Method.predict, kind.predict_one is not Method.predict_one)
    if not any(own) and not {"predict", "predict_one"} & vars(method).keys():
        raise UserError(f"method {name}: {kind.__name__} must define predict_one or predict")


def describe_method(method: Method, spec: str) -> MethodEntry:
    """The entry of a method in the manifest and the leaderboard."""
    files = checkpoints(method)
    try:
        declared = Declared.of(method)
    except UserError as error:
        raise UserError(f"method {spec}: {error}") from None
    if declared.opening not in OPENINGS:
        known = nearest(str(declared.opening), OPENINGS)
        raise UserError(f"method {spec} asks for an unknown opening {declared.opening!r}: {known}")
    return MethodEntry(
        spec=spec,
        opening=declared.opening,
        threshold=declared.threshold,
        corrections=declared.corrections,
        sees_truth=declared.sees_truth,
        paper=method.paper,
        departures=list(method.departures),
        weights=WeightsRecord.of(files) if files else None,
    )


def checkpoints(method: Method) -> tuple[Checkpoint, ...]:
    """The checkpoints that a method runs with."""
    used = method.weights
    return used if isinstance(used, tuple) else () if used is None else (used,)


def plan_simulator(named: Named) -> SimulatorPlan:
    """Build and identify a simulator; each accepts `jitter=PIXELS` besides its own keys."""
    jitter = None
    if isinstance(named, (str, dict)):
        spec = Spec.of(named)
        own = dict(spec.params)
        jitter = own.pop("jitter", None)
        named = replace(spec, params=own, label=spec.label or str(spec))
    found = registry.simulators.resolve(named, Simulator)
    simulator = found.build()
    identity = identity_of(found, simulator)
    if jitter is not None:
        try:
            simulator = Jittered(simulator, float(jitter))
        except (TypeError, ValueError):
            raise UserError(f"simulator {found.label}: jitter={jitter!r} is not a number") from None
        identity.parameters["jitter"] = float(jitter)
    return SimulatorPlan(found.label, simulator, identity)


def plan_dataset(named: Named, selection: Selection = EVERYTHING) -> DatasetPlan:
    """Find a data set and choose its instances: `[start:stop]`, then names, then the limit."""
    subset, start, stop = [], None, None
    if isinstance(named, str) and (sliced := _SLICE.fullmatch(named)):
        named = sliced["spec"]
        start, stop = (int(sliced[end]) if sliced[end] else None for end in ("start", "stop"))
        subset.append(f"[{'' if start is None else start}:{'' if stop is None else stop}]")
    found = registry.datasets.resolve(named, Dataset, data_root=selection.data_root)
    name, dataset = found.label, found.build()
    dataset.name = name
    everything = _with_writable_names(dataset.instances())
    refs = everything[start:stop]
    if selection.instances is not None:
        refs = _named_instances(name, refs, selection.instances, selection.several)
        subset.append(f"instances of {selection.instances}")
    if selection.limit is not None:
        refs = refs[: selection.limit]
        subset.append(f"first {selection.limit}")
    if not refs:
        raise UserError(f"dataset {name}: no instance is left of {len(everything)} ({subset})")
    names = [ref.name for ref in everything]
    if len(set(names)) < len(names):
        twin = next(one for one, other in pairwise(sorted(names)) if one == other)
        raise UserError(f"dataset {name} has two instances called {twin!r}: names must differ")
    entry = DatasetEntry(
        spec=found.spec,
        instances=len(everything),
        fingerprint=hashlib.sha256("\n".join(names).encode()).hexdigest(),
        planned=len(refs),
        subset=", ".join(subset) or "all",
        published=dataset.expected[1] if dataset.expected else None,
        identity=identity_of(found, dataset),
    )
    return DatasetPlan(name, refs, entry, everything)


def _with_writable_names(refs: Sequence[InstanceRef]) -> Sequence[InstanceRef]:
    """The instances; names of files that are not UTF-8, or hold control characters, are cleaned."""
    if all(ref.name == cleaned(ref.name) for ref in refs):
        return refs
    return [
        replace(ref, name=cleaned(ref.name), image_name=cleaned(ref.image_name)) for ref in refs
    ]


def _named_instances(
    dataset: str, refs: Sequence[InstanceRef], path: Path, elsewhere: bool
) -> list[InstanceRef]:
    """The instances that a file names, one in each line, in the order of the data set.

    elsewhere: other names may belong to another data set of the run.
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


def evenly_spread(items: Sequence[T], count: int) -> list[T]:
    """`count` of the items, or all, with equal steps from the first to the last."""
    if count >= len(items):
        return list(items)
    last = len(items) - 1
    return [items[round(n * last / max(1, count - 1))] for n in range(count)]


def _refuse_twins(what: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{what} {name!r} is given twice: give one of them a label")
        seen.add(name)
