"""The executor with Ray workers: queue, workers and their failures, shipping, cluster.

Every module that imports ray belongs here; methods, datasets and the engine's loop do not.
"""
