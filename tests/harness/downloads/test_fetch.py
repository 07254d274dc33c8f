import hashlib
import json
import multiprocessing
import os
import signal
import socket
import threading
import time

import pytest

from isegbench.harness.downloads import fetch as fetching
from isegbench.harness.downloads.fetch import fetch
from isegbench.harness.errors import UserError

DATA = os.urandom(3_000_000)
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def get(server, tmp_path):
    """`get(**options)`: fetch DATA from the server into tmp_path/got."""
    server.files["/x.bin"] = DATA

    def call(**options):
        return fetch(
            f"{server.address}/x.bin",
            "x.bin",
            tmp_path / "got",
            tmp_path / "cache/lock.json",
            **options,
        )

    return call


def test_a_file_comes_whole_and_is_recorded_and_not_fetched_twice(server, get, tmp_path):
    path = get()
    assert path == tmp_path / "got/x.bin"
    assert path.read_bytes() == DATA
    assert path.stat().st_mode & 0o777 == 0o644
    entry = json.loads((tmp_path / "cache/lock.json").read_text())["x.bin"]
    assert entry == {"sha256": SHA, "bytes": len(DATA), "url": f"{server.address}/x.bin"}
    assert get() == path
    assert server.requests == ["/x.bin"]
    assert os.listdir(tmp_path / "got") == ["x.bin"]


def test_the_lock_is_enforced_on_a_new_download(server, get, tmp_path):
    get().unlink()
    server.files["/x.bin"] = b"changed" * 1000
    with pytest.raises(UserError) as caught:
        get()
    new = hashlib.sha256(server.files["/x.bin"]).hexdigest()
    for part in (SHA, new, "remove the entry 'x.bin'", str(tmp_path / "cache/lock.json")):
        assert part in str(caught.value)
    assert os.listdir(tmp_path / "got") == []
    server.files["/x.bin"] = DATA
    assert get().read_bytes() == DATA


def test_the_lock_is_enforced_on_a_file_that_is_there(get, tmp_path):
    get().write_bytes(b"spoiled")
    with pytest.raises(UserError, match=r"delete .*x\.bin"):
        get()


def test_a_file_put_there_by_hand_is_recorded(server, get, tmp_path):
    (tmp_path / "got").mkdir()
    (tmp_path / "got/x.bin").write_bytes(DATA)
    get()
    assert server.requests == []
    assert fetching.read_lock(tmp_path / "cache/lock.json")["x.bin"]["sha256"] == SHA


def test_known_hash(get, tmp_path):
    md5 = hashlib.md5(DATA).hexdigest()
    with pytest.raises(UserError, match="publisher gives 0000"):
        get(known_hash="md5:0000")
    assert os.listdir(tmp_path / "got") == []
    assert not (tmp_path / "cache/lock.json").exists()
    get(known_hash=f"md5:{md5}")


def test_check_refuses_before_anything_is_kept(get, tmp_path):
    def refuse(path):
        assert path.read_bytes() == DATA
        raise UserError("not what it should be")

    with pytest.raises(UserError, match="not what it should be"):
        get(check=refuse)
    assert os.listdir(tmp_path / "got") == []
    assert not (tmp_path / "cache/lock.json").exists()


def test_a_transfer_that_breaks_off_leaves_nothing_and_can_be_repeated(server, get, tmp_path):
    server.breaks_off = True
    with pytest.raises(UserError) as caught:
        get()
    assert f"{server.address}/x.bin" in str(caught.value)
    assert os.listdir(tmp_path / "got") == []
    server.breaks_off = False
    assert get().read_bytes() == DATA


def test_a_killed_download_is_not_mistaken_for_a_whole_one(server, get, tmp_path):
    sending, go_on = threading.Event(), threading.Event()
    server.while_sending = lambda: (sending.set(), go_on.wait(20))
    process = multiprocessing.get_context("fork").Process(target=get)
    process.start()
    assert sending.wait(20)
    deadline = time.monotonic() + 20
    while not list((tmp_path / "got").glob(".x.bin.*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    go_on.set()
    (partial,) = (tmp_path / "got").iterdir()
    assert partial.name != "x.bin"
    server.while_sending = lambda: None
    assert get().read_bytes() == DATA
    assert partial.exists()  # it might have been another process's, still at work
    os.utime(partial, (0, 0))
    (tmp_path / "got/x.bin").unlink()
    get()
    assert os.listdir(tmp_path / "got") == ["x.bin"]


def test_a_refusal_names_the_address_and_the_way_by_hand(server, tmp_path):
    with pytest.raises(UserError) as caught:
        fetch(f"{server.address}/no", "y", tmp_path, tmp_path / "lock", manual="unpack it to Z")
    for part in (f"{server.address}/no", "404", str(tmp_path / "y"), "unpack it to Z"):
        assert part in str(caught.value)


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
        with pytest.raises(UserError, match="by hand") as caught:
            fetch(url, "x", tmp_path, tmp_path / "lock")
    assert url in str(caught.value)
    with pytest.raises(UserError, match=r"not an http\(s\) address"):
        fetch("drive:1Lm1hhM", "x", tmp_path, tmp_path / "lock")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["[]", "{", '{"x.bin": "abc"}', '{"x.bin": {}}'])
def test_a_damaged_lock_file_is_refused(get, tmp_path, text):
    lock = tmp_path / "cache/lock.json"
    lock.parent.mkdir()
    lock.write_text(text)
    with pytest.raises(UserError, match="not a lock file"):
        get()
    assert lock.read_text() == text


def test_an_unwritable_place(get, tmp_path):
    (tmp_path / "got").write_text("a file where a folder should be")
    with pytest.raises(UserError, match="cannot store"):
        get()


@pytest.mark.parametrize("length", ["many", "1e6", "-5", "0x10", ""])
def test_a_length_that_is_no_number(server, get, tmp_path, length):
    server.length = length or "7, 8"
    with pytest.raises(UserError, match="by hand"):
        get()
    assert os.listdir(tmp_path / "got") == []
    assert not (tmp_path / "cache/lock.json").exists()


def test_a_download_without_a_length_is_stopped(server, get, tmp_path, monkeypatch):
    server.length = None
    assert get().read_bytes() == DATA
    (tmp_path / "got/x.bin").unlink()
    monkeypatch.setattr(fetching, "MAX_UNANNOUNCED", 1_000_000)
    with pytest.raises(UserError, match="larger than it may be"):
        get()
    assert os.listdir(tmp_path / "got") == []


def test_a_download_may_be_known_to_be_smaller(get, tmp_path):
    with pytest.raises(UserError, match="larger than it may be"):
        get(most=1000)
    assert os.listdir(tmp_path / "got") == []


def test_the_cause_comes_first(tmp_path):
    with pytest.raises(UserError) as caught:
        fetch("https://no-such-host.invalid/x", "x", tmp_path, tmp_path / "lock")
    assert str(caught.value).startswith("no network: cannot resolve no-such-host.invalid")
