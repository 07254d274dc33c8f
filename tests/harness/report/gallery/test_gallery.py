"""The gallery: which instances are chosen, and the pictures that come of them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from isegbench.harness.cli import app
from isegbench.harness.errors import UserError
from isegbench.harness.method import Method, Session
from isegbench.harness.report.gallery.contact_sheet import Tile, draw_sheet
from isegbench.harness.report.gallery.gallery import choose, draw_pictures
from isegbench.harness.report.gallery.trace_picture import MARKS
from isegbench.harness.report.results.runs import load_run
from isegbench.harness.types import Click
from isegbench.methods.baselines.nearest_click import NearestClick


@pytest.fixture
def run(write_run: Callable, trace: Callable) -> Path:
    ious = {"a": [0.1, 0.2], "b": [0.9], "c": [0.5, 0.5, 0.5], "d": [0.3, 0.3, 0.9]}
    traces = [trace(values, "m", "grabcut", name) for name, values in ious.items()]
    traces += [trace([0.5], "n", "grabcut", name) for name in "abcd"]
    traces.append(trace([1.0], "oracle", "grabcut", "a"))
    traces.append(trace([0.9, None], "m", "grabcut", "e", status="method-failed"))
    traces.append(trace([0.0], "m", "davis", "z"))
    traces.append(trace([0.8], "m", "grabcut", "a", seed=1))
    return write_run(traces, methods={"oracle": {"sees_truth": True}})


def test_worst_best_and_most_different(run: Path) -> None:
    """Mean IoU of m over 5 clicks: a .18, b .9, c .5, d .66, z 0; of n always .5."""
    chosen = choose(load_run(run), count=2)
    assert (chosen.method, chosen.against) == ("m", "n")
    assert [one.instance for one in chosen.worst] == ["z", "a"]
    assert [one.instance for one in chosen.best] == ["b", "d"]
    assert [one.instance for one in chosen.different] == ["b", "a"]
    assert chosen.worst[1].values == pytest.approx((0.18,))
    assert chosen.different[1].values == pytest.approx((0.18, 0.5))
    alike = choose(load_run(run), count=9).different
    assert "c" not in {one.instance for one in alike}, "where they agree there is nothing to see"
    assert "e" not in {one.instance for one in choose(load_run(run), count=9).worst}


def test_what_is_asked_for(run: Path) -> None:
    chosen = choose(load_run(run), "n", "oracle", "grabcut", 1)
    assert (chosen.method, chosen.against) == ("n", "oracle")
    assert [one.instance for one in chosen.different] == ["a"]
    assert [one.dataset for one in choose(load_run(run), dataset="davis").worst] == ["davis"]
    assert choose(load_run(run), "n").against == "m"
    assert choose(load_run(run), against="m").method == "n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "mm"}, "did you mean 'm'"),
        ({"method": "m", "against": "m"}, "compared with itself"),
        ({"dataset": "davos"}, "did you mean 'davis'"),
        ({"count": 0}, "at least one"),
        ({"method": "n", "dataset": "davis"}, "no finished trace of n"),
    ],
)
def test_what_cannot_be_shown_is_said(run: Path, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose(load_run(run), **options)


def test_a_sheet_holds_its_tiles_in_rows() -> None:
    grey = np.full((60, 80, 3), 128, np.uint8)
    truth = np.zeros((60, 80), np.uint8)
    truth[20:40, 30:60] = 1
    step = ((Click(30, 40, "positive"), Click(5, 5, "negative")), truth > 0, 0.9)
    tile, plain = Tile(grey, truth, step, "one"), Tile(grey, truth, None, "truth")
    one = draw_sheet([[tile, plain]], "title")
    two = draw_sheet([[tile, plain], [tile]], "title")
    assert one.dtype == np.uint8
    assert one.shape[1] == two.shape[1]
    assert two.shape[0] > 1.4 * one.shape[0]
    for kind in ("positive", "negative"):
        wanted = np.array([int(MARKS[kind][0][i : i + 2], 16) for i in (1, 3, 5)])
        assert (np.abs(one.astype(int) - wanted) < 25).all(axis=2).any()


@pytest.fixture(scope="module")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two quick methods on three embedded photographs."""
    out = tmp_path_factory.mktemp("real") / "run"
    command = ["run", "--method", "nearest-click", "--method", "empty", "--dataset", "samples"]
    result = CliRunner().invoke(app, [*command, "--limit", "3", "--clicks", "4", "--out", str(out)])
    assert result.exit_code == 0, result.output
    return out


@pytest.mark.slow
def test_the_command_draws_sheets_strips_and_traces(real_run: Path) -> None:
    result = CliRunner().invoke(app, ["gallery", str(real_run), "--count", "2"])
    assert result.exit_code == 0, result.output
    written = [Path(line) for line in result.output.split("\n") if line]
    folder = real_run / "report" / "gallery"
    assert set(written) == set(folder.iterdir())
    sheets = sorted(path.name for path in written if path.name.startswith("sheet-"))
    assert sheets == [
        "sheet-best-nearest-click.png",
        "sheet-different-nearest-click-empty.png",
        "sheet-worst-nearest-click.png",
    ]
    assert len(written) == 3 + 6
    for path in written:
        picture = cv2.imread(str(path))
        assert picture is not None
        assert min(picture.shape[:2]) > 200
        assert picture.std() > 20
    assert list((real_run / "report" / "traces").glob("samples__*__nearest-click.png"))
    page = CliRunner().invoke(app, ["report", str(real_run), "--format", "html"])
    assert page.exit_code == 0, page.output
    html = (real_run / "report" / "index.html").read_text("utf-8")
    assert html.count("<figure>") == 3
    assert html.count("data:image/webp;base64,") > 3


def test_pictures_for_the_page(real_run: Path, tmp_path: Path) -> None:
    drawn = draw_pictures(real_run, 1, out=tmp_path)
    assert len(drawn) == 1
    ((dataset, instance),) = drawn
    found = {path.name for path in (tmp_path / "report" / "traces").iterdir()}
    assert found == {f"{dataset}__{instance}__{name}.png" for name in ("nearest-click", "empty")}


class Dead(Method):
    def predict(self, sessions: Sequence[Session]) -> list[np.ndarray]:
        raise ValueError("dead")


class DeadOnFirst(NearestClick):
    """Fails on the data set's first image, at once."""

    def predict_one(self, session: Session) -> np.ndarray:
        if session.shape == (30, 40):
            raise ValueError("dead on this one")
        return super().predict_one(session)


@pytest.mark.parametrize("broken", ["Dead", "DeadOnFirst"])
def test_pictures_although_the_first_method_failed(tmp_path: Path, broken: str) -> None:
    for name, size in (("a", (30, 40)), ("b", (40, 30))):
        for folder in ("images", "masks"):
            (tmp_path / "set" / folder).mkdir(parents=True, exist_ok=True)
            picture = np.zeros((*size, 3), np.uint8)
            picture[10:20, 10:20] = 255
            cv2.imwrite(str(tmp_path / "set" / folder / f"{name}.png"), picture)
    out = tmp_path / "run"
    methods = [f"{__file__}:{broken}", "nearest-click", "empty"]
    command = ["run", *(part for name in methods for part in ("--method", name))]
    command += ["--dataset", f"folder:{tmp_path / 'set'}", "--clicks", "3", "--out", str(out)]
    CliRunner().invoke(app, command)
    done = CliRunner().invoke(app, ["report", str(out), "--pictures", "2"])
    assert done.exit_code == 0, done.output
    pictures = [path.name for path in (out / "report" / "traces").iterdir()]
    for name in ("nearest-click", "empty"):
        assert sum(f"__{name}" in picture for picture in pictures) == 2
