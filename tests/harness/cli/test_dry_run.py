"""`isegbench run --dry-run` from outside."""

import re
import subprocess
import sys


def dry_run(*args, cwd=None):
    words = [sys.executable, "-m", "isegbench", "run", *map(str, args), "--dry-run"]
    return subprocess.run(words, capture_output=True, text=True, cwd=cwd)


def test_the_plan_in_plain_lines_and_nothing_written(tmp_path):
    (tmp_path / "bench.toml").write_text(
        'methods = ["oracle", {name = "nearest-click", resources = {cpus = 2}}]\n'
        'datasets = ["samples"]\nclicks = 4\nseeds = 3\nout = "results/run"\n'
    )
    done = dry_run("bench.toml", "--probe", 2, "--limit", 5, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    rows = [re.split(r"  +", line.strip()) for line in done.stdout.splitlines()]
    planned = {row[0]: row[1:6] for row in rows if row[0] in ("oracle", "nearest-click")}
    assert planned == {
        "oracle": ["samples", "15", "0", "15", "60"],
        "nearest-click": ["samples", "15", "0", "15", "60"],
    }
    assert re.search(r"^Estimated time: ", done.stdout, re.MULTILINE)
    assert "Up to 4 clicks, 3 seeds; in this process" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["bench.toml"]


def test_out_is_not_needed_and_mistakes_are_reported(tmp_path):
    done = dry_run("--method", "oracle", "--dataset", "samples[0:2]", "--probe", 0)
    assert done.returncode == 0, done.stderr
    assert "unknown" in done.stdout
    done = dry_run("--method", "orakle", "--dataset", "samples", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'oracle'" in done.stderr
