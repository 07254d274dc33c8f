"""Contact sheets and strips: several traces on one picture, mask outlines and clicks in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...types import OBJECT
from ..figures.figures import wrapped
from .trace_picture import (
    DPI,
    PANEL,
    PictureStep,
    draw_legend,
    draw_step,
    draw_truth,
    outlines,
    pixels,
    shrunk,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GAP, _HEAD = 0.1, 0.5
#: Characters of a caption that fit above a tile.
_CAPTION = 41


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet: an image, its truth, and one step of a trace or None for the truth.

    image: (H, W, 3) uint8 RGB. truth: (H, W) uint8. caption: at most two lines are shown well.
    """

    image: np.ndarray
    truth: np.ndarray
    step: PictureStep | None
    caption: str


def draw_sheet(tiles: Sequence[Sequence[Tile]], title: str) -> np.ndarray:
    """Rows of tiles as one sheet, (H, W, 3) uint8 RGB.

    Every tile has the same square; an image keeps its shape inside it.
    """
    from matplotlib.figure import Figure

    columns = max(len(row) for row in tiles)
    lines = [max(_caption(tile).count("\n") + 1 for tile in row) for row in tiles]
    heights = [_height(row) + 0.17 * count + 0.12 for row, count in zip(tiles, lines, strict=True)]
    width = max(columns * (PANEL + _GAP) + _GAP, 5.4)
    total = sum(heights) + _HEAD + 0.42
    figure = Figure(figsize=(width, total), dpi=DPI, facecolor="white")
    text = title.replace("$", r"\$")
    figure.text(_GAP / width, 1 - 0.24 / total, text, fontsize=11.5, weight="bold", va="center")
    top = total - _HEAD
    for row, height in zip(tiles, heights, strict=True):
        for column, tile in enumerate(row):
            _draw_tile(figure, tile, _GAP + column * (PANEL + _GAP), top, height)
        top -= height
    clicks = [click.kind for row in tiles for tile in row if tile.step for click in tile.step[0]]
    draw_legend(figure, clicks)
    return pixels(figure)


def _height(row: Sequence[Tile]) -> float:
    """Of the tallest image of a row, in inches."""
    return max(PANEL * t.image.shape[0] / max(t.image.shape[:2]) for t in row)


def _caption(tile: Tile) -> str:
    return "\n".join(wrapped(line, _CAPTION) for line in tile.caption.split("\n"))


def _draw_tile(figure: "Figure", tile: Tile, left: float, top: float, height: float) -> None:
    caption = _caption(tile)
    small, scale = shrunk(tile.image)
    width, tall = small.shape[1] / DPI, small.shape[0] / DPI
    # Images stand on one line, captions right above them.
    bottom = top - height + 0.06
    total = figure.get_size_inches()
    box = (left + (PANEL - width) / 2, bottom, width, tall)
    panel: Axes = figure.add_axes(
        (box[0] / total[0], box[1] / total[1], box[2] / total[0], box[3] / total[1])
    )
    true_outline = outlines(tile.truth == OBJECT, scale)
    if tile.step is None:
        draw_truth(panel, small, tile.truth, true_outline)
        panel.set_title("")
    else:
        clicks, mask, _ = tile.step
        draw_step(panel, small, clicks, mask, true_outline, scale)
    figure.text(
        (left + PANEL / 2) / total[0],
        (bottom + tall + 0.05) / total[1],
        caption.replace("$", r"\$"),
        fontsize=8.5,
        ha="center",
        va="bottom",
        linespacing=1.15,
    )
