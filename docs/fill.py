"""Fill the generated parts of the pages: `python docs/fill.py`. With `--check` it only compares.

A generated part is between two comments on separate lines, such as `<!-- methods -->` and
`<!-- /methods -->`. The first comment holds a key of GENERATED and its arguments. The test suite
checks that every page is filled, so the pages are the same in the repository and on the site.
"""

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_PART = re.compile(r"^<!-- (\S+)(?: (.*?))? -->\n(.*?)^<!-- /\1 -->$", re.MULTILINE | re.DOTALL)
_EXAMPLE = "\b"  # marks lines in the help of the command line that keep their line breaks


def pages() -> list[Path]:
    """The files that may hold generated parts."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def filled(text: str) -> str:
    """A page's text with every generated part renewed. Raises KeyError for an unknown key."""

    def part(found: re.Match[str]) -> str:
        opening = found[0].partition("\n")[0]
        content = GENERATED[found[1]](*(found[2] or "").split()).strip("\n")
        return f"{opening}\n{content}\n<!-- /{found[1]} -->"

    return _PART.sub(part, text)


def main() -> None:
    stale = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if (new := filled(text)) != text:
            stale.append(page.relative_to(ROOT).as_posix())
            if "--check" not in sys.argv:
                page.write_text(new, encoding="utf-8")
    if stale:
        print("filled:" if "--check" not in sys.argv else "not current:", *stale)
    sys.exit(bool(stale) and "--check" in sys.argv)


def methods() -> str:
    """The registered methods as a table."""
    from isegbench.harness.planning.catalogue import methods_markdown

    return methods_markdown()


def named(kind: str) -> str:
    """The registered `datasets` or `simulators` as a table, with their parameters."""
    from isegbench.harness import registry
    from isegbench.harness.planning.catalogue import parameters, summary

    rows = []
    for name, factory in getattr(registry, kind).items():
        keys = parameters(factory)
        rows.append((f"`{name}`", _prose(summary(factory)), f"`{keys}`" if keys else ""))
    return _table(("name", "what it is", "parameters"), rows)


def checkpoints() -> str:
    """The known checkpoints as a table."""
    from isegbench.harness import registry
    from isegbench.harness.downloads import weights

    usable = registry.methods.names()
    rows = [
        (
            f"`{entry.system}`",
            f"`{entry.name}`",
            ", ".join(entry.trained_on),
            f"{entry.megabytes:g} MB" if entry.megabytes else "",
            "by hand" if entry.stored_name is None else "fetched",
        )
        for entry in weights.known_checkpoints()
        if entry.system in usable
    ]
    return _table(("method", "name", "trained on", "size", "download"), rows)


def parameters(method: str) -> str:
    """A registered method's docstring, and its parameters with their defaults."""
    from isegbench.harness import registry
    from isegbench.harness.planning.catalogue import parameters as listed

    factory = registry.methods.factory(method)
    return f"{_markdown(factory)}\n\n    {method}:{listed(factory).replace(', ', ',')}\n"


def definitions() -> str:
    """The definitions of a report's numbers, as under its tables."""
    from isegbench.harness.report.tables.table import DEFINITIONS

    return "\n".join(f"* {_prose(text)}" for text in DEFINITIONS)


def commands() -> str:
    """The command line, from its tree of commands."""
    from typer.main import get_command

    from isegbench.harness.cli import app

    return "\n".join(_command(get_command(app), ("isegbench",)))


def _command(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    name = " ".join(path)
    context = command.make_context(name, [], resilient_parsing=True)
    yield f"{'#' * (len(path) + 1)} {name}\n"
    yield from _help(command.help or "")
    yield f"```text\n{' '.join(command.get_usage(context).split())}\n```\n"
    records = [parameter.get_help_record(context) for parameter in command.params]
    rows = [(f"`{names}`", _prose(text)) for names, text in filter(None, records)]
    if rows:
        yield _table(("argument or option", "meaning"), rows)
    if command.epilog:
        yield f"{_without_markup(command.epilog)}\n"
    for sub, child in getattr(command, "commands", {}).items():
        yield from _command(child, (*path, sub))


def _help(text: str) -> Iterator[str]:
    """A command's help as Markdown; text that keeps its line breaks becomes a block of code."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith(_EXAMPLE):
            yield f"```bash\n{textwrap.dedent(paragraph.removeprefix(_EXAMPLE)).strip()}\n```\n"
        else:
            yield f"{_prose(paragraph)}\n"


def _without_markup(text: str) -> str:
    """The console's markup as Markdown: bold text becomes code."""
    return re.sub(r"\[bold\](.*?)\[/(?:bold)?\]", r"`\1`", text)


def api(module: str, *names: str) -> str:
    """The public names of a module, or the given names, with their docstrings."""
    found = import_module(module)
    chosen = names or [name for name, _ in _public(vars(found), module)]
    return "\n".join(part for name in chosen for part in _documented(getattr(found, name), name))


def source(module: str, *names: str) -> str:
    """The source text of functions of a module."""
    found = import_module(module)
    text = "\n\n".join(inspect.getsource(getattr(found, name)) for name in names)
    return f"```python\n{text}```\n"


def _public(members: Any, module: str) -> Iterator[tuple[str, Any]]:
    for name, value in members.items():
        ours = inspect.isclass(value) or inspect.isfunction(value)
        if ours and not name.startswith("_") and value.__module__ == module:
            yield name, value


def _documented(value: Any, name: str) -> Iterator[str]:
    import isegbench

    kind = "class " if inspect.isclass(value) else ""
    yield f'<a id="{value.__module__}.{name}"></a>\n\n### {kind}{name}\n'
    place = "isegbench" if name in isegbench.__all__ else value.__module__
    yield f"```python\nfrom {place} import {name}\n{_signature(value, name)}\n```\n"
    yield f"{_markdown(value)}\n"
    if inspect.isclass(value):
        yield from _attributes(value)
        for member, inner in vars(value).items():
            function = inner.fget if isinstance(inner, property) else inner
            if inspect.isfunction(function) and not member.startswith("_") and function.__doc__:
                shown = member if isinstance(inner, property) else _signature(function, member)
                yield f"* **`{shown}`**\n\n{_indented(_markdown(function))}\n"


def _signature(value: Any, name: str) -> str:
    """`name(parameters) -> result` with annotations as in the source."""
    if inspect.isclass(value) and issubclass(value, Exception):
        return name
    signature = inspect.signature(value)
    # A model's signature adds its checks; its annotations are those of the source.
    written = inspect.get_annotations(value) if hasattr(value, "model_fields") else {}
    shown = []
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        star, _, default = str(parameter.replace(annotation=parameter.empty)).partition("=")
        annotation = written.get(parameter.name, parameter.annotation)
        label = "" if annotation is parameter.empty else f": {_plain(annotation)}"
        default = re.sub("<.*>", "...", default)
        shown.append(star + label + (f" = {default}" if default else ""))
    returns = signature.return_annotation
    arrow = ""
    if not inspect.isclass(value) and returns is not signature.empty:
        arrow = f" -> {_plain(returns)}"
    line = f"{name}({', '.join(shown)}){arrow}"
    if len(line) <= 80:
        return line
    return f"{name}(\n    " + ",\n    ".join(shown) + f",\n){arrow}"


def _plain(annotation: Any) -> str:
    """An annotation without the modules of its names."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z])", "", text)


def _attributes(value: type) -> Iterator[str]:
    """Class attributes that a `#:` comment describes, as in the source."""
    pattern = re.compile(r"((?:^    #: .*\n)+)^    (\w.*)$", re.MULTILINE)
    for comment, line in pattern.findall(inspect.getsource(value)):
        text = " ".join(part.strip().removeprefix("#: ") for part in comment.splitlines())
        yield f"* **`{line}`**\n\n{_indented(_prose(text))}\n"


def _markdown(value: Any) -> str:
    """A docstring as Markdown; examples become blocks of code."""
    parts = []
    for paragraph in (inspect.getdoc(value) or "").split("\n\n"):
        if paragraph.startswith(">>> "):
            parts.append(f"```pycon\n{paragraph}\n```")
        elif paragraph.startswith("    "):
            parts.append(paragraph)
        else:
            parts.append(_prose(re.sub(r"::$", ":", paragraph)))
    return "\n\n".join(parts)


def _prose(text: str) -> str:
    """Text with Markdown's special characters escaped outside `code`."""
    parts = text.split("`")
    for index in range(0, len(parts), 2):
        plain = parts[index].replace("&", "&amp;").replace("<", "&lt;")
        parts[index] = re.sub(r"([*_|\[\]])", r"\\\1", plain)
    return "`".join(parts)


def _indented(text: str) -> str:
    """Text as a part of the list item above it."""
    return textwrap.indent(text, "    ") + "\n"


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [headings, ("---",) * len(headings)]
    lines += [tuple(cell.replace("\n", " ") for cell in row) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


#: The keys of generated parts.
GENERATED: dict[str, Callable[..., str]] = {
    "methods": methods,
    "named": named,
    "checkpoints": checkpoints,
    "parameters": parameters,
    "definitions": definitions,
    "commands": commands,
    "api": api,
    "source": source,
}

if __name__ == "__main__":
    main()
