import pytest

from isegbench.harness.errors import UserError
from isegbench.harness.planning.config import make_config, read_config
from isegbench.harness.planning.plan import make_plan, plan_method
from isegbench.harness.planning.resources import Resources


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
    labelled = config.methods[1]
    assert isinstance(labelled, dict)
    assert labelled["label"] == "ours"
    assert config.datasets == ["samples"]
    assert (config.clicks, config.stop_at, config.seeds) == (5, 0.9, 1)


#: Two methods with resources, the second of which are to be filled in.
RESOURCES = """methods = [
  {{name = "oracle", resources = {{gpus = 1}}}},
  {{name = "geodesic", resources = {{{}}}}},
]
"""


def test_a_method_says_what_its_workers_occupy(tmp_path):
    text = RESOURCES.format('gpus = 0.25, cpus = 2, memory = "8GiB"') + 'datasets = "samples"\n'
    config = make_config(read_config(write(tmp_path, text)))
    oracle, geodesic = make_plan(config).methods
    assert oracle.resources == Resources(1, 1, None)
    assert geodesic.resources == Resources(2, 0.25, 8 * 2**30)
    assert (geodesic.name, geodesic.entry.spec) == ("geodesic", "geodesic")
    assert plan_method("oracle").resources == Resources()


def test_resources_that_are_no_table_are_named():
    with pytest.raises(UserError, match="method oracle: resources: 5: must be a table"):
        plan_method({"name": "oracle", "resources": 5})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('datasets = ["samples"]\nclick = 5\n', r"bench\.toml:2: unknown key 'click': .*'clicks'"),
        ("\n\nclicks = 0\n", r"bench\.toml:3: clicks = 0: .*greater than or equal to 1"),
        ("seeds = 'many'\n", r"bench\.toml:1: seeds = 'many': .*integer"),
        ('executor = "slurm"\n', r"bench\.toml:1: executor = 'slurm': .*'inline' or 'ray'"),
        ("clicks = true\n", r"bench\.toml:1: clicks = True: .*must be a number"),
        ("stop_at = true\n", r"bench\.toml:1: stop_at = True: .*must be a number"),
        ("time_limit = inf\n", r"bench\.toml:1: time_limit = inf: .*finite"),
        ("gpus_per_worker = nan\n", r"bench\.toml:1: gpus_per_worker = nan"),
        ("seed = 9999999999999999999999\n", r"bench\.toml:1: seed = 9+: .*less than"),
        ("clicks = 2020-01-01\n", r"bench\.toml:1: clicks = .*integer"),
        ("redo = 5\n", r"bench\.toml:1: redo = .*string"),
        ("clicks = = 3\n", "not valid TOML"),
        ("methods = []\n", r"bench\.toml:1: methods"),
        (RESOURCES.format("gpu = 1"), r"bench\.toml:3: methods: .*'gpu': did you mean 'gpus'"),
        (RESOURCES.format("gpus = -1"), r"bench\.toml:3: methods: .*gpus = -1: .*equal to 0"),
        (RESOURCES.format("gpus = 1.5"), r"bench\.toml:3: .*gpus = 1.5: .*share of one GPU"),
        (RESOURCES.format("cpus = 'all'"), r"bench\.toml:3: .*cpus = 'all': .*valid number"),
        (
            RESOURCES.format("memory = '8 cups'"),
            r"bench\.toml:3: .*memory = '8 cups': .*unit: cups",
        ),
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


@pytest.mark.parametrize(
    ("method", "complaint"),
    [
        ({"name": 5}, "a table needs a name"),
        ({"name": "geodesic", "label": 5}, "label = 5: must be text"),
        ({"name": "geodesic", "radius": {"a": 1}}, "radius="),
        ({"name": "geodesic", "radius": [1]}, "radius="),
        (5, "5 is not a method"),
        ([["geodesic"]], "is not a method"),
        (True, "True is not a method"),
    ],
)
def test_a_method_of_a_wrong_type_is_named(method, complaint):
    config = make_config({"methods": method, "datasets": "samples"})
    with pytest.raises(UserError, match=complaint):
        make_plan(config)


def test_a_simulator_or_data_set_of_a_wrong_type_is_named():
    for kind, values in (("simulator", (5, [], True, {"name": 1})), ("datasets", (5, {"a": 1}))):
        for value in values:
            request = {"methods": "nearest-click", "datasets": "samples", kind: value}
            with pytest.raises(UserError, match="is not a|needs a name"):
                make_plan(make_config(request))
