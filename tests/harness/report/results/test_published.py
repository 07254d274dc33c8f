"""Published numbers: what ships, what is refused, how they are shown."""

from pathlib import Path

import pytest

from isegbench.harness.errors import UserError
from isegbench.harness.report.results.published import (
    COLUMNS,
    published_on,
    published_table,
    read_published,
)

HEADER = ",".join(COLUMNS) + "\n"


def test_every_number_that_ships_is_read() -> None:
    frame = read_published()
    assert len(frame) > 500
    assert frame["number"].notna().to_numpy().all()
    assert (frame["number"] >= 0).to_numpy().all()
    assert set(frame["bound"]) == {"", ">"}
    assert (frame["source"] != "").to_numpy().all()
    assert not frame.duplicated([c for c in COLUMNS if c != "value"]).any()


def test_what_ships_is_what_was_collected(shared) -> None:
    folder = shared("published")
    there = read_published(folder)
    here = read_published()
    merged = here.merge(there, on=COLUMNS, how="right", indicator=True)
    assert set(merged["_merge"]) == {"both"}


def test_bounds_keep_their_sign() -> None:
    frame = read_published()
    row = frame[
        (frame["method"] == "Graph cut")
        & (frame["dataset"] == "grabcut")
        & (frame["metric"] == "NoC@90")
    ].iloc[0]
    assert (row["value"], row["number"], row["bound"]) == (">20", 20.0, ">")


def test_a_table_is_grouped_by_training_set_with_bounds_last(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(
        HEADER
        + "classic,,,grabcut,NoC@90,>20,P\n"
        + "classic,,,grabcut,IoU@4,59.30,P\n"
        + "b,R50,SBD,grabcut,NoC@90,3.10,P\n"
        + "a,R50,SBD,grabcut,NoC@90,4.1,P\n"
        + "bound,-,SBD,grabcut,NoC@90,>3,P\n"
        + "c,R50,COCO,grabcut,NoC@85,1.5,P\n"
        + "c,R50,COCO,berkeley,NoC@85,1.5,P\n",
        encoding="utf-8",
    )
    table = published_table(read_published(tmp_path), "grabcut[0:5]")
    assert table["method"].tolist() == ["c", "b", "a", "bound", "classic"]
    assert table["train"].tolist() == ["COCO", "SBD", "SBD", "SBD", ""]
    assert table.columns[4:].tolist() == ["NoC@85", "NoC@90", "IoU@4"]
    assert table.loc[1, "NoC@90"] == "3.10"
    assert table.loc[4].tolist()[4:] == ["", ">20", "59.30"]
    assert table.loc[3, "backbone"] == ""


def test_only_data_sets_of_the_report_are_shown() -> None:
    frame = read_published()
    assert set(published_on(frame, ["davis", "SBD:split=val"])["dataset"]) == {"davis", "sbd"}
    assert published_table(frame, "folder:photos").empty


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("m,,,d,NoC@90,about 3,P", "value 'about 3'"),
        ("m,,,d,Dice,3,P", "metric 'Dice'"),
        ("m,,,d,NoC@90,3,", "source is empty"),
        ("m,,,d,NoC@90,3", "not 7 values"),
        ("m,,,d,NoC@90,3,P,Q", "not 7 values"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(tmp_path: Path, row: str, said: str) -> None:
    (tmp_path / "x.csv").write_text(f"{HEADER}ok,,,d,NoC@90,3,P\n{row}\n", encoding="utf-8")
    with pytest.raises(UserError, match=f"x.csv, line 3: {said}"):
        read_published(tmp_path)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(UserError, match="columns must be method,backbone"):
        read_published(tmp_path)
