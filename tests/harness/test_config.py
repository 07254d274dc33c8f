import pytest

from isegbench.harness.config import make_config, read_config
from isegbench.harness.errors import UserError


def write(tmp_path, text):
    path = tmp_path / "bench.toml"
    path.write_text(text)
    return path


def test_a_file_describes_a_benchmark(tmp_path):
    path = write(
        tmp_path,
        'methods = ["nearest-click", {name = "geodesic", radius = 3, label = "ours"}]\n'
        'datasets = "samples"\nclicks = 5\nstop_at = 0.9\n',
    )
    config = make_config(read_config(path))
    assert config.methods[1]["label"] == "ours"
    assert config.datasets == ["samples"]
    assert (config.clicks, config.stop_at, config.seeds) == (5, 0.9, 1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('datasets = ["samples"]\nclick = 5\n', r"bench\.toml:2: unknown key 'click': .*'clicks'"),
        ("\n\nclicks = 0\n", r"bench\.toml:3: clicks = 0: .*greater than or equal to 1"),
        ("seeds = 'many'\n", r"bench\.toml:1: seeds = 'many': .*integer"),
        ('executor = "slurm"\n', r"bench\.toml:1: executor = 'slurm': .*'inline' or 'ray'"),
        ("clicks = = 3\n", "not valid TOML"),
        ("methods = []\n", r"bench\.toml:1: methods"),
    ],
)
def test_errors_name_the_line_of_the_key(tmp_path, text, complaint):
    with pytest.raises(UserError, match=complaint):
        read_config(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.toml: no such file"):
        read_config(tmp_path / "none.toml")


def test_methods_and_datasets_are_needed():
    with pytest.raises(UserError, match="methods is missing"):
        make_config({"datasets": "samples"})
