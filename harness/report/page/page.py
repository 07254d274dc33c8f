"""The report as one HTML file that needs nothing else: no network, no other file."""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...files import write_whole
from ...metrics import scores
from ...store.manifest import Manifest, read_manifest
from ...types import KINDS, TRACE_KEY
from ..figures.styles import styles
from ..figures.write_figures import Lines
from ..gallery.trace_picture import trace_picture_name
from ..results.failures import read_messages
from ..results.runs import Results
from ..tables.html import html_table
from ..tables.table import DEFINITIONS, Table
from .page_data import STATUSES, TARGETS, packed_traces, rounded, safe_json
from .page_pictures import Picture, Pictures, pictures_in

#: In the order in which the page includes them; each file starts with its purpose.
SCRIPTS = ("page.js", "tables.js", "charts.js", "instances.js", "trace.js", "start.js")


def write_page(
    path: Path,
    results: Results,
    curves: scores.IoUCurves,
    lines: Lines,
    measured: Sequence[Table],
    published: Sequence[Table] = (),
) -> None:
    """Write the page of a report.

    path: of the page; its pictures are in `traces/` and `gallery/` beside it (of the gallery, the
    contact sheets are shown). measured, published: the leaderboard.

    Pictures are put into the page up to `page_pictures.MOST_BYTES`; the rest is linked. Names,
    errors and whatever else a user wrote are shown as text, never read as HTML; the page's policy
    allows no script but its own. Raises UserError when a picture cannot be read or the page not
    be written.
    """
    from jinja2 import Environment, PackageLoader

    pictures = Pictures(path.parent)
    value, block = packed_traces(results, curves)
    manifests = [(folder, read_manifest(folder)) for folder in results.directories]
    value |= _names(results, manifests) | _lines(lines)
    value["failures"] = _failures(results, value)
    sheets = [f for f in pictures_in(path.parent / "gallery") if f.name.startswith("sheet-")]
    gallery = [pictures.take(file) for file in sheets]
    shown = _trace_pictures(path.parent / "traces", value, pictures)
    value["pictures"] = [[row, method, picture.inside] for row, method, picture in shown]
    script = _script()
    environment = Environment(
        loader=PackageLoader("isegbench.harness.report.page"), autoescape=True, trim_blocks=True
    )
    html = environment.get_template("page.html").render(
        title=", ".join(folder.resolve().name or str(folder) for folder in results.directories),
        results=results,
        manifests=manifests,
        blocks=_blocks(results, measured, published),
        html_table=html_table,
        definitions=DEFINITIONS,
        gallery=gallery,
        style=_template("page.css"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=safe_json(value),
        traces=block,
        pictures=safe_json([picture.source for _, _, picture in shown]),
    )
    write_whole(path, html)


def _template(name: str) -> str:
    return (files("isegbench.harness.report.page") / "templates" / name).read_text("utf-8")


def _script() -> str:
    parts = "\n".join(_template(name) for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}\n}})();\n'


def _blocks(
    results: Results, measured: Sequence[Table], published: Sequence[Table]
) -> list[dict[str, Any]]:
    """The leaderboard of each data set: measured tables, then published ones."""
    return [
        {
            "place": place,
            "measured": [table for table in measured if table.dataset == name],
            "published": [table for table in published if table.dataset == name],
        }
        for place, name in enumerate(results.datasets)
    ]


def _names(results: Results, manifests: list[tuple[Path, Manifest]]) -> dict[str, Any]:
    style = styles(results.methods)
    owners = {
        (method, dataset): str(folder)
        for folder, manifest in reversed(manifests)
        for method in manifest.methods
        for dataset in manifest.datasets
    }
    return {
        "clicks": results.protocol.clicks,
        "stopAt": results.protocol.stop_at,
        "targets": TARGETS,
        "kinds": KINDS,
        "statuses": STATUSES,
        "datasets": list(results.datasets),
        "methods": [
            {
                "name": name,
                "colour": style[name].colour,
                "dark": style[name].dark_colour,
                "dash": [round(style[name].width * part, 2) for part in style[name].dash],
                "width": style[name].width,
                "marker": style[name].marker,
                "bound": entry.sees_truth,
            }
            for name, entry in results.methods.items()
        ],
        # The run of a method on a data set, for the command `isegbench show`.
        "owners": [[owners.get((m, d)) for m in results.methods] for d in results.datasets],
    }


def _lines(lines: Lines) -> dict[str, Any]:
    """Curves for the charts: by kind, data set and method, [first click, values, low, high]."""
    charts: dict[str, list] = {}
    named = (("iou", lines.means, "mean_iou"), ("success", lines.shares, "share"))
    for kind, frame, column in named:
        charts[kind] = [
            [*key, int(part["click"].iloc[0]), *(rounded(part[c]) for c in (column, "low", "high"))]  # pyright: ignore
            for key, part in frame.groupby(["dataset", "method", "simulator"], sort=False)
        ]
    charts["speed"] = [
        [
            row["dataset"],
            row["method"],
            row["seconds"],
            row["noc"],
            *rounded([row["low"], row["high"]]),
        ]
        for row in lines.points.to_dict("records")
    ]
    return {"charts": charts, "time": lines.time}


def _failures(results: Results, value: dict[str, Any]) -> list[list]:
    """[row, method, message] of what went wrong."""
    messages: dict[tuple, str] = {}
    for directory in results.directories:
        messages |= read_messages(directory, most=2000)
    if not messages:
        return []
    rows = _row_numbers(value)
    methods = {name: n for n, name in enumerate(results.methods)}
    found = []
    for key, message in messages.items():
        method, *where = (key[TRACE_KEY.index(n)] for n in ("method", *_ROW_KEY))
        row = rows.get(tuple(where))
        if row is not None and method in methods:
            found.append([row, methods[method], message[:500]])
    return found


_ROW_KEY = ("dataset", "simulator", "seed", "instance")


def _row_numbers(value: dict[str, Any]) -> dict[tuple, int]:
    rows = value["rows"]
    keys = zip(
        (value["datasets"][n] for n in rows["dataset"]),
        (value["simulators"][n] for n in rows["simulator"]),
        rows["seed"],
        rows["instance"],
        strict=True,
    )
    return {key: number for number, key in enumerate(keys)}


def _trace_pictures(
    folder: Path, value: dict[str, Any], pictures: Pictures
) -> list[tuple[int, int, Picture]]:
    """(row, method, picture) of every trace that `isegbench show` has drawn."""
    drawn = {path.name: path for path in pictures_in(folder)}
    if not drawn:
        return []
    found = []
    seen: set[str] = set()
    for row, (dataset, instance) in enumerate(
        zip(value["rows"]["dataset"], value["rows"]["instance"], strict=True)
    ):
        for number, method in enumerate(value["methods"]):
            name = trace_picture_name(value["datasets"][dataset], instance, method["name"])
            # Of several seeds the first is drawn, and the first row is of the first seed.
            if name in drawn and name not in seen:
                seen.add(name)
                found.append((row, number, pictures.take(drawn[name])))
    return found
