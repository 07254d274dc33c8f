"""What keeps a run from being resumed, on manifests made by hand."""

import pytest

from isegbench.harness.errors import UserError
from isegbench.harness.store.differences import Resume
from isegbench.harness.store.directory import admit
from isegbench.harness.store.manifest import (
    Content,
    DatasetEntry,
    Identity,
    Invocation,
    Manifest,
    MethodEntry,
    Protocol,
    read_manifest,
)


def manifest(
    code="1" * 64, commit: str | None = "abc", scale=1, content="f", methods=("m",), **others
):
    identity = Identity(name="M", files={"m.py": code}, parameters={"scale": scale})
    held = Content(compared="sha256", files=2, bytes=9, fingerprint=content)
    return Manifest(
        isegbench="1",
        created="2026-01-01T00:00:00+00:00",
        protocol=Protocol(simulator="s", clicks=20),
        methods={
            name: MethodEntry(spec=name, opening="click", threshold=0.5, identity=identity)
            for name in methods
        },
        datasets={
            "d": DatasetEntry(spec="d", instances=9, fingerprint="n", planned=3, content=held)
        },
        invocations=[
            Invocation(started="", command="", executor={}, versions={}, hardware={}, commit=commit)
        ],
        **others,
    )


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"code": "2" * 64}, "method m: file m.py: 111111111111 in the run, now 222222222222"),
        ({"scale": 2}, "method m: parameter scale: 1 in the run, now 2"),
        ({"commit": "def"}, "isegbench commit: abc in the run, now def"),
        ({"content": "g"}, r"dataset d: images and masks: f \(sha256\) in the run, now g"),
    ],
)
def test_other_code_or_data_are_refused_and_may_be_kept(tmp_path, change, shown):
    admit(tmp_path, manifest())
    with pytest.raises(UserError, match=shown) as refused:
        admit(tmp_path, manifest(**change))
    assert "--keep" in str(refused.value)
    admit(tmp_path, manifest(**change), Resume(keep=True))
    (accepted,) = read_manifest(tmp_path).accepted
    assert accepted.time
    assert any("in the run, now" in line for line in accepted.differences)
    admit(tmp_path, manifest(**change))


def test_other_settings_cannot_be_kept(tmp_path):
    admit(tmp_path, manifest())
    planned = manifest()
    planned.protocol.clicks = 3
    with pytest.raises(UserError, match="clicks: 20 in the run, now 3"):
        admit(tmp_path, planned, Resume(keep=True, redo=["m"]))


def test_redoing_one_method_settles_what_concerns_it_alone(tmp_path):
    admit(tmp_path, manifest(methods=("m", "n")))
    with pytest.raises(UserError) as refused:
        admit(tmp_path, manifest("2" * 64, methods=("m", "n")), Resume(redo=["m"]))
    assert "method n:" in str(refused.value)
    assert "method m:" not in str(refused.value)
    with pytest.raises(UserError, match="commit"):
        admit(tmp_path, manifest(commit="def", methods=("m", "n")), Resume(redo=["m"]))
    admit(tmp_path, manifest("2" * 64, "def", methods=("m", "n")), Resume(redo=["m", "n"]))


def test_what_an_old_manifest_does_not_say_is_no_difference_but_unknown(tmp_path):
    old = manifest(commit=None)
    old.methods["m"].identity = old.datasets["d"].content = None
    admit(tmp_path, old)
    admit(tmp_path, manifest())
    (accepted,) = read_manifest(tmp_path).accepted
    assert "method m: unknown in the run" in accepted.differences


def test_a_method_to_redo_must_be_one_of_the_run(tmp_path):
    with pytest.raises(UserError, match="--redo n: .*Known: m"):
        admit(tmp_path, manifest(), Resume(redo=["n"]))
