"""A Ray cluster of several nodes on this machine, and work for it."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import ray
from ray.cluster_utils import Cluster

import isegbench

FAULTY = Path(__file__).with_name("faulty.py")

#: The columns of a trace that do not depend on the clock.
STABLE = [
    *("method", "dataset", "simulator", "seed", "instance", "click"),
    *("y", "x", "kind", "iou", "status"),
]

#: How often each fault is tried, each time at other moments.
REPEATS = int(os.environ.get("ISEGBENCH_FAULT_REPEATS", "1"))


@pytest.fixture(scope="module")
def ray_folder() -> Iterator[None]:
    """A folder for Ray's files, so that no other process finds these clusters."""
    # Ray puts sockets in it, whose paths must be short.
    ray.shutdown()
    folder = tempfile.mkdtemp(prefix="iseg", dir="/tmp")
    before = os.environ.get("RAY_TMPDIR")
    os.environ["RAY_TMPDIR"] = folder
    yield
    if before is None:
        del os.environ["RAY_TMPDIR"]
    else:
        os.environ["RAY_TMPDIR"] = before
    shutil.rmtree(folder, ignore_errors=True)


class Nodes:
    """A cluster: a head without CPUs, and two nodes of one CPU each."""

    def __init__(self) -> None:
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "object_store_memory": 80 * 2**20},
        )
        #: Each node's own ISEGBENCH_CACHE, which no other has.
        self.caches: list[str] = []
        self.workers = [self.add(), self.add()]

    @property
    def address(self) -> str:
        address = self._cluster.address
        assert address is not None
        return address

    def add(self, **options):
        self.caches.append(os.path.join(os.environ["RAY_TMPDIR"], f"cache{len(self.caches)}"))
        own = {"ISEGBENCH_CACHE": self.caches[-1]}
        store = {"object_store_memory": 80 * 2**20}
        return self._cluster.add_node(num_cpus=1, env_vars=own, **store, **options)

    def lose(self) -> None:
        """Kill all processes of the node that was added first."""
        self._cluster.remove_node(self.workers.pop(0), allow_graceful=False)

    def replace(self) -> None:
        self.workers.append(self.add())

    def shutdown(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def nodes(ray_folder: None) -> Iterator[Nodes]:
    nodes = Nodes()
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A data set of 30 discs in files."""
    root = tmp_path_factory.mktemp("pictures")
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number in range(30):
        rng = np.random.default_rng(number)
        height, width = ((40, 50), (48, 36))[number % 2]
        y, x = np.mgrid[:height, :width]
        mask = np.hypot(*(np.stack([y, x]).T - rng.uniform(12, 24, 2)).T) < rng.uniform(5, 11)
        image = np.where(mask[..., None], 200, 40) + rng.integers(0, 20, (height, width, 3))
        cv2.imwrite(str(root / "images" / f"p{number:02}.png"), image.astype(np.uint8))
        cv2.imwrite(str(root / "masks" / f"p{number:02}.png"), mask.astype(np.uint8))
    return f"folder:{root}"


@pytest.fixture(scope="session")
def undisturbed(pictures: str) -> Callable[[], pd.DataFrame]:
    """The traces of a run with the steady method and three seeds, without faults."""
    table = {"name": f"{FAULTY}:Steady", "label": "steady"}
    frame = isegbench.run(table, pictures, clicks=5, seeds=3, simulator="random-error").traces
    return lambda: pd.DataFrame(frame[STABLE]).copy()
