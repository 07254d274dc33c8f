from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isegbench.harness import registry as rooms
from isegbench.harness.errors import UserError
from isegbench.harness.planning.outline import outlines
from isegbench.harness.registry import Registry, Spec, load_module, own_modules


class Thing:
    """A thing."""

    def __init__(
        self,
        radius: int,
        mode: Literal["a", "b"] = "a",
        exact: bool = False,
        data_root: Path | None = None,
    ) -> None:
        self.given = (radius, mode, exact, data_root)


@pytest.fixture
def things() -> Registry:
    registry: Registry = Registry("thing", "isegbench.tests.no-such-group")
    registry.register("thing")(Thing)
    return registry


def test_strings_become_the_annotated_types(things):
    assert things.build("thing:3,mode=b,exact=true").given == (3, "b", True, None)
    assert things.build("thing:radius=3", data_root=Path("x")).given == (3, "a", False, Path("x"))


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("thong:3", "unknown thing 'thong': did you mean 'thing'"),
        ("thing:3,radios=4", "no parameter 'radios': did you mean 'radius'"),
        ("thing:radius=x", "radius='x': .*integer"),
        ("thing:3,mode=c", "mode='c': .*'a' or 'b'"),
        ("thing", "needs radius"),
        ("thing:3,radius=4", "radius is given twice"),
        ("thing:radius=4,radius=5", "'radius' is given twice"),
        ("thing:3,b", "'b' is not of the form key=value"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_hint(things, spec, complaint):
    with pytest.raises(UserError, match=complaint):
        things.build(spec)


def test_a_factory_that_fails_is_a_user_error_and_names_the_spec(things):
    @things.register("broken")
    def broken() -> None:
        raise RuntimeError("out of luck")

    with pytest.raises(UserError, match="thing broken: cannot be built: RuntimeError: out of luck"):
        things.build("broken")


def test_two_factories_cannot_share_a_name(things):
    with pytest.raises(UserError, match="two things are called 'thing'"):
        things.register("thing")(object)


def test_a_users_own_file(tmp_path, things):
    path = tmp_path / "mine.py"
    path.write_text(
        "class Mine:\n    def __init__(self, size: int = 2):\n        self.size = size\n"
    )
    assert things.build(f"{path}:Mine:size=5").size == 5
    assert str(Spec.parse(f"{path}:Mine:size=5")) == "mine.py:Mine:size=5"
    assert Spec.parse(Spec.parse(f"{path}:Mine:size=5").full).name == f"{path}:Mine"
    with pytest.raises(UserError, match="has no 'Mein': did you mean 'Mine'"):
        things.build(f"{path}:Mein")
    with pytest.raises(UserError, match="no such file"):
        things.build(f"{tmp_path}/other.py:Mine")
    path.with_name("bad.py").write_text("import no_such_module_at_all\n")
    with pytest.raises(UserError, match="bad.py cannot be imported: ModuleNotFoundError"):
        things.build(f"{tmp_path}/bad.py:Mine")


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True),
        st.text(st.characters(exclude_characters=",", codec="utf-8"), max_size=12),
        max_size=4,
    )
)
def test_a_spec_reads_back_from_its_canonical_form(params):
    spec = Spec("name", None, params)
    assert Spec.parse(str(spec)) == spec


def test_a_path_with_an_equals_sign_is_a_value():
    spec = Spec.parse("folder:/data/a=b/c,ignore=3")
    assert (spec.positional, spec.params) == ("/data/a=b/c", {"ignore": "3"})


def test_every_builtin_name_can_be_imported():
    for registry in (rooms.methods, rooms.datasets, rooms.simulators):
        found = dict(registry.items())
        assert found
        assert all(callable(factory) for factory in found.values())


def test_entry_points_of_other_packages(monkeypatch):
    class Point:
        name, attr, value, module = "twice", "Fraction", "fractions:Fraction", "fractions"

    monkeypatch.setattr("isegbench.harness.registry.entry_points", lambda group: [Point])
    registry: Registry = Registry("thing", "somebody.elses")
    assert registry.build("twice:numerator=3") == 3


def point(package, name, value):
    module, _, attr = value.partition(":")
    return SimpleNamespace(
        name=name, value=value, module=module, attr=attr, dist=SimpleNamespace(name=package)
    )


def plugged(monkeypatch, *points) -> Registry:
    monkeypatch.setattr("isegbench.harness.registry.entry_points", lambda group: points)
    return Registry("thing", "somebody.elses")


def test_a_plugin_that_does_not_import_is_reported_once_and_left_out(monkeypatch, tmp_path, caplog):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "exits_at_import.py").write_text("raise SystemExit(3)\n")
    registry = plugged(
        monkeypatch,
        point("bad-package", "all", "no_such_module_at_all"),
        point("worse-package", "more", "exits_at_import"),
        point("good-package", "half", "fractions:Fraction"),
    )
    assert registry.names() == ["half"]
    assert registry.names() == ["half"]
    first, second = (record.getMessage() for record in caplog.records)
    for part in ("bad-package", "all = no_such_module_at_all", "ModuleNotFoundError"):
        assert part in first
    assert "worse-package" in second


def test_a_plugins_class_that_does_not_import_is_left_out_of_listings(monkeypatch, caplog):
    registry = plugged(
        monkeypatch,
        point("bad-package", "broken", "no_such_module_at_all:Broken"),
        point("good-package", "half", "fractions:Fraction"),
    )
    with pytest.raises(UserError, match="thing 'broken' cannot be imported from no_such_module"):
        registry.build("broken")
    assert [name for name, _ in outlines(registry)] == ["half"]
    assert [name for name, _ in registry.items()] == ["half"]
    (record,) = caplog.records
    assert "bad-package" in record.getMessage()


def test_a_builtin_keeps_its_name_before_a_plugin(monkeypatch, caplog):
    registry = plugged(
        monkeypatch,
        point("a-package", "half", "decimal:Decimal"),
        point("isegbench", "half", "fractions:Fraction"),
    )
    assert registry.build("half:numerator=3") == 3
    (record,) = caplog.records
    assert "a-package" in record.getMessage()
    assert "two things are called 'half'" in record.getMessage()


@pytest.mark.parametrize("label", [5, "", [], {}, True])
def test_a_label_is_text(label):
    with pytest.raises(UserError, match="label = .*: must be text"):
        Spec.of({"name": "thing", "label": label})


def test_a_file_imports_its_neighbours(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder / "nets").mkdir(parents=True)
        (tmp_path / folder / "nets" / "__init__.py").write_text("")
        (tmp_path / folder / "nets" / "unet.py").write_text(f"NAME = {folder!r}")
        (tmp_path / folder / "neighbour_model.py").write_text("from nets.unet import NAME")
        (tmp_path / folder / "mine.py").write_text(
            "from neighbour_model import NAME\n"
            "def later():\n    import neighbour_late\n    return neighbour_late.NAME\n"
        )
    (tmp_path / "one" / "neighbour_late.py").write_text("NAME = 'late'")
    one, two = (load_module(tmp_path / folder / "mine.py") for folder in ("one", "two"))
    assert (one.NAME, two.NAME, one.later()) == ("one", "two", "late")
    names = {module.__name__ for module in own_modules()}
    assert names >= {one.__name__, two.__name__, "neighbour_model", "nets.unet", "neighbour_late"}
    assert not any(name.startswith(("numpy", "isegbench.")) for name in names)
