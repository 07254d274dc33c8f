"""A run during which a process of Ray is killed: `doomed_run.py CONFIG.toml PROCESS SECONDS`.

Starts a cluster of its own, runs the configuration on it, and kills the head's PROCESS
(`gcs_server` or `raylet`) after the fifth trace. SECONDS: how long the run waits for Ray to answer.
"""

import os
import signal
import sys
from pathlib import Path

from ray.cluster_utils import Cluster

from isegbench.harness.errors import UserError
from isegbench.harness.executors.ray import cluster as joining
from isegbench.harness.planning.config import make_config, read_config
from isegbench.harness.workflows.benchmark import execute

if __name__ == "__main__":
    joining._PATIENCE_SECONDS = float(sys.argv[3])
    size = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    nodes = Cluster(initialize_head=True, head_node_args=size)
    done = 0

    def harm(_):
        global done
        done += 1
        if done == 5:
            assert nodes.head_node is not None
            process = nodes.head_node.all_processes[sys.argv[2]][0].process
            os.kill(process.pid, signal.SIGKILL)

    values = read_config(Path(sys.argv[1])) | {"ray_address": nodes.address}
    code = 0
    try:
        execute(make_config(values), None, harm)
    except UserError as error:
        print(error, file=sys.stderr)
        code = 2
    nodes.shutdown()
    sys.exit(code)
