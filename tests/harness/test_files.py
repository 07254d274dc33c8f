import os

import pytest

from isegbench.harness import files
from isegbench.harness.errors import UserError


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "x.md"
    files.write_whole(path, "first")
    assert path.read_text() == "first"

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"x\.md cannot be written: No space left"):
        files.write_whole(path, "second")
    assert path.read_text() == "first"
    assert [file.name for file in path.parent.iterdir()] == ["x.md"]
