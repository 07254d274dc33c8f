from pathlib import Path

import pytest

from isegbench.harness.errors import UserError
from isegbench.harness.store.directory import exclusive


def test_a_lock_that_is_a_link_is_refused_and_its_target_kept(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("data")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(precious)
    with pytest.raises(UserError, match="cannot write"), exclusive(tmp_path / "run"):
        pass
    assert precious.read_text() == "data"
