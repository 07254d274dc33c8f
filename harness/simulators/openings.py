"""Openings: the clicks that a method needs before its first prediction."""

from collections.abc import Callable

import numpy as np

from ..errors import SimulatorError, nearest
from ..types import OBJECT, Click
from .distance.region import bounding_box, innermost
from .rule import Distance

#: The kinds of clicks of each opening, in the order in which they are placed.
OPENINGS: dict[str, tuple[str, ...]] = {
    "click": ("positive",),
    "inside-outside": ("corner", "corner", "positive"),
    "extreme-points": ("extreme", "extreme", "extreme", "extreme"),
    "box": ("corner", "corner"),
}


def opening_clicks(
    opening: str, truth: np.ndarray, rng: np.random.Generator, distance: Distance = "opencv"
) -> list[Click]:
    """The clicks of an opening on one object, by a careful user.

    truth: (H, W) uint8 with at least one object pixel (1). `box` is the top-left and bottom-right
    corner of the tight box; `inside-outside` adds the object's innermost pixel (IOG, CVPR 2020);
    `extreme-points` are the left-, right-, top- and bottommost pixels, by chance among equals
    (DEXTR, CVPR 2018); `click` is the innermost pixel. distance: see `innermost`.
    Raises SimulatorError for other names.
    """
    if opening not in _PLACED_BY:
        raise SimulatorError(f"unknown opening {opening!r}: {nearest(opening, OPENINGS)}")
    return _PLACED_BY[opening](truth == OBJECT, rng, distance)


def _click(target: np.ndarray, rng: np.random.Generator, distance: Distance) -> list[Click]:
    y, x = innermost(target, distance=distance)[1]
    return [Click(y, x, "positive")]


def _box(target: np.ndarray, rng: np.random.Generator, distance: Distance) -> list[Click]:
    box = bounding_box(target)
    if box is None:
        raise SimulatorError("no object to draw a box around")
    return [Click(box.top, box.left, "corner"), Click(box.bottom, box.right, "corner")]


def _inside_outside(
    target: np.ndarray, rng: np.random.Generator, distance: Distance
) -> list[Click]:
    return _box(target, rng, distance) + _click(target, rng, distance)


def _extreme_points(
    target: np.ndarray, rng: np.random.Generator, distance: Distance
) -> list[Click]:
    ys, xs = np.nonzero(target)
    sides = (xs == xs.min(), xs == xs.max(), ys == ys.min(), ys == ys.max())
    chosen = [rng.choice(np.flatnonzero(side)) for side in sides]
    return [Click(int(ys[i]), int(xs[i]), "extreme") for i in chosen]


_PLACED_BY: dict[str, Callable[[np.ndarray, np.random.Generator, Distance], list[Click]]] = {
    "click": _click,
    "inside-outside": _inside_outside,
    "extreme-points": _extreme_points,
    "box": _box,
}
