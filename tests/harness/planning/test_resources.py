"""What a worker occupies, and how many fit."""

import pytest

from isegbench.harness.errors import UserError
from isegbench.harness.executors.ray.cluster import Cluster
from isegbench.harness.planning.resources import Resources


@pytest.mark.parametrize(
    ("values", "complaint"),
    [({"cpus": -1}, "cpus = -1"), ({"gpus": 1.5}, "gpus = 1.5: must be a share")],
)
def test_what_no_worker_can_have_is_refused(values, complaint):
    with pytest.raises(UserError, match=complaint):
        Resources(**values)


@pytest.mark.parametrize(
    ("nodes", "shape", "taken", "fits"),
    [
        ([{"CPU": 16, "GPU": 8}], Resources(1, 0.25), [], 16),
        ([{"CPU": 64, "GPU": 8}], Resources(1, 0.25), [], 32),
        ([{"CPU": 64, "GPU": 8}], Resources(1, 0.4), [], 16),
        ([{"CPU": 64, "GPU": 8}], Resources(1, 0), [(Resources(1, 0.25), 32)], 32),
        ([{"CPU": 4}, {"CPU": 4}], Resources(3, 0), [], 2),
        ([{"CPU": 4}], Resources(1, 1), [], 0),
        ([{"CPU": 4, "GPU": 1, "memory": 10}], Resources(1, 0, 4), [], 2),
        ([{"CPU": 8, "GPU": 4}], Resources(0, 2), [], 2),
    ],
)
def test_how_many_workers_fit(monkeypatch, nodes, shape, taken, fits):
    cluster = Cluster.__new__(Cluster)
    monkeypatch.setattr(cluster, "_current", lambda: nodes, raising=False)
    assert cluster.room(shape, taken) == fits
