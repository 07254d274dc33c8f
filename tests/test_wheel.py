"""What is built and shipped: every module, the samples, the published numbers, nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("harness", "methods", "datasets")


@pytest.fixture(scope="module")
def members(tmp_path_factory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in files:
        if (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--wheel-dir", str(folder), str(source)),
        ],
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_every_module_is_in_the_wheel(members):
    modules = {
        f"isegbench/{path.relative_to(ROOT).as_posix()}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
    }
    modules |= {f"isegbench/{path.name}" for path in (ROOT / "src/isegbench").glob("*.py")}
    assert len(modules) > 40
    assert modules <= members


def test_data_files_are_in_the_wheel(members):
    assert "isegbench/datasets/samples.json" in members
    templates = ROOT / "harness" / "report" / "page" / "templates"
    assert {
        f"isegbench/harness/report/page/templates/{path.name}" for path in templates.iterdir()
    } <= members
    for path in (ROOT / "results" / "published").glob("*.csv"):
        assert f"isegbench/results/published/{path.name}" in members


def test_nothing_lands_outside_the_package(members):
    assert {name.split("/")[0].split("-")[0] for name in members} == {"isegbench"}
    assert not [name for name in members if "test" in name.lower()]
