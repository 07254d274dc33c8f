"""Fixtures shared by all rooms' tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Callable[..., Path]:
    """`shared("goldens", "x.json")`: a path under ../shared, or the test is skipped."""

    def locate(*parts: str) -> Path:
        path = SHARED.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"needs ../shared/{'/'.join(parts)}, which is not here")
        return path

    return locate
