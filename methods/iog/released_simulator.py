"""IOG's released evaluation: points in its view of the ground truth, encoded as clicks."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import distance_transform_edt

from ...harness.errors import MethodError, SimulatorError
from ...harness.simulator import Simulator
from ...harness.types import OBJECT, Click, Instance, Kind
from ..processing.boxes import box_of
from .guidance import RELEASED_SIDE, opening_of
from .view import CropView


def released_click(pixel: tuple[int, int], point: tuple[int, int], kind: Kind) -> Click:
    """A point of the released evaluation as a click.

    pixel: (y, x) in the image. point: (row, column) in the 512 x 512 view, where the evaluation
    finds it. The click encodes both exactly: its pixel is `pixel`, and its offset within the pixel
    is proportional to `point`.
    """
    parts = zip(pixel, point, strict=True)
    y, x = (whole + (part + 0.5) / RELEASED_SIDE - 0.5 for whole, part in parts)
    return Click(y, x, kind)


def view_point(click: Click) -> tuple[int, int]:
    """The (row, column) in the 512 x 512 view of a click made by `released_click`.

    Raises MethodError for any other click.
    """
    y, x = click.pixel
    parts = [(off + 0.5) * RELEASED_SIDE - 0.5 for off in (click.y - y, click.x - x)]
    if any(part != round(part) for part in parts):
        raise MethodError(
            "protocol=released needs points found in the view: use the simulator iog-released, "
            "or protocol=image"
        )
    return int(parts[0]), int(parts[1])


class IOGReleased(Simulator):
    """The points of `iog:protocol=released` and `iog-refine:protocol=released`.

    Everything is found in the ground truth cropped and resized to 512 x 512: the object's box and
    innermost point, then corrections. A correction is the first of the wrong pixels farthest from
    all correct ones; pixels beyond the view do not count as correct. As released, a correction is
    positive where the ground truth is object at the transposed position (row and column exchanged),
    and is the view's upper left pixel if nothing is wrong. The corners also encode the object's box
    in the image.
    """

    def open(self, instance: Instance, opening: str, rng: np.random.Generator) -> list[Click]:
        if opening != "inside-outside":
            raise SimulatorError(f"iog-released plays inside-outside only, not {opening}")
        view, truth = _view(instance)
        found = opening_of(truth)
        if found is None:
            raise SimulatorError("the object vanishes when resized to 512 x 512")
        tight, box = view.tight, found.box
        inside = np.clip(
            view.pixel(*found.inside), (tight.top, tight.left), (tight.bottom, tight.right)
        )
        return [
            released_click((tight.top, tight.left), (box.top, box.left), "corner"),
            released_click((tight.bottom, tight.right), (box.bottom, box.right), "corner"),
            released_click((int(inside[0]), int(inside[1])), found.inside, "positive"),
        ]

    def correct(
        self,
        instance: Instance,
        probabilities: object,
        mask: np.ndarray,
        clicks: Sequence[Click],
        rng: np.random.Generator,
    ) -> Click | None:
        in_view = getattr(probabilities, "in_view", None)
        if in_view is None:
            raise SimulatorError(
                "iog-released corrects predictions of iog-refine:protocol=released only"
            )
        view, truth = _view(instance)
        wrong = (in_view > 0.5) != truth
        row, column = divmod(int(np.asarray(distance_transform_edt(wrong)).argmax()), RELEASED_SIDE)
        kind = "positive" if truth[column, row] else "negative"
        return released_click(view.pixel(row, column), (row, column), kind)


def _view(instance: Instance) -> tuple[CropView, np.ndarray]:
    """The view of an instance and its ground truth there, (512, 512) bool."""
    target = instance.mask == OBJECT
    view = CropView(box_of(np.argwhere(target)), RELEASED_SIDE)
    return view, view.mask(target)
