"""Options of a run on the command line, from the fields of its configuration; and how one stops."""

import inspect
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

import typer
from rich.console import Console

from ..planning.config import RunConfig

#: The option of a field that takes several values has another name: it is given once for each.
_REPEATED = {"methods": "method", "datasets": "dataset"}
#: What help shows in place of a type.
_METAVARS = {"executor": "inline|ray", "stop_at": "IOU"}


def with_options_of_a_run(
    *names: str, **descriptions: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of these fields of RunConfig, in place of its `**given`.

    names: the fields; all that the command line can express by default. descriptions: help that
    differs from the field's. The options stand after the command's positional parameters; `given`
    holds, by field, only what was given.
    """
    chosen = names or tuple(
        name for name, field in RunConfig.model_fields.items() if field.description
    )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())
        options = {_REPEATED.get(name, name): name for name in chosen}
        first = [part for part in own if part.kind is part.POSITIONAL_OR_KEYWORD]
        last = [part for part in own if part.kind is part.KEYWORD_ONLY]

        def called(**values: Any) -> None:
            given = {name: values.pop(option) for option, name in options.items()}
            # A 0 is given: only None and False stand for what was not.
            given = {n: v for n, v in given.items() if v is not None and v is not False}
            command(**values, **given)

        generated = [_parameter(name, descriptions.get(name)) for name in chosen]
        called.__doc__ = command.__doc__
        called.__signature__ = inspect.Signature(  # pyright: ignore[reportFunctionMemberAccess]
            [part.replace(kind=part.KEYWORD_ONLY) for part in [*first, *generated, *last]]
        )
        return called

    return decorate


def _parameter(name: str, description: str | None) -> inspect.Parameter:
    """The option of one field: None, or False for a flag, where it is not given."""
    field = RunConfig.model_fields[name]
    option = _REPEATED.get(name, name)
    text = (description or field.description or "").format(default=field.default)
    if field.annotation is bool:
        flag = typer.Option(f"--{name.replace('_', '-')}", help=text)
        return _keyword(option, Annotated[bool, flag], False)
    several = get_origin(field.annotation) in (list, tuple)
    kind = list[str] if several else _plain(field.annotation)
    shown = typer.Option(metavar=_METAVARS.get(name), help=text)
    return _keyword(option, Annotated[kind | None, shown], None)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _plain(annotation: Any) -> Any:
    """int, float or Path as the field has it; str for what the configuration checks itself."""
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not NoneType]
    return kinds[0] if kinds in ([int], [float], [Path]) else str


def say_stopped(console: Console, kept: str) -> None:
    """After Ctrl-C: what is kept, and the command that goes on from there."""
    # To be copied from where it stands: unbroken, and not read as rich's markup.
    again = shlex.join(["isegbench", *_without_redo(sys.argv[1:])])
    console.print(
        f"\nStopped. {kept} To go on:\n  {again}", soft_wrap=True, markup=False, highlight=False
    )


def _without_redo(arguments: list[str]) -> list[str]:
    """The arguments without `--redo METHOD`, which would begin that method once more."""
    return [
        argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
        if "--redo" not in (before, argument) and not argument.startswith("--redo=")
    ]
