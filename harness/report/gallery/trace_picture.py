"""The picture of one trace: the clicks in order and the mask after each."""

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ...errors import UserError
from ...files import write_whole
from ...types import IGNORED, OBJECT, Click

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Clicks so far, the mask (H, W) bool or None before the first prediction, its IoU or None.
PictureStep = tuple[Sequence[Click], np.ndarray | None, float | None]

#: Colour and shape of each kind of click: without colour the shapes differ.
MARKS = {
    "positive": ("#1b9e3f", "o"),
    "negative": ("#d7191c", "s"),
    "corner": ("#ffd92f", "D"),
    "extreme": ("#ffd92f", "^"),
}
MASK_COLOUR = "#2fb8ff"
TRUTH_COLOUR = "#ffffff"
#: Longest side of a panel in inches, panels in a row at most, and pixels per inch.
PANEL, COLUMNS, DPI = 2.5, 5, 130


def draw_trace(
    image: np.ndarray,
    truth: np.ndarray,
    steps: Sequence[PictureStep],
    title: str = "",
) -> np.ndarray:
    """A sheet of panels: the image with the true outline, then the mask after each click.

    image: (H, W, 3) uint8 RGB. truth: (H, W) uint8 with 0 background, 1 object, 255 ignored (drawn
    grey). steps: one panel each. title: above all panels.

    Returns the sheet, (H', W', 3) uint8 RGB. Clicks carry their number: positive green discs,
    negative red squares, corners yellow diamonds, extreme points yellow triangles; the newest is
    larger. The mask is tinted blue inside its outline, the true outline is dashed white.

    Raises UserError when a shape does not fit the image.
    """
    _check(image, truth, steps)
    small, scale = shrunk(image)
    figure, panels = _sheet(small, len(steps) + 1, title)
    outline = outlines(truth == OBJECT, scale)
    draw_truth(panels[0], small, truth, outline)
    for number, (panel, (clicks, mask, score)) in enumerate(
        zip(panels[1:], steps, strict=False), start=1
    ):
        count = len(clicks) or number
        draw_step(panel, small, clicks, mask, outline, scale)
        result = "no prediction yet" if mask is None or score is None else f"IoU {score:.3f}"
        panel.set_title(f"click {count} · {result}", fontsize=9, pad=4)
    draw_legend(figure, [click.kind for clicks, _, _ in steps for click in clicks])
    return pixels(figure)


def trace_picture_name(dataset: str, instance: str, method: str) -> str:
    """The file name of a trace's picture: safe everywhere, different for different traces.

    >>> trace_picture_name("samples", "coffee#4", "nearest-click")
    'samples__coffee#4__nearest-click.png'
    """
    parts = dataset, instance, method
    stem = "__".join(re.sub(r"[^A-Za-z0-9_.#=-]+", "-", part).strip(".")[:60] for part in parts)
    if stem != "__".join(parts) or stem.count("__") != 2:
        stem += f"-{zlib.crc32(repr(parts).encode()):08x}"
    return f"{stem}.png"


def save_picture(picture: np.ndarray, path: Path) -> None:
    """Write an (H, W, 3) uint8 RGB picture as PNG or JPEG, whole or not at all.

    Raises UserError for another ending, and when the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"{path}: a picture's name must end in .png, .jpg or .jpeg")
    _, data = cv2.imencode(path.suffix.lower(), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    write_whole(path, data.tobytes())


def _check(image: np.ndarray, truth: np.ndarray, steps: Sequence[PictureStep]) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise UserError(f"image must be uint8 (H, W, 3), not {image.dtype} {image.shape}")
    if truth.shape != image.shape[:2]:
        raise UserError(f"truth is {truth.shape}, but the image {image.shape[:2]}")
    for number, (_, mask, _) in enumerate(steps, start=1):
        if mask is not None and mask.shape != image.shape[:2]:
            raise UserError(f"mask {number} is {mask.shape}, but the image {image.shape[:2]}")


def shrunk(image: np.ndarray) -> tuple[np.ndarray, float]:
    """The image at panel size, and the factor from its pixels to the original's."""
    scale = PANEL * DPI / max(image.shape[:2])
    size = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST if scale > 4 else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=how), scale


def _sheet(small: np.ndarray, count: int, title: str) -> tuple["Figure", list["Axes"]]:
    from matplotlib.figure import Figure

    height, width = small.shape[0] / DPI, small.shape[1] / DPI
    columns = min(count, COLUMNS if width >= height else COLUMNS + 2)
    rows = -(-count // columns)
    above, below, gap = 0.45 if title else 0.1, 0.42, 0.08
    # A sheet of few narrow panels is still wide enough for its legend and its captions.
    cell = max(width, 1.45, 5.2 / columns)
    total = columns * (cell + gap) + gap, rows * (height + 0.28) + above + below
    figure = Figure(figsize=total, dpi=DPI, facecolor="white")
    panels = []
    for index in range(count):
        row, column = divmod(index, columns)
        left = gap + column * (cell + gap) + (cell - width) / 2
        bottom = total[1] - above - (row + 1) * (height + 0.28) + 0.03
        box = (left / total[0], bottom / total[1], width / total[0], height / total[1])
        panels.append(figure.add_axes(box))
    if title:
        text = title.replace("$", r"\$")
        y = 1 - 0.2 / total[1]
        figure.text(gap / total[0], y, text, fontsize=11, weight="bold", va="center")
    return figure, panels


def draw_truth(panel: "Axes", small: np.ndarray, truth: np.ndarray, outline: list) -> None:
    size = small.shape[1], small.shape[0]
    ignored = cv2.resize((truth == IGNORED).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    shown = small.copy()
    shown[ignored > 0] = (0.35 * shown[ignored > 0] + 0.65 * 150).astype(np.uint8)
    _show(panel, shown)
    _stroke(panel, outline, TRUTH_COLOUR, 1.6, "-")
    panel.set_title("truth" + (" (grey: ignored)" if ignored.any() else ""), fontsize=9, pad=4)


def draw_step(
    panel: "Axes",
    small: np.ndarray,
    clicks: Sequence[Click],
    mask: np.ndarray | None,
    outline: list,
    scale: float,
) -> None:
    shown = small
    if mask is not None:
        size = small.shape[1], small.shape[0]
        inside = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        tint = np.array([int(MASK_COLOUR[i : i + 2], 16) for i in (1, 3, 5)])
        # The rest is dimmed, so that the mask stands out on an image of any colour.
        weight = np.where(inside, 0.62, 0.55)[..., None]
        shown = small * weight + np.where(inside[..., None], tint, 255 * 0.1) * (1 - weight)
        shown = shown.astype(np.uint8)
    _show(panel, shown)
    _stroke(panel, outline, TRUTH_COLOUR, 0.9, (0, (2.5, 2)))
    if mask is not None:
        _stroke(panel, outlines(mask, scale), MASK_COLOUR, 1.5, "-")
    for number, click in enumerate(clicks, start=1):
        _mark(panel, click, number, scale, newest=number == len(clicks))


def _show(panel: "Axes", shown: np.ndarray) -> None:
    panel.imshow(shown, interpolation="nearest", aspect="auto")
    panel.set(xticks=[], yticks=[])
    for spine in panel.spines.values():
        spine.set(color="#888888", linewidth=0.6)


def outlines(mask: np.ndarray, scale: float) -> list[np.ndarray]:
    """The borders of a mask as closed polygons, (N, 2) x and y in panel pixels."""
    # At twice the size a border runs along the edges of pixels, not through their centres.
    twice = np.pad(np.kron(mask.astype(np.uint8), np.ones((2, 2), np.uint8)), 1)
    found, _ = cv2.findContours(twice, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    polygons = []
    for contour in found:
        points = (contour[:, 0].astype(float) - 1 + 0.5) / 2 * scale - 0.5
        polygons.append(np.concatenate([points, points[:1]]))
    return polygons


def _stroke(panel: "Axes", polygons: list, colour: str, width: float, dash: Any) -> None:
    from matplotlib.collections import LineCollection

    size = panel.get_xlim(), panel.get_ylim()
    under = LineCollection(polygons, colors="black", linewidths=width + 1.2, alpha=0.55)
    over = LineCollection(polygons, colors=colour, linewidths=width, linestyles=[dash])
    panel.add_collection(under)
    panel.add_collection(over)
    panel.set(xlim=size[0], ylim=size[1])


def _mark(panel: "Axes", click: Click, number: int, scale: float, newest: bool) -> None:
    colour, shape = MARKS[click.kind]
    x, y = (click.x + 0.5) * scale - 0.5, (click.y + 0.5) * scale - 0.5
    # Two digits need room; a triangle and a diamond hold less than a disc.
    size = (11.5 if newest else 8.5) * (1.25 if shape in "D^" else 1.0)
    size *= 0.85 if shape == "D" else 1.0
    panel.plot(
        x,
        y,
        marker=shape,
        markersize=size,
        markerfacecolor=colour,
        markeredgecolor="white" if newest else "black",
        markeredgewidth=1.3 if newest else 0.6,
        linestyle="none",
        clip_on=False,
        zorder=5 + number,
    )
    panel.annotate(
        str(number),
        (x, y),
        xytext=(0, -1.2 if shape == "^" else 0),
        textcoords="offset points",
        color="black" if colour == MARKS["corner"][0] else "white",
        fontsize=(7.5 if newest else 5.8) - (0.8 if number > 9 else 0),
        weight="bold",
        ha="center",
        va="center_baseline",
        annotation_clip=False,
        zorder=5.5 + number,
    )


def draw_legend(figure: "Figure", kinds: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=TRUTH_COLOUR, linestyle=(0, (2.5, 2)), linewidth=1.4, label="truth"),
        Line2D([], [], color=MASK_COLOUR, linewidth=2.2, label="mask"),
    ]
    for kind, (colour, shape) in MARKS.items():
        if kind in kinds:
            handles.append(
                Line2D(
                    [],
                    [],
                    marker=shape,
                    color=colour,
                    markeredgecolor="black",
                    linestyle="none",
                    label=f"{kind} click",
                )
            )
    legend = figure.legend(
        handles=handles, loc="lower center", ncols=len(handles), fontsize=8.5, frameon=True
    )
    legend.get_frame().set(facecolor="#d0d0d0", edgecolor="none")


def pixels(figure: "Figure") -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
