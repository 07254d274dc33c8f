"""Random seeds that depend on nothing but (seed, data set, instance)."""

import hashlib

import numpy as np


def generator(seed: int, dataset: str, instance: str) -> np.random.Generator:
    """The generator a simulator draws from for one instance."""
    return np.random.default_rng(int.from_bytes(_digest("simulator", seed, dataset, instance)))


def method_seed(seed: int, dataset: str, instance: str) -> int:
    """An int in [0, 2**31) for a method that uses chance; independent of the simulator's."""
    return int.from_bytes(_digest("method", seed, dataset, instance)[:4]) >> 1


def _digest(purpose: str, seed: int, dataset: str, instance: str) -> bytes:
    return hashlib.sha256("\0".join((purpose, str(seed), dataset, instance)).encode()).digest()
