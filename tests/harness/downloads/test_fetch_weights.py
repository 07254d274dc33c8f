import hashlib

import pytest

from isegbench.harness.downloads import weights
from isegbench.harness.errors import UserError


@pytest.fixture
def known(server, tmp_path, monkeypatch):
    """A checkpoint called `known` that the test's own server offers."""
    monkeypatch.setenv("ISEGBENCH_CACHE", str(tmp_path))
    weights.known_checkpoints()  # the rooms register theirs before a copy is changed
    monkeypatch.setattr(weights, "_known", dict(weights._known))
    server.files["/known.pth"] = b"numbers" * 999
    entry = weights.KnownCheckpoint(
        "known", "cut", ("sbd",), "known.pth", url=f"{server.address}/known.pth"
    )
    weights.register(entry)
    return entry


def test_a_name_is_fetched_once_and_its_sha256_kept(known, server):
    first = weights.resolve("known", "cut")
    assert first.path.read_bytes() == server.files["/known.pth"]
    assert first.sha256 == hashlib.sha256(server.files["/known.pth"]).hexdigest()
    assert first.trained_on == ("sbd",)
    assert weights.resolve("known", "cut") == first
    assert server.requests == ["/known.pth"]
    assert weights.find(known) == first.path


def test_downloaded_bytes_are_recognised_elsewhere(known, tmp_path):
    weights.resolve("known", "cut")
    copy = tmp_path / "elsewhere.pth"
    copy.write_bytes((tmp_path / "weights" / "known.pth").read_bytes())
    assert weights.resolve(copy, "cut").trained_on == ("sbd",)


def test_a_download_that_changed_on_disk_is_refused(known):
    path = weights.resolve("known", "cut").path
    path.write_bytes(b"tampered")
    with pytest.raises(UserError, match="but its first download had"):
        weights.resolve("known", "cut")


def test_half_a_download_is_no_file(known, server):
    server.breaks_off = True
    with pytest.raises(UserError, match="isegbench weights add known FILE"):
        weights.resolve("known", "cut")
    assert weights.find(known) is None
