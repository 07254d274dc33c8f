import hashlib

import pytest
from typer.testing import CliRunner

from isegbench.harness.downloads import weights
from isegbench.harness.downloads.weights import KnownCheckpoint
from isegbench.harness.errors import UserError


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty cache, and two known checkpoints of systems that do not exist."""
    monkeypatch.setenv("ISEGBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")  # Google is not asked
    weights.known_checkpoints()  # the rooms register theirs before a copy is changed
    monkeypatch.setattr(weights, "_known", dict(weights._known))
    weights.register(KnownCheckpoint("snap_voc", "snap", ("voc",), "snap.pth", drive_id="ID"))
    weights.register(
        KnownCheckpoint(
            "cut_sbd", "cut", ("sbd",), "cut_sbd.pth", url="http://127.0.0.1:1/cut_sbd.pth"
        )
    )
    return tmp_path


@pytest.fixture
def file(place):
    path = place / "downloaded.pth"
    path.write_bytes(NUMBERS)
    return path


NUMBERS = b"\x80\x02numbers"
SHA256 = hashlib.sha256(NUMBERS).hexdigest()


def test_a_path_is_taken_as_it_is(file):
    found = weights.resolve(str(file), "snap")
    assert (found.path, found.sha256, found.name) == (file, SHA256, str(file))
    assert found.trained_on is None


def test_a_registered_name_gives_the_copy_even_when_the_original_is_gone(file):
    weights.add("snap_voc", file)
    file.unlink()
    found = weights.resolve("snap_voc", "snap")
    assert found.path.read_bytes() == NUMBERS
    assert found.trained_on == ("voc",)
    assert (found.name, found.sha256, found.trained_on) == ("snap_voc", SHA256, ("voc",))


def test_a_path_with_the_bytes_of_registered_weights_is_recognised(file):
    weights.add("snap_voc", file)
    assert weights.resolve(file, "snap").trained_on == ("voc",)
    file.write_bytes(b"\x80\x02others")
    assert weights.resolve(file, "snap").trained_on is None


def test_a_new_name_belongs_to_whoever_asks(file):
    weights.add("mine", file, ("davis", "coco"))
    assert weights.resolve("mine", "snap").trained_on == ("davis", "coco")
    assert weights.resolve("mine", "cut").sha256 == SHA256
    assert list(weights.added()) == ["mine"]


def test_registering_again_replaces(file):
    weights.add("mine", file, ("davis",))
    file.write_bytes(b"better")
    weights.add("mine", file)
    found = weights.resolve("mine", "snap")
    assert found.path.read_bytes() == b"better"
    assert found.trained_on is None


def test_a_registered_file_that_changed_or_vanished_is_refused(file):
    stored = weights.add("mine", file).path
    stored.write_bytes(b"tampered")
    with pytest.raises(UserError, match="has changed since it was registered"):
        weights.resolve("mine", "snap")
    stored.unlink()
    with pytest.raises(UserError, match="is gone; register it again with: isegbench weights add"):
        weights.resolve("mine", "snap")


def test_what_a_person_must_download_is_said_with_link_and_command():
    weights.register(KnownCheckpoint("snap_any", "snap", (), folder_id="DIR", megabytes=12))
    with pytest.raises(UserError) as caught:
        weights.resolve("snap_any", "snap")
    text = str(caught.value)
    assert "(12 MB)" in text
    assert "download it from https://drive.google.com/drive/folders/DIR" in text
    assert "isegbench weights add snap_any FILE" in text


PAGE = b"\n<!DOCTYPE html><html><title>Log in</title></html>"


@pytest.mark.parametrize("data", [PAGE, b"", b"PK\x03\x04 and no directory", b"some text"])
def test_what_is_no_checkpoint_is_not_registered(place, data):
    (place / "x.pth").write_bytes(data)
    with pytest.raises(UserError, match="cannot be registered as snap_voc"):
        weights.add("snap_voc", place / "x.pth")
    if data != b"some text":  # a method of one's own may read any format
        with pytest.raises(UserError, match="cannot be registered as mine"):
            weights.add("mine", place / "x.pth")
        assert weights.added() == {}


@pytest.mark.parametrize(
    ("size", "good"),
    [(1_990_000, True), (2 * 2**20, True), (1_700_000, False), (2_400_000, False)],
)
def test_a_known_size_is_checked(place, size, good):
    weights.register(KnownCheckpoint("snap_two", "snap", (), drive_id="TWO", megabytes=2))
    (place / "x.pth").write_bytes(b"\x80\x02" + bytes(size - 2))
    if good:
        weights.add("snap_two", place / "x.pth")
    else:
        with pytest.raises(UserError, match="but the released file 2 MB"):
            weights.add("snap_two", place / "x.pth")


def test_a_failed_download_says_how_else():
    with pytest.raises(UserError) as caught:
        weights.resolve("cut_sbd", "cut")
    text = str(caught.value)
    assert "http://127.0.0.1:1/cut_sbd.pth" in text
    assert "isegbench weights add cut_sbd FILE" in text


def test_wrong_names_are_corrected(place):
    with pytest.raises(UserError, match="did you mean 'snap_voc'"):
        weights.resolve("snap_vok", "snap")
    with pytest.raises(UserError, match="cut_sbd is a checkpoint of cut, not of snap.*snap_voc"):
        weights.resolve("cut_sbd", "snap")
    with pytest.raises(UserError, match="is a folder"):
        weights.resolve(str(place), "snap")
    with pytest.raises(UserError, match="no such file"):
        weights.add("mine", place / "missing.pth")
    with pytest.raises(UserError, match="cannot name a checkpoint"):
        weights.add("../mine", place)


def test_a_released_name_keeps_what_its_authors_say(file):
    with pytest.raises(UserError, match="released checkpoint trained on voc"):
        weights.add("snap_voc", file, ("davis",))


def test_a_spoilt_record_is_named(file):
    record = weights.add("mine", file).path.with_name("mine.json")
    record.write_text("{}")
    with pytest.raises(UserError, match=r"mine\.json is not a record of weights"):
        weights.resolve("mine", "snap")


def test_names_are_registered_once():
    with pytest.raises(UserError, match="two checkpoints are called 'snap_voc'"):
        weights.register(KnownCheckpoint("snap_voc", "snap", (), drive_id="OTHER"))
    with pytest.raises(UserError, match="needs url and file_name, or drive_id or folder_id"):
        weights.register(KnownCheckpoint("nowhere", "snap", ()))


def test_the_released_checkpoints_are_known():
    systems = {entry.system for entry in weights.known_checkpoints()}
    assert {"dextr", "fbrs", "ritm", "fcfi", "forte", "iog", "iog-refine"} <= systems
    fbrs = {entry.name: entry for entry in weights.known_checkpoints("fbrs")}
    assert fbrs["resnet34_dh128_sbd"].url == (
        "https://github.com/saic-vul/fbrs_interactive_segmentation/releases/download/v1.0/"
        "resnet34_dh128_sbd.pth"
    )
    assert "sbd:split=train" in fbrs["resnet34_dh128_sbd"].trained_on
    assert "sbd" not in fbrs["resnet50_dh128_lvis"].trained_on


class TestCommands:
    @pytest.fixture
    def call(self):
        from isegbench.harness.cli.weights import app

        def call(*arguments):
            return CliRunner().invoke(app, list(map(str, arguments)))

        return call

    def test_add_then_path_then_list(self, call, file):
        assert "fetchable" in call("list", "--system", "snap").output
        assert SHA256 in call("add", "snap_voc", file).output
        stored = weights.resolve("snap_voc", "snap").path
        assert call("path", "snap_voc").output.strip() == str(stored)
        listed = call("list", "--system", "snap").output
        assert "here" in listed
        assert "cut_sbd" not in listed
        assert "fetchable" in call("list", "--system", "cut").output

    def test_new_names_say_what_they_were_trained_on(self, call, file):
        assert call("add", "mine", file, "--trained-on", "sbd, voc").exit_code == 0
        assert weights.resolve("mine", "snap").trained_on == ("sbd", "voc")
        assert "mine" in call("list").output

    def test_missing_and_unknown_ones_are_explained(self, call):
        assert "is not on this machine: try isegbench weights download cut_sbd" in str(
            call("path", "cut_sbd").exception
        )
        assert "did you mean 'cut_sbd'" in str(call("path", "cut_sbb").exception)
        failed = str(call("download", "snap_voc").exception)
        assert "download it from https://drive.google.com/file/d/ID/view" in failed
        assert "did you mean 'snap'" in str(call("list", "--system", "snip").exception)

    def test_the_licence_is_listed(self, call, monkeypatch):
        monkeypatch.setenv("COLUMNS", "200")
        weights.register(
            KnownCheckpoint("free_voc", "free", ("voc",), drive_id="x", licence="Apache-2.0")
        )
        assert "Apache-2.0" in call("list", "--system", "free").output
