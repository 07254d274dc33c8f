"""What keeps a run from being resumed, and the two ways to go on all the same."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from ..errors import UserError, nearest
from .manifest import Identity, Manifest


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was. method: whose traces it concerns, None for all.

    code: whether another program or other data ran, as opposed to other settings.
    """

    what: str
    was: Any
    now: Any
    method: str | None = None
    code: bool = False

    def __str__(self) -> str:
        return f"{self.what}: {self.was} in the run, now {self.now}"


@dataclass(frozen=True)
class Resume:
    """How a run is resumed whose code or data differ.

    redo: methods to compute again, their traces are removed. keep: go on; what differs is recorded.
    """

    redo: Sequence[str] = field(default_factory=tuple)
    keep: bool = False


#: Nothing may differ.
AS_IT_WAS = Resume()


def settle(recorded: Manifest, planned: Manifest, how: Resume) -> list[str]:
    """What differs and is kept all the same, a line each, with what is unknown.

    Raises UserError that shows every difference, where one keeps `planned` from resuming
    `recorded`.
    """
    refuse_unknown(planned, how)
    anew = recorded.methods.keys() <= set(how.redo)
    found = [one for one in differences(recorded, planned) if one.method not in how.redo]
    left = [one for one in found if not (one.code and (anew or how.keep))]
    if left:
        shown = "\n".join(f"  {one}" for one in left)
        raise UserError(f"{_what_to_do(left)}:\n{shown}")
    kept = [] if anew else [str(one) for one in found]
    return kept + [f"{what}: unknown in the run" for what in _unknown(recorded, planned, how)]


def refuse_unknown(planned: Manifest, how: Resume) -> None:
    """Raises UserError for a method to redo that is none of the run's."""
    for name in how.redo:
        if name not in planned.methods:
            known = nearest(name, planned.methods)
            raise UserError(f"--redo {name}: no method of this run is called so: {known}")


def _what_to_do(left: list[Difference]) -> str:
    settings = "resume it with the same ones or choose another --out"
    if not all(one.code for one in left):
        return f"was made with other settings; {settings}"
    named = sorted({one.method for one in left if one.method})
    again = " ".join(f"--redo {name}" for name in named) or "--redo METHOD for every method"
    return (
        f"was made with other code or data; compute again what they concern ({again}), go on with "
        "both (--keep), or choose another --out"
    )


def differences(recorded: Manifest, planned: Manifest) -> list[Difference]:
    """Everything in which two manifests of one run differ; what is unknown does not."""
    found = [
        Difference("isegbench version", recorded.isegbench, planned.isegbench, code=True),
        *_commits(recorded, planned),
        *_fields("", recorded.protocol, planned.protocol),
        *_fields("kept: ", recorded.kept, planned.kept),
        *_identities("simulator: ", recorded.simulator, planned.simulator),
    ]
    for name in recorded.methods.keys() & planned.methods.keys():
        one, other = recorded.methods[name], planned.methods[name]
        found += _fields(f"method {name}: ", one, other, name)
        found += _identities(f"method {name}: ", one.identity, other.identity, name)
    for name in recorded.datasets.keys() & planned.datasets.keys():
        one, other = recorded.datasets[name], planned.datasets[name]
        prefix = f"dataset {name}: "
        found += [
            Difference(f"{prefix}instances", one.instances, other.instances),
            Difference(f"{prefix}fingerprint of names", one.fingerprint, other.fingerprint),
            *_identities(prefix, one.identity, other.identity),
        ]
        if one.content and other.content:
            content = [f"{c.fingerprint[:12]} ({c.compared})" for c in (one.content, other.content)]
            found.append(Difference(f"{prefix}images and masks", *content, code=True))
    return [one for one in found if one.was != one.now]


def _commits(recorded: Manifest, planned: Manifest) -> Iterator[Difference]:
    if recorded.invocations and planned.invocations:
        was, now = recorded.invocations[-1].commit, planned.invocations[-1].commit
        if was and now:
            yield Difference("isegbench commit", was, now, code=True)


def _fields(
    prefix: str, one: BaseModel, other: BaseModel, method: str | None = None
) -> Iterator[Difference]:
    for name in type(one).model_fields:
        if name != "identity":
            yield Difference(prefix + name, getattr(one, name), getattr(other, name), method)


def _identities(
    prefix: str, one: Identity | None, other: Identity | None, method: str | None = None
) -> Iterator[Difference]:
    if one is None or other is None:
        return
    was, now = one.model_dump(), other.model_dump()
    for name in was:
        if isinstance(was[name], dict):
            for key in sorted(was[name].keys() | now[name].keys()):
                one_value, other_value = (side[name].get(key, "none") for side in (was, now))
                what = f"{prefix}{name[:-1]} {key}"
                yield Difference(what, _short(one_value), _short(other_value), method, code=True)
        else:
            yield Difference(prefix + name, _short(was[name]), _short(now[name]), method, code=True)


def _short(value: Any) -> Any:
    """A sha256 is recognised by its beginning."""
    is_hash = isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")
    return value[:12] if is_hash else value


def _unknown(recorded: Manifest, planned: Manifest, how: Resume) -> Iterator[str]:
    """What the run has traces of, though it did not record what they are of."""
    if recorded.simulator is None:
        yield "simulator"
    for kind, was, now in (
        ("method", recorded.methods, planned.methods),
        ("dataset", recorded.datasets, planned.datasets),
    ):
        for name in was.keys() & now.keys():
            if was[name].identity is None and name not in how.redo:
                yield f"{kind} {name}"
