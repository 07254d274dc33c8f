"""Outlines against what they stand for, imported."""

import inspect
import subprocess
import sys

import pytest

from isegbench.harness import registry
from isegbench.harness.cli.listing import listing
from isegbench.harness.errors import UserError
from isegbench.harness.planning import catalogue
from isegbench.harness.planning.outline import outline, outlines
from isegbench.harness.registry import Registry

LIST = """
import sys
sys.argv = ["isegbench", "list", "methods"]
from isegbench.harness.cli import main
try:
    main()
finally:
    heavy = {"torch", "torchvision", "ray", "cv2", "scipy", "skimage", "pandas", "matplotlib"}
    print(sorted(heavy & set(sys.modules)))
"""


def test_listing_methods_imports_no_network():
    done = subprocess.run([sys.executable, "-c", LIST], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "f-BRS-A" in done.stdout
    assert "weights=..., mode=NoBRS" in " ".join(done.stdout.split())
    assert done.stdout.splitlines()[-1] == "[]"


SHOW = """
from isegbench.harness import registry
from isegbench.harness.planning import catalogue
from isegbench.harness.planning.outline import outlines
for kind in ("methods", "datasets", "simulators"):
    for name, found in outlines(getattr(registry, kind)):
        row = (found.__module__, found.__doc__, catalogue.parameters(found), catalogue.modes(found))
        paper = getattr(found, "paper", None)
        requires = getattr(found, "requires", None)
        print(repr((kind, name, *row[1:], catalogue._openings(found), paper, requires)))
"""


def test_an_outline_shows_what_the_imported_class_shows():
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    expected = []
    for kind in ("methods", "datasets", "simulators"):
        for name, factory in getattr(registry, kind).items():
            row = (factory.__doc__, catalogue.parameters(factory), catalogue.modes(factory))
            opening, paper = catalogue._openings(factory), getattr(factory, "paper", None)
            requires = getattr(factory, "requires", None)
            expected.append(repr((kind, name, *row, opening, paper, requires)))
    assert len(shown) > 20
    assert shown == expected


SOURCE = '''
import no_such_module_at_all
from typing import Literal

from .kinds import Kind

SIZE = 2 * 3

class Base:
    opening = "box"

    def __init__(self, size: int = SIZE, kind: Kind = "a") -> None:
        no_such_module_at_all.load(size)

class Mine(Base):
    """Mine. It is mine."""

    requires = ("no_such_module_at_all", "mine[all]")

def made(level: float = 0.5):
    """Makes one."""
    return no_such_module_at_all.make(level)
'''


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A package whose methods cannot be imported here."""
    (tmp_path / "outlined").mkdir()
    (tmp_path / "outlined" / "__init__.py").write_text("")
    (tmp_path / "outlined" / "kinds.py").write_text(
        'from typing import Literal\nimport no_such_module_at_all\nKind = Literal["a", "b"]\n'
    )
    (tmp_path / "outlined" / "mine.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    found: Registry = Registry("thing", "isegbench.tests.no-such-group")
    found.register_lazily("mine", "outlined.mine:Mine")
    found.register_lazily("made", "outlined.mine:made")
    return found


def test_classes_and_functions_of_another_package(plugin):
    (_, made), (_, mine) = outlines(plugin)
    assert inspect.getdoc(made) == "Makes one."
    assert catalogue.parameters(made) == "level=0.5"
    assert catalogue.summary(mine) == "Mine"
    assert catalogue.parameters(mine) == "size=6, kind=a"
    assert mine.opening == "box"


def test_a_listing_names_the_command_that_installs_what_is_missing(plugin):
    assert catalogue._install(outline(plugin, "mine").requires) == "pip install 'mine[all]'"
    assert catalogue._install(("json", "mine[all]")) == ""
    assert catalogue._install(None) == ""


def test_the_command_is_printed_for_a_method_that_misses_a_package(monkeypatch, capsys):
    monkeypatch.setattr(catalogue.importlib.util, "find_spec", lambda name: None)
    graph_cut = outline(registry.methods, "graph-cut")
    monkeypatch.setattr(catalogue, "outlines", lambda _: [("graph-cut", graph_cut)])
    listing("methods")
    assert "to install: pip install 'isegbench[graphcut]'" in capsys.readouterr().out


def test_what_cannot_be_read_is_imported(plugin):
    plugin.register_lazily("half", "fractions:nothing_of_that_name")
    plugin.register_lazily("fraction", "fractions:Fraction")
    with pytest.raises(UserError, match="nothing_of_that_name"):
        outline(plugin, "half")
    assert outline(plugin, "fraction").__doc__
