import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from isegbench.harness.cli.data import app
from isegbench.harness.errors import UserError

OWN = '''
from pathlib import Path
from isegbench.harness.dataset import Dataset
from isegbench.harness.errors import UserError
from isegbench.harness.dataset import Archive
from isegbench.harness.types import Blob, InstanceRef, decode_array

class Own(Dataset):
    """Arrays in files, fetched from wherever the test serves them."""
    name = "own"
    archive = Archive("ADDRESS/own.zip", "own.zip", "OWN", ("images", "masks"))
    expected = (2, 2)

    def __init__(self, data_root: Path | None = None):
        self.folder = data_root / "OWN"

    def instances(self):
        return [
            InstanceRef("own", m.stem, m.stem, Blob(self.folder / "images" / m.name), Blob(m),
                        decode_array, decode_array)
            for m in sorted((self.folder / "masks").glob("*.npy"))
        ]
'''


def invoke(*arguments) -> tuple[int, str]:
    """Exit code and standard output; a UserError comes out, as the main command needs it."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "300"})
    if isinstance(result.exception, UserError):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture
def own(server, tmp_path, monkeypatch) -> str:
    """The name of a data set of two instances that the server offers."""
    monkeypatch.setenv("ISEGBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ISEGBENCH_DATA", raising=False)
    mask = np.zeros((6, 8), np.uint8)
    mask[2:4, 2:4], mask[5] = 1, 255
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in "ab":
            for folder, array in (("images", np.zeros((6, 8, 3), np.uint8)), ("masks", mask)):
                encoded = io.BytesIO()
                np.save(encoded, array)
                file.writestr(f"OWN/{folder}/{name}.npy", encoded.getvalue())
    server.files["/own.zip"] = buffer.getvalue()
    source = tmp_path / "own.py"
    source.write_text(OWN.replace("ADDRESS", server.address))
    return f"{source}:Own"


def test_download_path_verify(own, server, tmp_path):
    root = tmp_path / "root"
    code, output = invoke("path", own, "--data-root", root)
    assert code == 0
    assert f"{root}/OWN" in output
    assert "data download" in output
    code, output = invoke("download", own, "--data-root", root)
    assert code == 0
    assert f"{root}/OWN" in output
    assert (tmp_path / "cache/downloads/own.zip").read_bytes() == server.files["/own.zip"]
    assert "own.zip" in (tmp_path / "cache/downloads.lock.json").read_text()
    assert invoke("download", own, "--data-root", root)[0] == 0
    assert server.requests == ["/own.zip"]
    code, output = invoke("path", own, "--data-root", root)
    assert output == f"{root}/OWN\n"
    code, output = invoke("verify", own, "--data-root", root)
    assert code == 0
    (row,) = [line.split("│") for line in output.splitlines() if "own.py:Own" in line]
    assert [cell.strip() for cell in row[2:6]] == ["2", "2", "2", "0"]


def test_the_cache_is_the_default_root(own, tmp_path):
    invoke("download", own)
    assert (tmp_path / "cache/data/OWN/masks/a.npy").is_file()


def test_a_download_that_breaks_off_can_be_repeated(own, server, tmp_path):
    server.breaks_off = True
    with pytest.raises(UserError, match=r"own\.zip.*unpack it yourself"):
        invoke("download", own)
    assert not (tmp_path / "cache/data/OWN").exists()
    server.breaks_off = False
    assert invoke("download", own)[0] == 0


def test_verify_lists_problems(own, tmp_path):
    root = tmp_path / "root"
    invoke("download", own, "--data-root", root)
    (root / "OWN/images/a.npy").write_bytes(b"spoiled")
    (root / "OWN/masks/b.npy").unlink()
    code, output = invoke("verify", own, "--data-root", root)
    assert code == 1
    assert "has 1 images and 1 masks, but was published with 2 and 2" in output
    assert f"a: image {root}/OWN/images/a.npy cannot be decoded" in output


def test_names_that_cannot_be_downloaded(own):
    with pytest.raises(UserError, match="unknown dataset 'grabcot': did you mean 'grabcut'"):
        invoke("download", "grabcot")
    with pytest.raises(UserError, match=r"folder has no archive to download.*grabcut"):
        invoke("download", "folder")


def test_path_lists_what_is_there(own, tmp_path):
    (tmp_path / "GrabCut/data_GT").mkdir(parents=True)
    (tmp_path / "GrabCut/boundary_GT").mkdir()
    code, output = invoke("path", "--data-root", tmp_path)
    lines = [line.split() for line in output.splitlines()]
    assert code == 0
    assert lines[0] == [str(tmp_path)]
    assert ["grabcut", "GrabCut", "there"] in lines
    assert ["sbd", "SBD", "missing"] in lines
    assert {line[0] for line in lines[1:]} >= {"berkeley", "coco_mval", "davis", "voc"}


def test_verify_real_sets(shared):
    code, output = invoke("verify", "grabcut", "berkeley", "--data-root", shared("data"))
    assert code == 0, output
    code, output = invoke("verify", "davis", "--data-root", shared("data"))
    assert code == 1
    assert "has 48 images and 48 masks, but was published with 345 and 345" in output


@pytest.mark.parametrize("command", ["download", "path", "verify"])
def test_help_has_examples(command):
    code, output = invoke(command, "--help")
    assert code == 0
    assert f"isegbench data {command}" in output


def test_importing_is_light():
    heavy = ["cv2", "numpy", "pandas", "pooch", "ray", "requests", "scipy", "torch"]
    program = (
        "import sys, isegbench.harness.cli.data\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path("/")
    )
    assert run.stdout.strip() == "[]"
