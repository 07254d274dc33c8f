"""What stands under results/ and in the README is what the stored traces say."""

import re
from pathlib import Path

import pandas as pd
import pytest

from isegbench.harness.planning.catalogue import methods_markdown
from isegbench.harness.report.results.leaderboard import leaderboard, read_leaderboard
from isegbench.harness.store.manifest import read_manifest
from isegbench.harness.store.traces import read_traces

ROOT = Path(__file__).resolve().parents[2]
BOARDS = sorted(path.parent for path in (ROOT / "results" / "leaderboards").glob("*/manifest.json"))


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_leaderboard_follows_from_its_traces(board):
    stored = read_leaderboard(board / "report" / "leaderboard.csv")
    shared = [column for column in leaderboard(board).columns if column in stored]
    assert {"NoC@90", "mIoU@20"} <= set(shared)
    left, right = pd.DataFrame(leaderboard(board)[shared]), pd.DataFrame(stored[shared])
    pd.testing.assert_frame_equal(left, right, check_dtype=False)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_leaderboard_is_complete_and_says_where_it_is_from(board):
    manifest = read_manifest(board)
    frame = read_traces(board)
    traces = frame.groupby(["method", "dataset"]).instance.nunique()
    for method in manifest.methods:
        for name, dataset in manifest.datasets.items():
            assert traces[method, name] == dataset.planned
    assert all(invocation.commit for invocation in manifest.invocations)
    for entry in manifest.methods.values():
        assert entry.weights is None or entry.weights.trained_on


def test_there_is_a_leaderboard():
    assert BOARDS


def readme_rows(board: Path) -> list[str]:
    """The rows of a stored leaderboard as the README has them: no notes, intervals or counts."""
    lines = (board / "report" / "leaderboard.md").read_text().splitlines()
    measured = [line for line in lines if line.startswith("| ") and line.endswith("| 0 |")]
    bare = [re.sub(r" ?([¹²³⁴⁵⁶⁷⁸⁹⁰]+|<sub>.*?</sub>)", "", line) for line in measured]
    return ["|".join(line.rstrip("|").split("|")[:10]) + "|" for line in bare]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_the_readme_shows_the_stored_leaderboards(board):
    readme = (ROOT / "README.md").read_text()
    rows = readme_rows(board)
    manifest = read_manifest(board)
    assert len(rows) == len(manifest.methods) * len(manifest.datasets)
    for row in rows:
        assert row in readme


def test_the_readme_sets_published_numbers_beside_measured_ones():
    readme = (ROOT / "README.md").read_text()
    board = leaderboard(ROOT / "results" / "leaderboards" / "classical", miou=(4,))
    published = pd.read_csv(ROOT / "results" / "published" / "iog.csv")
    for ours, theirs in (
        ("graph-cut", "Graph cut"),
        ("random-walker", "Random walker"),
        ("geodesic", "Geodesic matting"),
    ):
        found = pd.DataFrame(board[(board.method == ours) & (board.dataset == "grabcut")])
        (row,) = found.to_dict("records")
        told = published[(published.method == theirs) & (published.dataset == "grabcut")]
        values = told.set_index("metric").value
        measured = f"{100 * row['mIoU@4']:.1f}"
        clicks = f"{row['NoC@90']:.2f}"
        line = f"| `{ours}` | {measured} | {values['IoU@4']} | {clicks} | {values['NoC@90']} |"
        assert line in readme


def three_click_rows() -> list[str]:
    """Rows of the small training's results, as its page has them."""
    board = read_leaderboard(
        ROOT / "results" / "leaderboards" / "three-clicks" / "report" / "leaderboard.csv"
    )
    names = [f"mIoU@3{end}" for end in ("", "_low", "_high")]
    return [
        "| {} | `{}` | {:.1f} | {:.1f}–{:.1f} |".format(
            row["dataset"], row["method"], *(100 * row[name] for name in names)
        )
        for row in board.to_dict("records")
    ]


def test_the_training_page_shows_what_was_measured():
    page = (ROOT / "docs" / "training.md").read_text()
    for row in three_click_rows():
        assert row in page


def test_the_readmes_methods_are_those_of_the_code():
    assert methods_markdown() in (ROOT / "README.md").read_text()
