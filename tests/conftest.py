"""Fixtures shared by all rooms' tests, and the rules that every test keeps."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
#: A skip for this reason is counted at the end of a run.
NOT_SHARED = "needs ../shared/"
#: The marker of a test that uses one of these fixtures.
MARKERS = {"local_ray": "ray", "nodes": "ray", "ray_folder": "ray", "driver": "browser"}

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several processes share the cores; read when torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Callable[..., Path]:
    """`shared("goldens", "x.json")`: a path under ../shared, or the test is skipped."""

    def locate(*parts: str) -> Path:
        path = SHARED.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"{NOT_SHARED}{'/'.join(parts)}, which is not here")
        return path

    return locate


@pytest.fixture
def local_ray() -> None:
    """Ray with two CPUs on this machine: one for all tests that need no other cluster."""
    import ray

    if not ray.is_initialized():
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        ray.init("local", num_cpus=2, include_dashboard=False, **options)


@pytest.fixture(autouse=True)
def _ray_tests_are_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    before = _ray_runs()
    yield
    if not before and _ray_runs() and request.node.get_closest_marker("ray") is None:
        pytest.fail("this test starts Ray: mark it with @pytest.mark.ray")


def _ray_runs() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their fixtures, and group them for xdist.

    The tests of a file share a process and its fixtures; all tests of Ray share one process.
    """
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in MARKERS:
                item.add_marker(MARKERS[fixture])
        starts_ray = item.get_closest_marker("ray") is not None
        item.add_marker(pytest.mark.xdist_group("ray" if starts_ray else str(item.path)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Count the tests that were skipped for want of ../shared."""
    skipped = terminalreporter.stats.get("skipped", [])
    missing = [report for report in skipped if NOT_SHARED in str(report.longrepr)]
    if missing:
        what = "files of ../shared are" if SHARED.exists() else "../shared is"
        terminalreporter.write_line(f"{len(missing)} tests skipped: {what} not here")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Continuous integration fails when ../shared is here but a test did not find its part."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not (reporter and SHARED.exists() and os.environ.get("CI") == "true"):
        return
    skipped = getattr(reporter, "stats", {}).get("skipped", [])
    if any(NOT_SHARED in str(report.longrepr) for report in skipped) and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
