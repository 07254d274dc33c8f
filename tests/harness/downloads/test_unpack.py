import gzip
import io
import os
import stat
import tarfile
import zipfile

import pytest

from isegbench.harness.dataset import Archive
from isegbench.harness.downloads import unpack as unpacking
from isegbench.harness.downloads.unpack import install, unpack
from isegbench.harness.errors import UserError

FILES = {"Set/img/a.jpg": b"picture", "Set/gt/a.png": b"mask", "Set/gt/deep/b.png": b"more"}


def zipped(files, links=()):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
        for name, target in dict(links).items():
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            file.writestr(info, target)
    return buffer.getvalue()


def tarred(files, links=(), kind=tarfile.SYMTYPE):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
        for name, target in dict(links).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            file.addfile(info)
    return buffer.getvalue()


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def room(tmp_path):
    """A folder two levels down, so that an escape would be seen in tmp_path."""
    (tmp_path / "in/room").mkdir(parents=True)
    return tmp_path / "in/room"


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_unpack(room, pack):
    (room / "x").write_bytes(pack(FILES))
    unpack(room / "x", room / "out")
    assert tree(room / "out") == FILES
    assert sorted(os.listdir(room)) == ["out", "x"]
    with pytest.raises(UserError, match="already there"):
        unpack(room / "x", room / "out")


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "a/../b", "/evil", "..", "..\\evil", "C:\\evil", "C:evil"],
)
def test_names_that_escape_are_refused(room, pack, name):
    absolute = f"{room.parent.parent}/evil" if name == "/evil" else name
    (room / "x").write_bytes(pack({**FILES, absolute: b"evil"}))
    with pytest.raises(UserError, match="refused"):
        unpack(room / "x", room / "out")
    assert tree(room.parent.parent).keys() == {"in/room/x"}
    assert os.listdir(room) == ["x"]


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../evil", "../../../../etc/passwd"])
def test_links_that_escape_are_refused(room, pack, target):
    (room / "x").write_bytes(pack(FILES, {"Set/link": target}))
    with pytest.raises(UserError, match="refused"):
        unpack(room / "x", room / "out")
    assert os.listdir(room) == ["x"]


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_link_to_a_folder_is_no_way_out(room, pack):
    """The classic: a link to a folder, then a file written through it."""
    (room / "x").write_bytes(pack({**FILES, "Set/door/evil": b"evil"}, {"Set/door": "gt"}))
    with pytest.raises(UserError, match="no file in it"):
        unpack(room / "x", room / "out")
    assert os.listdir(room) == ["x"]


@pytest.mark.parametrize(
    "data",
    [
        zipped(FILES, {"Set/b": "gt/a.png", "Set/c": "b"}),
        tarred(FILES, {"Set/b": "gt/a.png", "Set/c": "b"}),
        tarred(FILES, {"Set/b": "Set/gt/a.png", "Set/c": "Set/b"}, tarfile.LNKTYPE),
    ],
)
def test_links_within_become_copies(room, data):
    (room / "x").write_bytes(data)
    unpack(room / "x", room / "out")
    assert tree(room / "out") == {**FILES, "Set/b": b"mask", "Set/c": b"mask"}
    assert not any(path.is_symlink() for path in (room / "out").rglob("*"))


def test_devices_and_circles_are_refused(room):
    (room / "x").write_bytes(tarred(FILES, {"pipe": ""}, tarfile.FIFOTYPE))
    with pytest.raises(UserError, match="device or pipe"):
        unpack(room / "x", room / "out")
    (room / "x").write_bytes(tarred(FILES, {"a": "b", "b": "a"}))
    with pytest.raises(UserError, match="no file in it"):
        unpack(room / "x", room / "out")


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_damaged_archives(room, pack):
    whole = pack({"Set/a": os.urandom(100_000)})
    middle = len(whole) // 2
    spoiled = whole[:middle] + bytes(byte ^ 255 for byte in whole[middle : middle + 99])
    for data in (spoiled + whole[middle + 99 :], whole[:middle], b"<html>", b""):
        (room / "x").write_bytes(data)
        with pytest.raises(UserError, match=r"damaged|neither"):
            unpack(room / "x", room / "out")
        assert os.listdir(room) == ["x"]


def test_an_interruption_leaves_no_folder(room, monkeypatch):
    (room / "x").write_bytes(zipped(FILES))

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(unpacking.shutil, "copyfileobj", interrupt)
        with pytest.raises(KeyboardInterrupt):
            unpack(room / "x", room / "out")
    assert os.listdir(room) == ["x"]
    unpack(room / "x", room / "out")
    assert tree(room / "out") == FILES


def test_what_a_killed_process_left_is_cleared_away(room):
    (room / "x").write_bytes(zipped(FILES))
    for name, age in ((".out.dead.part", 1e6), (".out.busy.part", 0)):
        (room / name).mkdir()
        (room / name / "half").write_bytes(b"")
        then = (room / name).stat().st_mtime - age
        os.utime(room / name, (then, then))
    unpack(room / "x", room / "out")
    assert sorted(os.listdir(room)) == [".out.busy.part", "out", "x"]


@pytest.mark.parametrize("prefix", ["", "Set/", "release/dataset/"])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_install_finds_the_folder_wherever_it_lies(server, tmp_path, pack, prefix):
    files = {"img/a.jpg": b"picture", "gt/a.png": b"mask", "val.txt": b"a"}
    inside = {prefix + name: data for name, data in files.items()}
    inside |= {f"__MACOSX/{prefix}gt/._a.png": b"junk"}
    server.files["/set"] = pack(inside)
    archive = Archive(f"{server.address}/set", "set", "SET", ("img", "gt", "val.txt"))
    places = (tmp_path / "root", tmp_path / "downloads", tmp_path / "lock.json")
    folder = install(archive, *places)
    assert folder == tmp_path / "root/SET"
    found = tree(folder)
    assert {name: found[name] for name in files} == files
    assert os.listdir(tmp_path / "root") == ["SET"]
    assert install(archive, *places) == folder
    assert server.requests == ["/set"]


def test_install_refuses_what_is_not_the_set(server, tmp_path):
    places = (tmp_path / "root", tmp_path / "downloads", tmp_path / "lock.json")
    archive = Archive(f"{server.address}/set", "set.zip", "SET", ("img", "gt", "val.txt"))
    server.files["/set"] = b"<html>please log in</html>"
    with pytest.raises(UserError, match="no zip or tar archive"):
        install(archive, *places)
    assert not (tmp_path / "lock.json").exists()
    server.files["/set"] = zipped(FILES)
    with pytest.raises(UserError, match=r"no folder with img, gt, val\.txt.*unpack it yourself"):
        install(archive, *places)
    assert os.listdir(tmp_path / "root") == []
    (tmp_path / "root/SET/img").mkdir(parents=True)
    with pytest.raises(UserError, match=r"lacks gt, val\.txt"):
        install(archive, *places)


def refused(room, data):
    (room / "x").write_bytes(data)
    with pytest.raises(UserError) as caught:
        unpack(room / "x", room / "out")
    assert os.listdir(room) == ["x"]
    return str(caught.value)


@pytest.mark.parametrize("name", ["", ".", "./."])
def test_a_member_without_a_name_is_refused(room, name):
    assert "without a name" in refused(room, tarred({**FILES, name: b"x"}))
    data = zipped({**FILES, name or "@": b"x"})
    if not name:  # zipfile itself writes no such member
        at = data.rindex(b"@PK")
        data = data[:at] + data[at + 1 :]
        entry = data.rindex(b"PK\x01\x02")
        data = data[: entry + 28] + bytes(2) + data[entry + 30 :]
        end = data.rindex(b"PK\x05\x06")
        length = int.from_bytes(data[end + 12 : end + 16], "little") - 1
        data = data[: end + 12] + length.to_bytes(4, "little") + data[end + 16 :]
    assert "without a name" in refused(room, data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(room):
    for pack in (zipped, tarred):
        assert "two files" in refused(room, pack({**FILES, "Set/./gt/a.png": b"other"}))
        assert "two files" in refused(room, pack(FILES, {"Set/gt/a.png": "deep/b.png"}))


def test_names_that_differ_in_case_lose_no_file(room):
    (room / "x").write_bytes(zipped({"A": b"upper", "a": b"lower"}))
    unpack(room / "x", room / "out")
    assert tree(room / "out") == {"A": b"upper", "a": b"lower"}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_bomb_is_refused_before_it_is_written(room, pack):
    assert "would unpack to more than" in refused(room, pack({"a": bytes(2**28)}))


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_copies_of_links_count(room, pack):
    links = {f"l{number}": "a" for number in range(50)}
    assert "would unpack to more than" in refused(room, pack({"a": bytes(2**22)}, links))


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_too_many_members_or_bytes(room, pack, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(unpacking, "MAX_MEMBERS", 2)
        assert "more than 2 files" in refused(room, pack(FILES))
    with monkeypatch.context() as patch:
        patch.setattr(unpacking, "MAX_BYTES", 10)
        assert "would unpack to more than" in refused(room, pack(FILES))


def test_a_bomb_behind_the_end_of_a_tar_file(room):
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb") as file:
        file.write(gzip.decompress(tarred(FILES)))
        file.write(bytes(2**28))
    assert "would unpack to more than" in refused(room, buffer.getvalue())


def test_a_file_that_is_also_a_folder(room):
    assert "cannot unpack" in refused(room, zipped({"a": b"file", "a/b": b"in it"}))
    assert "a link of 8000 bytes" in refused(room, zipped(FILES, {"link": "a/" * 4000}))
