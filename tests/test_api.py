"""`import isegbench`: what it offers, what it costs, what a run returns."""

import ast
import inspect
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import isegbench
from isegbench.harness import registry
from isegbench.harness.errors import UserError
from isegbench.harness.planning.config import RunConfig
from isegbench.harness.report.results.leaderboard import leaderboard

ROOT = Path(__file__).resolve().parents[1]


class Half(isegbench.Method):
    """Object on the left; breaks on one of the instances."""

    def predict_one(self, session):
        result = np.zeros(session.shape, np.float32)
        result[:, : session.shape[1] // 2] = 1
        return result * (np.nan if session.shape == (512, 512) else 1)


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_name_is_there_and_shown():
    assert set(isegbench.__all__) <= set(dir(isegbench))
    assert isegbench.__all__ == sorted(isegbench.__all__)
    for name in isegbench.__all__:
        assert getattr(isegbench, name) is not None
    assert isegbench.__version__ == version("isegbench")
    with pytest.raises(AttributeError, match="runn"):
        isegbench.runn  # noqa: B018


def test_type_checkers_see_the_same_names():
    tree = ast.parse((ROOT / "src/isegbench/__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname: ((node.module or "") if node.level else "", alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(seen) | {"__version__"} == set(isegbench.__all__)
    assert {name: module for name, (module, _) in seen.items()} == isegbench._MODULES


def test_importing_is_light():
    loaded = python("import sys, isegbench; print(*sys.modules)").split()
    assert not {"numpy", "pandas", "torch", "ray", "pydantic", "rich"} & set(loaded)
    code = "import sys; from isegbench import Method, Session, Click, Dataset, Simulator, register"
    loaded = python(f"{code}; print(*sys.modules)").split()
    assert not {"pandas", "torch", "ray", "pydantic", "rich", "scipy", "cv2"} & set(loaded)
    code = "import sys; from isegbench import run, load_run, report, compare, Predictor, check"
    loaded = python(f"{code}; print(*sys.modules)").split()
    assert not {"torch", "ray"} & set(loaded)


def test_the_module_is_a_command():
    command = [sys.executable, "-m", "isegbench", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == isegbench.__version__


def test_run_has_the_options_of_a_configuration():
    parameters, documented = inspect.signature(isegbench.run).parameters, isegbench.run.__doc__
    assert documented is not None
    assert set(parameters) - {"progress"} == set(RunConfig.model_fields)
    for name, parameter in parameters.items():
        if name in ("methods", "datasets"):
            assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            continue
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.annotation is not parameter.empty
        assert f"{name}:" in documented or f"{name}," in documented
        if name != "progress":
            assert parameter.default == RunConfig.model_fields[name].default


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[isegbench.Run, isegbench.Run]:
    """The same run, kept and not kept."""
    out = tmp_path_factory.mktemp("runs") / "kept"
    request = (["nearest-click", Half], "samples[0:9]")
    kept = isegbench.run(*request, clicks=3, stop_failing_after=0, out=out)
    return kept, isegbench.run(*request, clicks=3, stop_failing_after=0)


STABLE = ["method", "dataset", "simulator", "seed", "instance", "click", "y", "x", "kind", "iou"]


def test_a_run_is_the_same_kept_or_not(runs):
    kept, loose = runs
    assert kept.directory is not None
    assert loose.directory is None
    pd.testing.assert_frame_equal(kept.traces[STABLE], loose.traces[STABLE])
    pd.testing.assert_frame_equal(kept.failures, loose.failures)
    pd.testing.assert_frame_equal(kept.leaderboard(), loose.leaderboard())
    pd.testing.assert_frame_equal(kept.leaderboard(), leaderboard([kept.directory]))
    assert kept.manifest.protocol == loose.manifest.protocol
    assert kept.manifest.methods == loose.manifest.methods
    again = isegbench.load_run(kept.directory)
    pd.testing.assert_frame_equal(again.traces, kept.traces)


def test_failures_have_their_reasons(runs):
    for run in runs:
        bad = run.traces[run.traces["status"] != "ok"]
        assert len(run.failures) == len(bad) > 0
        assert set(run.failures["method"]) == {"Half"}
        assert set(run.failures["click"]) == {1}
        assert run.failures["message"].str.contains("NaN").all()


def test_a_run_shows_itself(runs):
    kept, loose = runs
    count = len(loose.failures)
    assert repr(loose) == (
        f"Run of nearest-click, Half on samples: 18 of 18 traces, {count} failed; not kept"
    )
    assert repr(kept).endswith(f"kept in {kept.directory}")
    html = loose._repr_html_()
    assert f"{count} failed" in html
    assert "<th>NoC@90</th>" in html
    assert html.count("<tr") == 3


def test_nothing_is_written_and_nothing_said_without_being_asked(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    isegbench.run("empty", "samples[0:1]", clicks=1)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")
    isegbench.run("empty", "samples[0:1]", clicks=1, progress=True)
    assert "empty on samples: 1/1" in capfd.readouterr().err


def test_reports_and_comparisons(runs):
    kept, loose = runs
    written = isegbench.report(kept, formats=["md"])
    assert written.folder == kept.directory / "report"
    assert "nearest-click" in (written.folder / "leaderboard.md").read_text()
    assert isegbench.report(str(kept.directory), formats=["csv"]).folder == written.folder
    with pytest.raises(UserError, match="run it with out=DIR"):
        isegbench.report(loose)
    table = isegbench.compare(loose, "nearest-click", ["NoC@85", "mIoU@3"])
    assert table["metric"].tolist() == ["NoC@85", "mIoU@3"]
    assert table["method"].tolist() == ["Half", "Half"]
    pd.testing.assert_frame_equal(
        table, isegbench.compare(kept, "nearest-click", table["metric"].tolist())
    )
    with pytest.raises(UserError, match="both hold Half"):
        isegbench.compare([loose, kept], "nearest-click")


def test_wrong_requests_are_refused():
    with pytest.raises(UserError, match="clicks = 0"):
        isegbench.run("empty", "samples", clicks=0)
    with pytest.raises(UserError, match="save_masks needs out"):
        isegbench.run("empty", "samples", save_masks=True)
    with pytest.raises(TypeError, match="click"):
        isegbench.run("empty", "samples", click=3)  # pyright: ignore


def test_classes_get_names(monkeypatch):
    for names in (registry.methods, registry.datasets, registry.simulators):
        names.names()
        monkeypatch.setattr(names, "_factories", dict(names._factories))

    @isegbench.register("left")
    class Left(Half):
        def __init__(self, share: float = 0.5) -> None:
            self.share = share

    assert registry.methods.build("left:share=0.25").share == 0.25
    with pytest.raises(UserError, match="two methods are called 'left'"):
        isegbench.register("left")(Half)

    @isegbench.register("nothing")
    class Nothing(isegbench.Dataset):
        def instances(self):
            return []

    assert isinstance(registry.datasets.build("nothing"), Nothing)

    @isegbench.register("silent")
    class Silent(isegbench.Simulator):
        def open(self, instance, opening, rng):
            return [isegbench.Click(0, 0, "positive")]

        def correct(self, instance, probabilities, mask, clicks, rng):
            return None

    assert len(isegbench.run("left", "samples[0:1]", simulator="silent").traces) == 1
    with pytest.raises(UserError, match="subclass of Method, Dataset"):
        isegbench.register("x")(int)  # pyright: ignore


@pytest.mark.slow
def test_type_checkers_follow_the_package(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import isegbench\n"
        "reveal_type(isegbench.run)\n"
        "reveal_type(isegbench.run('a', 'b').traces)\n"
        "reveal_type(isegbench.Predictor('a').mask)\n"
        "reveal_type(isegbench.__version__)\n"
        "isegbench.run('a', 'b', click=3)\n"
        "@isegbench.register('x')\n"
        "class X(isegbench.Method): ...\n"
        "reveal_type(X)\n"
    )
    found = subprocess.run(
        [
            *(Path(sys.executable).with_name("pyright"), "--outputjson"),
            *("--pythonpath", sys.executable, program),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    messages = json.loads(found.stdout)["generalDiagnostics"]
    said = [message["message"] for message in messages]
    assert any("clicks: int = 20" in text and "-> Run" in text for text in said), said
    for kind in ("DataFrame", "ndarray", "str", "type[X]"):
        assert any(text.startswith("Type of") and kind in text for text in said), (kind, said)
    errors = [m["message"] for m in messages if m["severity"] == "error"]
    assert len(errors) == 1
    assert "click" in errors[0]
