"""Masks as the released DEXTR and IOG scripts save them: 8 bits, stretched from min to max."""

import numpy as np


def byte_scaled(values: np.ndarray) -> np.ndarray:
    """An (H, W) float map after being saved as PNG by SciPy's `imsave` of old and read back.

    The map's own minimum and maximum become 0 and 255, so that a threshold on the result is
    relative to them. Returns (H, W) float32 in [0, 1], multiples of 1/255.
    """
    low, high = values.min(), values.max()
    span = high - low
    scale = 255.0 / (span if span > 0 else 1.0)
    stretched = ((values - low) * scale).clip(0, 255) + 0.5
    return stretched.astype(np.uint8).astype(np.float32) / 255
