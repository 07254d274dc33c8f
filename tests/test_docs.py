"""The documentation: it builds, its commands exist, its examples run."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from isegbench.harness import registry
from isegbench.harness.cli import app
from isegbench.harness.planning.config import make_config, read_config
from isegbench.harness.planning.plan import plan_simulator
from isegbench.harness.registry import Spec
from isegbench.harness.store.traces import BOUNDARY_IOU, SCHEMA, read_traces

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
#: Pages whose blocks `sh` and `python` a reader can follow from top to bottom.
FOLLOWED = [
    "index.md",
    "report.md",
    pytest.param("cluster.md", marks=pytest.mark.ray),
    "networks.md",
    "writing-a-dataset.md",
    "writing-a-simulator.md",
]
#: What `docs/fill.py` makes; no part of it is written by hand.
_GENERATED = re.compile(r"^<!-- (\S+).*? -->$.*?^<!-- /\1 -->$", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, text) of each block of code, in order."""
    return _BLOCK.findall(_GENERATED.sub("", page.read_text(encoding="utf-8")))


def commands() -> Iterator[tuple[str, list[str]]]:
    """(page, words) of every `isegbench ...` in a block or in running text, and in the help."""
    for page in [*PAGES, ROOT / "README.md"]:
        text = _GENERATED.sub("", page.read_text(encoding="utf-8")).replace("\\\n", " ")
        outside = _BLOCK.sub("", text)
        lines = [line.strip() for _, block in _BLOCK.findall(text) for line in block.splitlines()]
        lines += re.findall(r"^    (isegbench .*)$", outside, re.MULTILINE)
        lines += [" ".join(code.split()) for code in re.findall(r"`(isegbench [^`]+)`", outside)]
        for line in lines:
            if line.startswith("isegbench ") and "COMMAND" not in line:
                yield page.name, shlex.split(line, comments=True)[1:]


COMMANDS = list(commands())


@pytest.mark.parametrize(
    ("page", "words"),
    COMMANDS,
    ids=lambda part: part if isinstance(part, str) else " ".join(part)[:60],
)
def test_every_command_is_one(page, words):
    command, context = typer.main.get_command(app), None
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        command = command.commands[words[0]]
        words = words[1:]
    if isinstance(command, TyperGroup) or words in (["--help"], ["--version"]):
        return
    required = [parameter.name for parameter in command.params if parameter.required]
    # `isegbench show` in running text names a command; it is not something to type.
    if not words and required:
        return
    context = command.make_context(command.name, list(words))
    check_names(context.params)


def check_names(given: dict) -> None:
    """What a command calls a method, a data set or a simulator must be one, with such keys."""
    for kind in ("method", "dataset"):
        values = given.get(kind) or []
        for text in values if isinstance(values, (list, tuple)) else [values]:
            spec = Spec.parse(re.sub(r"\[-?\d*:-?\d*\]$", "", text))
            if not spec.name.endswith(".py") and ".py:" not in spec.name:
                factory = getattr(registry, f"{kind}s").factory(spec.name)
                registry.bind(text, factory, spec, {"data_root": None})
    simulator = given.get("simulator")
    if simulator and ".py:" not in simulator and not simulator.startswith("replay"):
        plan_simulator(simulator)


def test_there_are_commands_to_check():
    assert len(COMMANDS) > 40
    with pytest.raises(Exception, match="No such option"):
        test_every_command_is_one("", ["run", "--methods", "geodesic"])
    with pytest.raises(Exception, match="radios"):
        test_every_command_is_one("", ["run", "--method", "geodesic:radios=3"])


def follow(name: str) -> None:
    """Do what a page says, in the present folder; its runs must hold traces without failures."""
    known: dict = {}
    for language, text in blocks(ROOT / "docs" / name):
        file = re.match(r"# (\w+\.(?:py|toml))\n", text)
        if file:
            Path(file[1]).write_text(text, encoding="utf-8")
        elif language == "python":
            exec(compile(text, name, "exec"), known)
        elif language == "sh":
            for line in text.replace("\\\n", " ").splitlines():
                type_in(shlex.split(line, comments=True))
    for run in Path().glob("results/runs/*"):
        traces = read_traces(run)
        assert len(traces)
        assert set(traces["status"]) == {"ok"}, run.name


def type_in(words: list[str]) -> None:
    """Run one command line: ours in this process, which is quick, others in one of their own."""
    if words[0] != "isegbench":
        done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True)
        assert words[0] == "python"
        assert done.returncode == 0, done.stderr
        return
    if words[1:2] == ["run"] and "samples" in words:
        # Two objects and few clicks show as much as all.
        words[words.index("samples")] = "samples[0:2]"
        words += ["--clicks", "4"]
    assert not app(words[1:], standalone_mode=False), words


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in, with a cache of its own; names given there are forgotten."""
    monkeypatch.chdir(tmp_path)
    registry.methods.names()
    monkeypatch.setattr(registry.methods, "_factories", dict(registry.methods._factories))
    monkeypatch.setenv("ISEGBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLLOWED)
def test_a_reader_can_follow_the_page(name, elsewhere, request):
    if name == "cluster.md":
        request.getfixturevalue("local_ray")
    assert any(language == "sh" for language, _ in blocks(ROOT / "docs" / name))
    follow(name)


def test_a_reader_can_follow_the_page_on_methods(elsewhere, local_ray):
    follow("writing-a-method.md")
    board = (elsewhere / "results/runs/linear/report/leaderboard.md").read_text(encoding="utf-8")
    assert "trained on samples, which includes this data set" in board


def test_the_toml_file_means_what_the_page_says(tmp_path):
    (text,) = [t for _, t in blocks(ROOT / "docs/index.md") if t.startswith("# benchmark.toml")]
    file = tmp_path / "benchmark.toml"
    file.write_text(text)
    config = make_config(read_config(file))
    assert config.clicks == 10
    assert len(config.methods) == 2


def test_the_columns_of_traces_are_described():
    page = (ROOT / "docs/report.md").read_text().partition("## The traces")[2]
    described = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)))
    assert set(described) == {*SCHEMA.names, BOUNDARY_IOU.name}


def test_generated_parts_are_current():
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "fill.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}: run python docs/fill.py"


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"(?:^|`)make (\w+)", page.read_text(), re.MULTILINE):
            assert f"\n{target}:" in makefile, f"{page.name}: make {target}"


def test_it_builds_without_a_warning_and_needs_no_network(tmp_path):
    for needed in ("mkdocs", "material"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip("mkdocs-material is not installed: pip install -e '.[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    for page in PAGES:
        html = (tmp_path / "site" / f"{page.stem}.html").read_text(encoding="utf-8")
        for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", html):
            assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", tag), tag
    commands = (tmp_path / "site/commands.html").read_text(encoding="utf-8")
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    for name in command.commands:
        assert f"isegbench {name}" in commands
    methods = (tmp_path / "site/methods.html").read_text(encoding="utf-8")
    for name in registry.methods.names():
        assert f"<code>{name}</code>" in methods
