"""Executors run the engine on jobs: inline in this process, or with Ray on a machine or cluster.

What a job is (planning) and how one is computed (engine) do not belong here.
"""
