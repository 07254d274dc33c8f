import pandas as pd
import pytest

from isegbench.harness.errors import UserError
from isegbench.harness.store.directory import admit, exclusive, record_instances
from isegbench.harness.store.manifest import (
    DatasetEntry,
    Manifest,
    MethodEntry,
    Protocol,
    read_manifest,
)


def manifest(clicks=20, version="1", threshold=0.5, fingerprint="f", method="m", **protocol):
    return Manifest(
        isegbench=version,
        created="2026-01-01T00:00:00+00:00",
        protocol=Protocol(simulator="s", clicks=clicks, **protocol),
        methods={method: MethodEntry(spec=method, opening="click", threshold=threshold)},
        datasets={"d": DatasetEntry(spec="d", instances=9, fingerprint=fingerprint, planned=3)},
    )


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"clicks": 10}, "clicks: 20 in the run, now 10"),
        ({"seed": 1}, "seed: 0 in the run, now 1"),
        ({"seeds": 2}, "seeds: 1 in the run, now 2"),
        ({"stop_at": 0.9}, "stop_at: None in the run, now 0.9"),
        ({"version": "2"}, "isegbench version: 1 in the run, now 2"),
        ({"threshold": 0.4}, "method m: threshold: 0.5 in the run, now 0.4"),
        ({"fingerprint": "g"}, "dataset d: fingerprint of names: f in the run, now g"),
    ],
)
def test_a_mismatch_is_refused_with_the_difference(tmp_path, change, shown):
    admit(tmp_path, manifest())
    before = (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(UserError) as refused:
        admit(tmp_path, manifest(**change))
    assert shown in str(refused.value)
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_methods_may_be_added(tmp_path):
    admit(tmp_path, manifest())
    admit(tmp_path, manifest(method="other"))
    assert list(read_manifest(tmp_path).methods) == ["m", "other"]


def test_traces_without_a_manifest_are_not_taken_over(tmp_path):
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "0.parquet").touch()
    with pytest.raises(UserError, match="holds traces but no manifest"):
        admit(tmp_path, manifest())


def test_only_one_writes_at_a_time(tmp_path):
    with (
        exclusive(tmp_path / "run"),
        pytest.raises(UserError, match="another run is writing here"),
        exclusive(tmp_path / "run"),
    ):
        pass
    with exclusive(tmp_path / "run"):
        pass


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match="cannot write to .*file/run"),
        exclusive(tmp_path / "file" / "run"),
    ):
        pass


def test_planned_instances_add_up(tmp_path):
    one = pd.DataFrame({"dataset": ["d", "d"], "instance": ["a", "b"], "image": ["a", "a"]})
    record_instances(tmp_path, one)
    record_instances(tmp_path, one.assign(dataset="e"))
    record_instances(tmp_path, one)
    assert len(pd.read_parquet(tmp_path / "instances.parquet")) == 4


def test_a_broken_manifest_is_named(tmp_path):
    (tmp_path / "manifest.json").write_text('{"isegbench": 1}')
    with pytest.raises(UserError, match="manifest.json is not a manifest"):
        read_manifest(tmp_path)
    with pytest.raises(UserError, match="is not a run"):
        read_manifest(tmp_path / "elsewhere")


def test_a_list_of_instances_that_is_none_is_named(tmp_path):
    planned = pd.DataFrame({"dataset": ["d"], "instance": ["a"], "image": ["a"]})
    for garbage in (b"garbage", b""):
        (tmp_path / "instances.parquet").write_bytes(garbage)
        with pytest.raises(UserError, match="instances.parquet is not a list of instances"):
            record_instances(tmp_path, planned)
    planned[["dataset"]].to_parquet(tmp_path / "instances.parquet")
    with pytest.raises(UserError, match="instances.parquet is not a list of instances"):
        record_instances(tmp_path, planned)


def test_traces_that_are_a_file_are_refused(tmp_path):
    (tmp_path / "traces").touch()
    with pytest.raises(UserError, match="traces is not a folder"):
        admit(tmp_path, manifest())
    assert not (tmp_path / "manifest.json").exists()


def test_what_killed_runs_left_half_written_is_deleted(tmp_path):
    left = [tmp_path / ".manifest.json.1a.tmp", tmp_path / "traces" / ".1.parquet.2b.tmp"]
    left.append(tmp_path / "masks" / ".a.json.3c.tmp")
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    kept = tmp_path / "notes.tmp"
    kept.touch()
    with exclusive(tmp_path):
        assert not any(path.exists() for path in left)
    assert kept.exists()


def test_a_lock_that_is_a_link_does_not_empty_its_target(tmp_path):
    (tmp_path / "precious").write_text("text")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(UserError, match="cannot write to"), exclusive(tmp_path / "run"):
        pass
    assert (tmp_path / "precious").read_text() == "text"
