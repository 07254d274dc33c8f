"""The options of a run on the command line, and the message after Ctrl-C."""

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

#: Options with another name than their field: they are given once for each value.
_REPEATED = {"methods": "method", "datasets": "dataset"}
#: The text of the help in place of a type.
_METAVARS = {"executor": "inline|ray", "stop_at": "IOU"}


def with_options_of_a_run(
    *names: str, **descriptions: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of these fields of RunConfig, in place of its `**given`.

    names: the fields; by default all that have a description. descriptions: help texts that differ
    from the field's. The options come after the positional parameters of the command; `given` has
    only the values that the user gave, by field.
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
            # None and False mean that the option was not given; 0 is a value.
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
    """The option of a field; its value is None, or False for a flag, when it is not given."""
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
    """The type of the field if it is int, float or Path; else str, for the configuration."""
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not NoneType]
    return kinds[0] if kinds in ([int], [float], [Path]) else str


def say_stopped(console: Console, kept: str) -> None:
    """After Ctrl-C, print `kept`, a sentence, and the command that resumes."""
    # Users copy the command: print it in one line and not as rich's markup.
    again = shlex.join(["isegbench", *_without_redo(sys.argv[1:])])
    console.print(
        f"\nStopped. {kept} To resume:\n  {again}", soft_wrap=True, markup=False, highlight=False
    )


def _without_redo(arguments: list[str]) -> list[str]:
    """The arguments without `--redo METHOD`, which would begin that method once more."""
    return [
        argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
        if "--redo" not in (before, argument) and not argument.startswith("--redo=")
    ]
