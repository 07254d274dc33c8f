"""`isegbench.report` and `isegbench.compare`: what is made of traces."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from .harness.errors import UserError
from .harness.report.results.runs import Run, load_results, load_run
from .harness.report.tables.comparison import comparison
from .harness.report.tables.table import SHOWN
from .harness.report.write import FORMATS, Report, write_report

Runs = Path | str | Run | Iterable[Path | str | Run]


def report(
    runs: Runs,
    *,
    formats: Sequence[str] = FORMATS,
    published: bool = False,
    metrics: Sequence[str] = SHOWN,
    intervals: bool = True,
) -> Report:
    """Write tables, figures and the page of one or several runs to `report/` of the first one.

    runs: what `run` or `load_run` returned, or run directories; several must be comparable.
    formats: of html (`index.html`), md, csv, tex. published: show published numbers on the same
    data sets too. metrics: what tables show, such as `["NoC@90", "AuC"]`, or `["all"]`. intervals:
    95% bootstrap intervals in the tables.

    Returns the folder and the leaderboard. Raises UserError for a run that was not kept in a
    directory, and for runs that cannot be read or compared.
    """
    loaded = _loaded(runs)
    for one in loaded:
        if one.directory is None:
            raise UserError("the run was not kept, so its report has no place: run it with out=DIR")
    return write_report(loaded, formats, published, metrics, intervals)


def compare(runs: Runs, baseline: str, metrics: str | Sequence[str] = "NoC@90") -> pd.DataFrame:
    """Compare every method of one or several runs with a baseline, a row a data set and metric.

    runs: as for `report`. baseline: a method's name in the traces. metrics: of NoC@t, NoF@t,
    mIoU@k, mBIoU@k, AuC.

    Columns: `dataset, simulator, metric, method, baseline, instances` (scored for both), `value`,
    `baseline_value`, `difference` (method less baseline) with its paired 95% bootstrap interval
    `low, high`, `p_value` (sign-flip permutation test, two-sided), and `wins, ties, losses` in
    instances. Raises UserError for a baseline or a metric that the runs do not have.
    """
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    return comparison(load_results(_loaded(runs)), baseline, names)


def _loaded(runs: Runs) -> list[Run]:
    several = [runs] if isinstance(runs, (Path, str, Run)) else runs
    return [one if isinstance(one, Run) else load_run(one, categorical=True) for one in several]
