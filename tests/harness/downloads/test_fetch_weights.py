import hashlib
from types import SimpleNamespace
from urllib.parse import urlsplit

import gdown
import pytest
import requests

from isegbench.harness.downloads import weights
from isegbench.harness.errors import UserError


@pytest.fixture
def known(server, tmp_path, monkeypatch):
    """A checkpoint called `known` that the test's own server offers."""
    monkeypatch.setenv("ISEGBENCH_CACHE", str(tmp_path))
    weights.known_checkpoints()  # the rooms register theirs before a copy is changed
    monkeypatch.setattr(weights, "_known", dict(weights._known))
    server.files["/known.pth"] = b"\x80\x02" + b"numbers" * 999
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


PAGE = b"<html><title>Log in to the network</title></html>"


@pytest.mark.parametrize("data", [PAGE, b"", b"PK\x03\x04" + bytes(99), b"an error message"])
def test_what_is_no_checkpoint_is_not_locked(known, server, data):
    good = server.files["/known.pth"]
    server.files["/known.pth"] = data
    with pytest.raises(UserError, match="isegbench weights add known FILE") as caught:
        weights.resolve("known", "cut")
    assert "was not received" in str(caught.value)
    server.files["/known.pth"] = good
    assert weights.resolve("known", "cut").path.read_bytes() == good


@pytest.mark.parametrize("megabytes", [1, 5])
def test_a_file_of_another_size_is_not_locked(known, server, megabytes):
    weights.register(
        weights.KnownCheckpoint(
            "sized", "cut", (), "sized.pth", url=f"{server.address}/sized.pth", megabytes=megabytes
        )
    )
    server.files["/sized.pth"] = b"\x80\x02" + bytes(3_000_000)
    with pytest.raises(UserError, match="than it may be|but the released file 5 MB"):
        weights.resolve("sized", "cut")
    server.files["/sized.pth"] = b"\x80\x02" + bytes(megabytes * 1_000_000)
    assert weights.resolve("sized", "cut").path.stat().st_size > 900_000


@pytest.fixture
def google(known, server, monkeypatch):
    """Google Drive's pages, imitated by the test's server; pages and files are bytes by path."""
    send = requests.Session.send

    def local(self, request, **options):
        parts = urlsplit(request.url)
        if parts.hostname and parts.hostname.endswith(("google.com", "googleusercontent.com")):
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            request.url = f"{server.address}{path}"
        return send(self, request, **options)

    monkeypatch.setattr(requests.Session, "send", local)
    return server


WARNING_PAGE = (  # Google writes the form on one line
    b"<!DOCTYPE html><html><body><p>Google Drive can't scan this file for viruses.</p>"
    b'<form id="download-form" action="https://drive.usercontent.google.com/download" method="get">'
    b'<input type="hidden" name="id" value="ID"><input type="hidden" name="confirm" value="t">'
    b"</form></body></html>"
)
REFUSAL = b"""<!DOCTYPE html><html><body><p class="uc-error-caption">Sorry</p>
<p class="uc-error-subcaption">Too many users have viewed this file recently.</p></body></html>"""


def test_a_file_of_google_drive_comes_behind_its_warning(google):
    entry = weights.KnownCheckpoint("driven", "cut", ("sbd",), drive_id="ID")
    weights.register(entry)
    google.files["/uc?id=ID"] = WARNING_PAGE
    google.files["/download?id=ID&confirm=t"] = b"\x80\x02" + b"weights" * 99
    google.attachments = {"/download?id=ID&confirm=t"}
    found = weights.resolve("driven", "cut")
    assert found.path.read_bytes() == b"\x80\x02" + b"weights" * 99
    assert found.path == weights.find(entry)
    assert found.trained_on == ("sbd",)
    asked = len(google.requests)
    assert weights.resolve("driven", "cut") == found
    assert len(google.requests) == asked


@pytest.mark.parametrize("page", [REFUSAL, PAGE, None])
def test_what_google_refuses_is_said_with_the_way_by_hand(google, page):
    weights.register(weights.KnownCheckpoint("driven", "cut", (), drive_id="ID"))
    if page is not None:
        google.files["/uc?id=ID"] = page
    with pytest.raises(UserError) as caught:
        weights.resolve("driven", "cut")
    text = str(caught.value)
    assert "isegbench weights add driven FILE" in text
    assert "https://drive.google.com/file/d/ID/view" in text
    if page == REFUSAL:
        assert "Too many users" in text
    assert weights.find(weights.KnownCheckpoint("driven", "cut", (), drive_id="ID")) is None


def test_a_file_of_a_folder_is_found_by_its_name(google, monkeypatch):
    weights.register(weights.KnownCheckpoint("held", "cut", (), "b.pth", folder_id="DIR"))
    listed = [SimpleNamespace(id="A", path="x/a.pth"), SimpleNamespace(id="B", path="x/b.pth")]
    monkeypatch.setattr(gdown, "download_folder", lambda **options: listed)
    google.files["/uc?id=B"] = b"\x80\x02 the file"
    google.attachments = {"/uc?id=B"}
    assert weights.resolve("held", "cut").path.read_bytes() == b"\x80\x02 the file"
    weights.register(weights.KnownCheckpoint("gone", "cut", (), "c.pth", folder_id="DIR"))
    with pytest.raises(UserError, match=r"the Google Drive folder holds no c\.pth: a\.pth, b\.pth"):
        weights.resolve("gone", "cut")
