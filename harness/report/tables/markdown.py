"""Tables as GitHub-flavoured Markdown."""

import re

from .table import Cell, Row, Table

_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def superscript(numbers: tuple[int, ...]) -> str:
    """Note numbers as raised digits.

    >>> superscript((1, 12))
    '¹ ¹²'
    """
    return " ".join(str(number).translate(_SUPERSCRIPT) for number in numbers)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line.

    An underscore inside a word stands for itself in GitHub's Markdown, so it stays readable.

    >>> escape("a|b *c* coco_mval")
    'a\\\\|b \\\\*c\\\\* coco_mval'
    """
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"([\\`*\[\]|~#$])", r"\\\1", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)


def markdown_table(table: Table) -> str:
    """A pipe table with its remarks and notes below."""
    rule = ["---" if i < table.text_columns else "---:" for i in range(len(table.columns))]
    lines = [_line([escape(name) for name in table.columns]), _line(rule)]
    for group, rows in table.groups():
        if table.headed:
            lines.append(_line([f"*{escape(group)}*", *[""] * (len(table.columns) - 1)]))
        lines += [_line([_cell(cell, row) for cell in row.cells]) for row in rows]
    below = [escape(remark) for remark in table.remarks]
    below += [f"{superscript((n,))} {escape(text)}" for n, text in enumerate(table.notes, start=1)]
    if below:
        # Two spaces break a line without a paragraph's gap.
        lines += ["", "  \n".join(below)]
    return "\n".join(lines) + "\n"


def markdown_section(table: Table) -> str:
    """A heading with the table's title, and the table."""
    return f"## {escape(table.title)}\n\n{markdown_table(table)}"


def _cell(cell: Cell, row: Row) -> str:
    text = escape(cell.text)
    if cell.bold:
        text = f"**{text}**"
    elif row.italic and cell is row.cells[0]:
        text = f"*{text}*"
    if cell.interval:
        text = f"{text} <sub>{escape(cell.interval)}</sub>"
    raised = cell.mark + superscript(cell.notes)
    return f"{text} {raised}" if raised else text


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
