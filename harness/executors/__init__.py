"""Executors run the engine: inline in this process, ray on this machine or a cluster."""
