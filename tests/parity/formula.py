"""Weights made by formula: the same numbers anywhere, from key, shape and seed. Tests only."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

_SMALL = ("pos_embed", "cls_token")


def formula_tensor(key: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """The golden numbers' weights for one state-dict entry; see the goldens' README."""
    leaf = key.rpartition(".")[2]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf in ("running_mean", "running_var"):
        return np.full(shape, float(leaf == "running_var"), np.float32)
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(f"{seed}:{key}".encode())))
    noise = generator.standard_normal(shape)
    if leaf in _SMALL:
        noise = 0.05 * noise
    elif len(shape) >= 2:
        noise = noise * np.sqrt(2.0 / np.prod(shape[1:]))
    elif leaf == "bias":
        noise = 0.1 * noise
    else:
        noise = 1.0 + 0.1 * noise
    return noise.astype(np.float32)


def formula_state(directory: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    """The state dict that `manifest.json` and `overrides.npz` in a directory describe."""
    manifest = json.loads((directory / "manifest.json").read_text())
    state = {key: formula_tensor(key, tuple(shape), seed) for key, (shape, _) in manifest.items()}
    with np.load(directory / "overrides.npz") as overrides:
        state.update({key: overrides[key] for key in overrides.files})
    return {key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}
