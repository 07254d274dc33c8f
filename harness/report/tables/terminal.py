"""Tables for the terminal."""

from collections.abc import Iterable, Sequence

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from .markdown import superscript
from .table import SHOWN, Cell, Row, Table, chosen_metrics, measured_tables

_SHORT = {"Instances": "Inst.", "Failures": "Fail.", "Difference": "Diff.", "Baseline": "Base"}
#: What gives way, where a table would be wider than 80 columns.
_LESS = ("mIoU@3", "mIoU@10", "mBIoU@1", "mBIoU@20")


def terminal_table(
    frame: pd.DataFrame, metrics: Sequence[str] | None = None, intervals: bool = False
) -> RenderableType:
    """A `leaderboard` frame as something rich can print, one table per data set.

    metrics, intervals: as for `tables.measured_tables`; None: the usual ones, as many as fit 80
    columns, with two-line headers. Nothing in a user's names is read as markup.
    """
    if metrics is None:
        usual = chosen_metrics(frame, SHOWN)
        metrics = usual if len(usual) <= 8 else [name for name in usual if name not in _LESS]
    return printed(measured_tables(frame, metrics, intervals))


def printed(tables: Iterable[Table]) -> RenderableType:
    """Any tables as something rich can print."""
    return Group(*(part for table in tables for part in _parts(table)))


def _parts(table: Table) -> list[RenderableType]:
    grid = RichTable(
        title=Text(table.title, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for index, name in enumerate(table.columns):
        if index < table.text_columns:
            grid.add_column(name, overflow="fold", min_width=12)
        else:
            header = _SHORT.get(name, name.replace("@", "\n@"))
            grid.add_column(header, justify="right", no_wrap=True)
    for group, rows in table.groups():
        if table.headed:
            grid.add_row(Text(group, style="dim italic"))
        for row in rows:
            grid.add_row(*(_text(cell, row) for cell in row.cells))
    below = [Text(remark, style="dim") for remark in table.remarks]
    below += [
        Text(f"{superscript((number,))} {note}", style="dim")
        for number, note in enumerate(table.notes, start=1)
    ]
    return [Text(), grid, *below]


def _text(cell: Cell, row: Row) -> Text:
    style = "bold green" if cell.bold else "italic" if row.italic else ""
    # "n of N" is wide, and a terminal may have only 80 columns.
    text = Text(cell.text.replace(" of ", "/") if cell is not row.cells[0] else cell.text, style)
    if cell.interval:
        text.append(f"\n{cell.interval}", style="dim")
    if cell.mark or cell.notes:
        text.append(f" {cell.mark}{superscript(cell.notes)}", style="dim")
    return text
