"""Tables as HTML: a fragment to be put into a page."""

from html import escape

from .table import Cell, Row, Table


def html_table(table: Table) -> str:
    """A `<table>` with its remarks and notes below, every text escaped.

    Classes to style: `leaderboard` and `published` on the table; `group` on the heading row of a
    training set; `bound` on the row of a method with access to the ground truth, `measured` on a
    measured row among published ones; `value`, `best`, `interval`
    and `raised` inside cells; `remarks` and `notes` on what follows.

    >>> html_table(Table("d", "<d>", ["A"], [Row([Cell("1 < 2", bold=True)])], published=True))
    ... # doctest: +ELLIPSIS
    '<table class="leaderboard published">...<span class="value best">1 &lt; 2</span>...'
    """
    kind = "leaderboard published" if table.published else "leaderboard"
    lines = [f'<table class="{kind}">', f"<caption>{escape(table.title)}</caption>", "<thead>"]
    lines.append(f"<tr>{''.join(_heading(name) for name in table.columns)}</tr>")
    lines.append("</thead>")
    for group, rows in table.groups():
        lines.append("<tbody>")
        if table.headed:
            span = len(table.columns)
            heading = f'<th colspan="{span}" scope="rowgroup">{escape(group)}</th>'
            lines.append(f'<tr class="group">{heading}</tr>')
        lines += [_row(row, table.text_columns) for row in rows]
        lines.append("</tbody>")
    lines.append("</table>")
    if table.remarks:
        remarks = "".join(f"<p>{escape(text)}</p>" for text in table.remarks)
        lines.append(f'<div class="remarks">{remarks}</div>')
    if table.notes:
        notes = "".join(f"<li>{escape(text)}</li>" for text in table.notes)
        lines.append(f'<ol class="notes">{notes}</ol>')
    return "\n".join(lines) + "\n"


def _heading(name: str) -> str:
    return f'<th scope="col">{escape(name)}</th>'


def _row(row: Row, text_columns: int) -> str:
    cells = []
    for index, cell in enumerate(row.cells):
        tag = 'th scope="row"' if index == 0 else "td"
        kind = "" if index < text_columns else ' class="number"'
        cells.append(f"<{tag}{kind}>{_cell(cell)}</{tag.split()[0]}>")
    kind = ' class="bound"' if row.italic else ' class="measured"' if row.measured else ""
    return f"<tr{kind}>{''.join(cells)}</tr>"


def _cell(cell: Cell) -> str:
    text = f'<span class="value{" best" if cell.bold else ""}">{escape(cell.text)}</span>'
    if cell.interval:
        text += f' <small class="interval">{escape(cell.interval)}</small>'
    raised = " ".join([*([cell.mark] if cell.mark else []), *map(str, cell.notes)])
    return text + (f'<sup class="raised">{raised}</sup>' if raised else "")
