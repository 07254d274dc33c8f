"""The files around the package: container, continuous integration, versions, templates."""

import fnmatch
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
INSTRUCTIONS = [line.split(maxsplit=1) for line in DOCKERFILE if line and line[0] not in "# "]


def sent_to_docker(path: str) -> bool:
    """What the rules of .dockerignore, of which the last one that fits counts, say of a path."""
    sent = True
    for rule in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = rule.removeprefix("!")
        parents = [path, *map(str, Path(path).parents)]
        if rule and rule[0] != "#" and any(fnmatch.fnmatchcase(one, pattern) for one in parents):
            sent = rule.startswith("!")
    return sent


def test_the_dockerfile_copies_files_that_exist():
    sources = [
        source for word, rest in INSTRUCTIONS if word == "COPY" for source in rest.split()[:-1]
    ]
    assert {"harness", "methods", "datasets", "src", "pyproject.toml"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert sent_to_docker(source), f".dockerignore leaves out {source}"
    assert not sent_to_docker("results/runs")
    assert not sent_to_docker(".venv")


def test_the_dockerfile_copies_what_the_package_links_to():
    sources = {s for word, rest in INSTRUCTIONS if word == "COPY" for s in rest.split()[:-1]}
    links = [path for path in (ROOT / "src").rglob("*") if path.is_symlink()]
    assert links
    for link in links:
        assert str(link.resolve().relative_to(ROOT)) in sources


def test_the_dockerfile_declares_its_arguments():
    known = {"PWD"}
    words = {"FROM", "ARG", "WORKDIR", "COPY", "RUN", "ENTRYPOINT", "CMD"}
    for word, rest in INSTRUCTIONS:
        assert word in words
        assert set(re.findall(r"\$\{?(\w+)", rest)) <= known, rest
        if word == "ARG":
            known.add(rest.partition("=")[0])
    assert {"PYTHON_VERSION", "TORCH_INDEX"} <= known


def test_constraints_pin_every_requirement():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    required = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["graphcut"]
    for requirement in map(Requirement, required):
        version = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}: {version}"
    (version,) = re.findall(r"# Python ([\d.]+)", "\n".join(lines))
    assert version in SpecifierSet(PROJECT["requires-python"])
    (default,) = [rest for word, rest in INSTRUCTIONS if rest.startswith("PYTHON_VERSION=")]
    assert version.startswith(default.removeprefix("PYTHON_VERSION="))


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_targets_that_exist(path):
    makefile = (ROOT / "Makefile").read_text()
    jobs = yaml.safe_load(path.read_text())["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert all(("uses" in step) != ("run" in step) for step in steps)
    targets = re.findall(r"make ([\w-]+)", "\n".join(step.get("run", "") for step in steps))
    for target in targets:
        assert f"\n{target}:" in makefile, target


def test_continuous_integration_covers_the_pythons_we_support():
    jobs = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())["jobs"]
    assert {"style", "tests", "wheel", "docs"} <= set(jobs)
    versions = jobs["tests"]["strategy"]["matrix"]["python"]
    assert versions == ["3.11", "3.12", "3.13"]
    assert all(f"{version}.0" in SpecifierSet(PROJECT["requires-python"]) for version in versions)


def test_pre_commit_hooks_are_our_tools():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    development = {Requirement(r).name for r in PROJECT["optional-dependencies"]["dev"]}
    tools = {Path(hook["entry"].split()[0]).name for hook in repository["hooks"]}
    assert tools == {"ruff", "lint-imports", "pyright"}
    assert {"ruff", "import-linter", "pyright"} <= development


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.name
)
def test_issue_templates_are_forms(path):
    form = yaml.safe_load(path.read_text())
    if path.name == "config.yml":
        assert set(form) <= {"blank_issues_enabled", "contact_links"}
        return
    assert {"name", "description", "body"} <= set(form)
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len(set(ids)) > 1
    for field in form["body"]:
        assert field["type"] in ("input", "textarea", "checkboxes", "dropdown")
        assert field["attributes"]["label"]
