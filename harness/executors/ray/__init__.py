"""The executor with Ray's workers: queue, workers and their failures, shipping, cluster.
Everything that imports ray."""
