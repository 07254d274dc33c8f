"""Listings of the registered methods, data sets and simulators."""

import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from .. import registry
from ..downloads import weights
from .outline import outlines

#: Parameters that choose a mode; the others tune one.
_MODES = ("mode", "protocol", "zoom", "solver")


@dataclass(frozen=True)
class MethodListing:
    """One method in a listing.

    opening: the clicks it starts with; all values when a parameter chooses, the default first.
    modes: the values of its mode-like parameters, the default first. known, here: its known
    checkpoints, and those on this machine; both None for a method without weights. install: the
    command that installs a missing package that the method requires; empty if nothing is missing.
    """

    name: str
    about: str
    paper: str
    url: str
    year: int | None
    opening: str
    modes: str
    known: tuple[str, ...] | None
    here: tuple[str, ...] | None
    parameters: str
    install: str

    @property
    def weights(self) -> str:
        """Whether it needs weights, and how many checkpoints are on this machine, in words."""
        if self.known is None or self.here is None:
            return "none"
        if not self.known:
            return "needed"
        return f"needed; {len(self.here)} of {len(self.known)} here"


def method_listings() -> list[MethodListing]:
    """All registered methods, by name; fields that a class does not give are empty."""
    return [_listing(name, factory) for name, factory in outlines(registry.methods)]


def _listing(name: str, factory: Callable[..., Any]) -> MethodListing:
    paper = getattr(factory, "paper", None)
    known = here = None
    if "weights" in inspect.signature(factory).parameters:
        entries = weights.known_checkpoints(name)
        known = tuple(entry.name for entry in entries)
        here = tuple(entry.name for entry in entries if weights.find(entry))
    return MethodListing(
        name=name,
        about=summary(factory),
        paper=f"{paper.authors}: {paper.title}" if paper else "",
        url=paper.url if paper else "",
        year=paper.year if paper else None,
        opening=_openings(factory),
        modes=modes(factory),
        known=known,
        here=here,
        parameters=parameters(factory),
        install=_install(getattr(factory, "requires", None)),
    )


def _install(requires: tuple[str, str] | None) -> str:
    """The command that installs a required package; empty if its module can be imported."""
    if requires is None or importlib.util.find_spec(requires[0]) is not None:
        return ""
    return f"pip install '{requires[1]}'"


def summary(factory: Callable[..., Any]) -> str:
    """The first sentence of a factory's docstring, on one line."""
    first = (inspect.getdoc(factory) or "").partition("\n\n")[0].replace("\n", " ")
    return first.partition(". ")[0].rstrip(".")


def _openings(factory: Callable[..., Any]) -> str:
    chosen = _signature(factory).get("opening")
    if chosen is None or get_origin(chosen.annotation) is not Literal:
        return str(getattr(factory, "opening", ""))
    return ", ".join(_values(chosen))


def modes(factory: Callable[..., Any]) -> str:
    """The values of the mode-like parameters of a factory: `mode=A|B`, the default first."""
    found = []
    for name, parameter in _signature(factory).items():
        if name in _MODES and get_origin(parameter.annotation) is Literal:
            found.append(f"{name}={'|'.join(_values(parameter))}")
    return ", ".join(found)


def _values(parameter: inspect.Parameter) -> list[str]:
    """The values of a Literal parameter, the default first."""
    values = [str(value) for value in get_args(parameter.annotation)]
    return sorted(values, key=lambda value: value != str(parameter.default))


def parameters(factory: Callable[..., Any]) -> str:
    """The parameters of a factory with their defaults, in the form of the command line."""
    shown = []
    for name, parameter in _signature(factory).items():
        default = parameter.default
        shown.append(f"{name}=..." if default in (parameter.empty, None) else f"{name}={default}")
    return ", ".join(shown)


def _signature(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        name: parameter
        for name, parameter in inspect.signature(factory, eval_str=True).parameters.items()
        if name != "data_root" and parameter.kind not in variadic
    }


def methods_markdown() -> str:
    """The table of methods in the README, as Markdown."""
    lines = [
        "| method | paper | year | opening | modes | weights |",
        "|---|---|---|---|---|---|",
    ]
    for row in method_listings():
        paper = f"[{row.paper}]({row.url})" if row.url else row.paper or row.about
        needed = "no" if row.known is None else "yes"
        cells = [f"`{row.name}`", paper, str(row.year or ""), row.opening]
        cells += [row.modes.replace("|", "\\|"), needed]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
