import numpy as np
import pytest

import isegbench
from isegbench.harness.errors import UserError
from isegbench.harness.method import Method
from isegbench.harness.planning.config import make_config
from isegbench.harness.planning.plan import make_plan


def plan(methods: object = "empty", datasets: object = "samples", **options):
    return make_plan(make_config({"methods": methods, "datasets": datasets, **options}))


def names(made):
    return [ref.name for ref in made.datasets[0].refs]


def test_parts_of_a_data_set(tmp_path):
    everything = names(plan())
    part = plan(datasets="samples[3:7]")
    assert names(part) == everything[3:7]
    assert part.datasets[0].name == "samples"
    assert part.datasets[0].entry.instances == len(everything)
    assert part.datasets[0].entry.planned == 4
    assert names(plan(datasets="samples[-2:]")) == everything[-2:]
    assert names(plan(datasets="samples[3:7]", limit=2)) == everything[3:5]
    file = tmp_path / "wanted.txt"
    file.write_text(f"{everything[5]}\n\n{everything[1]}\n")
    assert names(plan(instances=file)) == [everything[1], everything[5]]


def test_names_that_are_not_there_are_refused(tmp_path):
    file = tmp_path / "wanted.txt"
    file.write_text("coffee#112\n")
    with pytest.raises(UserError, match="not in samples, such as 'coffee#112'.*did you mean"):
        plan(instances=file)
    with pytest.raises(UserError, match="cannot be read"):
        plan(instances=tmp_path / "none.txt")
    with pytest.raises(UserError, match="no instance is left"):
        plan(datasets="samples[500:]")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"methods": "emty"}, "unknown method 'emty': did you mean 'empty'"),
        ({"datasets": "sample"}, "unknown dataset 'sample': did you mean 'samples'"),
        ({"simulator": "largest"}, "unknown simulator 'largest': did you mean"),
        ({"methods": ["empty", "empty"]}, "method 'empty' is given twice"),
        ({"methods": [{"label": "x"}]}, 'needs a name = "..."'),
        ({"methods": dict}, "not a subclass of Method"),
    ],
)
def test_requests_that_cannot_be_met(options, complaint):
    with pytest.raises(UserError, match=complaint):
        plan(**options)


def test_an_opening_must_fit_the_budget_and_exist(discs):
    class Boxed(Method):
        opening = "inside-outside"

        def predict_one(self, session):
            return np.ones(session.shape, np.float32)

    class Odd(Boxed):
        opening = "lasso"  # pyright: ignore[reportAssignmentType]

    with pytest.raises(UserError, match="opens with 3 clicks .inside-outside., more than"):
        plan(Boxed, clicks=2)
    with pytest.raises(UserError, match="unknown opening 'lasso'"):
        plan(Odd)


def test_a_label_tells_two_settings_apart():
    made = plan(["empty", {"name": "empty", "label": "nothing"}])
    assert [method.name for method in made.methods] == ["empty", "nothing"]
    assert made.methods[1].entry.spec == "empty"


def test_objects_and_classes_serve_as_well_as_names(discs, nearest_seed):
    frame = isegbench.run([nearest_seed(), "oracle"], [discs(2), "samples[0:1]"], clicks=2).traces
    assert set(frame.method) == {"NearestSeed", "oracle"}
    assert set(frame.dataset) == {"discs", "samples"}


def test_importing_the_harness_is_light():
    import subprocess
    import sys

    code = "import sys, isegbench.harness, isegbench.harness.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert not {"torch", "ray", "pandas", "cv2", "matplotlib"} & set(loaded.split())


def test_a_pickled_job_leaves_the_built_method_behind(nearest_seed, discs):
    import pickle

    (job,) = plan("nearest-click", "samples[0:1]").jobs(set())
    assert isinstance(job.method.built, Method)
    sent = pickle.loads(pickle.dumps(job))
    assert sent.method.built is None
    met = sent.pairing(sent.method.build())
    assert (met.method_name, met.simulator_name, met.seed) == ("nearest-click", "largest-error", 0)
    assert type(met.method) is type(job.method.built)
