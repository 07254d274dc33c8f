"""Tables as LaTeX, to be \\input into a paper that loads array, booktabs and longtable."""

import re
from collections import Counter

from ...files import file_names
from .table import DASH, Cell, Row, Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "]": "{]}",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "×": r"$\times$",
    DASH: "--",
}


_SHORT = {"Instances": "Inst.", "Failures": "Fail."}


def escape(text: str) -> str:
    r"""Text that LaTeX sets as it is; characters pdflatex has no glyph for become their number.

    >>> escape("a_b & 50%")
    'a\\_b \\& 50\\%'
    """
    return "".join(_character(c) for c in re.sub(r"\s+", " ", text))


def _character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    # Every pdflatex of this decade has the printable characters of ASCII and Latin-1 letters.
    if " " <= character <= "~" or "À" <= character <= "ÿ":
        return character
    return f"(U+{ord(character):04X})"


def latex_document(tables: list[Table]) -> str:
    """All tables, one after the other, with a comment on what they need."""
    stems = file_names(dict.fromkeys(_labels(tables)))
    head = "% Needs \\usepackage{array,booktabs,longtable}.\n"
    return head + "".join(
        "\n" + (_longtable if table.published else _float)(table, stems[name])
        for table, name in zip(tables, _labels(tables), strict=True)
    )


def _labels(tables: list[Table]) -> list[str]:
    """A name for each table: its data set's, numbered from the second of the same kind on."""
    names = []
    seen: Counter[tuple[str, bool]] = Counter()
    for table in tables:
        seen[table.dataset, table.published] += 1
        number = seen[table.dataset, table.published]
        names.append(table.dataset if number == 1 else f"{table.dataset} {number}")
    return names


def _float(table: Table, stem: str) -> str:
    return "\n".join(
        [
            r"\begin{table}[htb]",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{escape(table.title)}. mIoU in percent.}}",
            rf"\label{{tab:isegbench-{_label(stem)}}}",
            rf"\begin{{tabular}}{{{_columns(table)}}}",
            r"\toprule",
            _header(table),
            r"\midrule",
            *_body(table),
            r"\bottomrule",
            r"\end{tabular}",
            *_below(table),
            r"\end{table}",
            "",
        ]
    )


def _longtable(table: Table, stem: str) -> str:
    """A table that may be longer than a page."""
    return "\n".join(
        [
            rf"{{\footnotesize\setlength{{\tabcolsep}}{{3pt}}\begin{{longtable}}{{{_columns(table)}}}",
            rf"\caption{{{escape(table.title)}.}}"
            rf"\label{{tab:isegbench-{_label(stem)}-published}}\\",
            r"\toprule",
            _header(table),
            r"\midrule\endfirsthead",
            r"\toprule",
            _header(table),
            r"\midrule\endhead",
            r"\bottomrule\endfoot",
            *_body(table),
            r"\end{longtable}",
            *_below(table),
            r"\par}",
            "",
        ]
    )


def _label(stem: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", stem)


def _columns(table: Table) -> str:
    """Column types; long names get a column of fixed width, in which they may break."""
    text = [
        r">{\raggedright\arraybackslash}p{0.19\linewidth}"
        if max(len(row.cells[i].text) for row in table.rows) > 22
        else "l"
        for i in range(table.text_columns)
    ]
    return "".join(text) + "r" * (len(table.columns) - table.text_columns)


def _header(table: Table) -> str:
    return " & ".join(_heading(name) for name in table.columns) + r" \\"


def _heading(name: str) -> str:
    metric, at, number = escape(_SHORT.get(name, name)).partition("@")
    return rf"\shortstack[r]{{{metric}\\@{number}}}" if at else metric


def _body(table: Table) -> list[str]:
    lines = []
    for group, rows in table.groups():
        if lines:
            lines.append(r"\addlinespace")
        if table.headed:
            span = len(table.columns)
            lines.append(rf"\multicolumn{{{span}}}{{l}}{{\textit{{{escape(group)}}}}} \\")
        lines += [" & ".join(_cell(cell, row) for cell in row.cells) + r" \\" for row in rows]
    return lines


def _cell(cell: Cell, row: Row) -> str:
    text = escape(cell.text)
    if len(cell.text) > 22:
        text = re.sub(r"([:,=/]|\\_)", r"\1\\allowbreak{}", text)
    if cell.bold:
        text = rf"\textbf{{{text}}}"
    elif row.italic and cell is row.cells[0]:
        text = rf"\textit{{{text}}}"
    raised = [escape(mark).removesuffix("{}") for mark in cell.mark]
    raised += [str(n) for n in cell.notes]
    text += rf"\textsuperscript{{{','.join(raised)}}}" if raised else ""
    if cell.interval:
        small = escape(cell.interval)
        text = rf"\shortstack[r]{{{text}\\{{\tiny {small}}}}}"
    return text


def _below(table: Table) -> list[str]:
    lines = [rf"\par\smallskip\raggedright\footnotesize {escape(text)}" for text in table.remarks]
    for number, text in enumerate(table.notes, start=1):
        lines.append(rf"\par\raggedright\footnotesize\textsuperscript{{{number}}}~{escape(text)}")
    return lines
