"""The commit that is recorded is isegbench's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from isegbench.harness.store import environment

ROOT = Path(__file__).resolve().parents[3]
CODE = "from isegbench.harness.store import environment; print(environment.commit())"


def git(folder: Path, *args: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(
        ["git", *who, *args], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit_of(folder: Path) -> str:
    path = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", CODE], check=True, capture_output=True, text=True, env=path
    )
    return done.stdout.strip()


def copy_package(site: Path) -> None:
    """As a wheel installs it: folders, no links."""
    shutil.copytree(
        ROOT / "src" / "isegbench", site / "isegbench", ignore=shutil.ignore_patterns("nets")
    )


def test_the_repository_around_an_environment_is_not_isegbenchs(tmp_path):
    site = tmp_path / ".venv" / "lib" / "python3" / "site-packages"
    copy_package(site)
    (tmp_path / "mine.txt").touch()
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "mine.txt")
    git(tmp_path, "commit", "-q", "-m", "Add mine")
    assert commit_of(site) == "None"
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "Add the environment")
    assert commit_of(site) == "None"


def test_a_checkout_has_its_commit_and_its_changes(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    (tmp_path / "harness" / "store").mkdir(parents=True)
    module = tmp_path / "harness" / "store" / "environment.py"
    module.write_text("1\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "Add it")
    monkeypatch.setattr(environment, "__file__", str(module))
    head = git(tmp_path, "rev-parse", "HEAD")
    assert environment.commit() == head
    module.write_text("2\n")
    two = environment.commit()
    module.write_text("3\n")
    assert two is not None
    assert two.startswith(f"{head}+")
    assert two != environment.commit()
