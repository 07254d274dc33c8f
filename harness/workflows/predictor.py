"""One image in a program of your own: a method that gets the clicks of a person, one by one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine.score import checked_mask
from ..errors import MethodError, UserError, nearest
from ..method import Method, Session
from ..planning.plan import plan_method
from ..simulators.openings import OPENINGS
from ..types import Box, Click

_CALLS = {
    "click": "click(y, x)",
    "box": "box(top, left, bottom, right)",
    "inside-outside": "box(top, left, bottom, right), then click(y, x) inside the object",
    "extreme-points": "extreme_points([(y, x), ...]) with four points",
}


class Predictor:
    """A method on one image, for programs in which a person clicks.

    The method gets the same input as in a benchmark: its opening first, then one correction at a
    time. Each prediction is checked in the same way. Points are (y, x) in pixels, centres at
    integers.

        predictor = isegbench.Predictor("geodesic")
        predictor.set_image(image)
        predictor.click(120, 80)
        predictor.click(30, 40, positive=False)
        predictor.mask

    A call that raises an error does not change the clicks and the mask.
    """

    def __init__(
        self,
        method: str | dict[str, Any] | type[Method] | Method,
        *,
        dataset: str = "",
        seed: int = 0,
    ) -> None:
        """method: a name such as `"fbrs:weights=FILE"`, `"path/to/file.py:Class"`, a table, a class
        or an object. dataset, seed: the values of `Session.dataset` and `Session.seed`.

        Raises UserError for a method that cannot be built, has an unknown opening, or needs the
        ground truth.
        """
        planned = plan_method(method)
        self.method: Method = planned.built
        if self.method.opening not in OPENINGS:
            hint = nearest(self.method.opening, OPENINGS)
            raise UserError(
                f"method {planned.name}: unknown opening {self.method.opening!r}: {hint}"
            )
        if self.method.sees_truth:
            raise UserError(
                f"method {planned.name} needs the ground truth, which only a data set has"
            )
        self._opening = OPENINGS[self.method.opening]
        self._dataset, self._seed = dataset, seed
        self._image: np.ndarray | None = None
        self.reset()

    def set_image(self, image: np.ndarray) -> None:
        """Start on an image, (H, W, 3) uint8 RGB, without clicks. The image is copied.

        Raises UserError for another shape or dtype.
        """
        image = np.array(image)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise UserError(
                f"the image is {image.dtype} {image.shape}; must be uint8 (H, W, 3), RGB"
            )
        image.flags.writeable = False
        self._image = image
        self.reset()

    def reset(self) -> None:
        """Remove all clicks; the image stays."""
        self._calls: list[tuple[Click, ...]] = []
        self._maps: list[np.ndarray] = []
        self._session: Session | None = None

    def click(self, y: float, x: float, positive: bool = True) -> None:
        """Add a click on the object, or on the background with `positive=False`.

        Raises UserError for a point outside the image and when the method needs another input;
        MethodError for a prediction that is not a float32 map in [0, 1] of the image's shape.
        """
        self._add(Click(y, x, "positive" if positive else "negative"))

    def box(self, top: int, left: int, bottom: int, right: int) -> None:
        """Give the object's box, in whole pixels, all four sides inclusive; raises as `click`."""
        box = Box(top, left, bottom, right)
        if box.height < 1 or box.width < 1:
            raise UserError(f"{box} is empty: bottom and right must not be less than top and left")
        self._add(Click(top, left, "corner"), Click(bottom, right, "corner"))

    def extreme_points(self, points: Sequence[tuple[float, float]]) -> None:
        """Give the object's left-, right-, top- and bottommost points (y, x); raises as `click`."""
        if len(points) != 4:
            raise UserError(
                f"{len(points)} extreme point(s) given; must be 4: left, right, top, bottom"
            )
        self._add(*(Click(y, x, "extreme") for y, x in points))

    def undo(self) -> None:
        """Remove the newest call of `click`, `box` or `extreme_points`.

        The mask and the probabilities from before that call are back. The next click starts a new
        session and repeats the earlier predictions, so that the method's memory is right.
        Raises UserError without clicks.
        """
        if not self._calls:
            raise UserError("there is no click to undo")
        self._calls.pop()
        del self._maps[len(self._stops()) :]
        self._session = None

    @property
    def clicks(self) -> tuple[Click, ...]:
        """All clicks, oldest first; a box is two corners."""
        return tuple(click for call in self._calls for click in call)

    @property
    def probabilities(self) -> np.ndarray:
        """The newest probability map, (H, W) float32 in [0, 1], read-only.

        Raises UserError while the opening is not complete; the message names what is missing.
        """
        if not self._maps:
            missing = self._opening[len(self.clicks) :]
            raise UserError(
                f"no prediction yet: {'' if self._image is not None else 'call set_image, then '}"
                f"give {_CALLS[self.method.opening]} (missing: {', '.join(missing)})"
            )
        return self._maps[-1]

    @property
    def mask(self) -> np.ndarray:
        """The newest mask, (H, W) bool: probability above the method's threshold. Raises as
        `probabilities`."""
        values = self.probabilities
        return checked_mask(values, _shape(values), self.method.threshold)

    def _add(self, *clicks: Click) -> None:
        image = self._image
        if image is None:
            raise UserError("there is no image: call set_image first")
        self._check(image, clicks)
        self._calls.append(clicks)
        stops = self._stops()
        if not stops:
            return
        try:
            self._maps.append(self._predict(image, stops))
        except BaseException:
            self._calls.pop()
            self._session = None
            raise

    def _check(self, image: np.ndarray, clicks: tuple[Click, ...]) -> None:
        for click in clicks:
            if not all(
                -0.5 <= at <= size - 0.5
                for at, size in zip((click.y, click.x), image.shape, strict=False)
            ):
                raise UserError(
                    f"(y, x) = ({click.y:g}, {click.x:g}) is outside the image of (H, W) = "
                    f"{image.shape[:2]}"
                )
        there = len(self.clicks)
        expected = self._opening[there : there + len(clicks)]
        kinds = tuple(click.kind for click in clicks)
        if there < len(self._opening):
            if kinds != expected:
                raise UserError(
                    f"{type(self.method).__name__} opens with {_CALLS[self.method.opening]}; "
                    f"{', '.join(kinds)} given where {', '.join(self._opening[there:])} is missing"
                )
        elif not self.method.corrections:
            raise UserError(
                f"{type(self.method).__name__} predicts once, from its opening: call reset first"
            )
        elif len(clicks) > 1:
            raise UserError("the opening is complete: correct with click, or call reset first")

    def _stops(self) -> list[int]:
        """The number of clicks at each prediction."""
        return list(range(len(self._opening), len(self.clicks) + 1))

    def _predict(self, image: np.ndarray, stops: list[int]) -> np.ndarray:
        """The map after the newest click; in a new session, after all earlier predictions."""
        clicks = self.clicks
        if self._session is None:
            self._session = Session(image, clicks[: stops[0]], self._dataset, self._seed)
            self.method.begin(self._session)
        else:
            stops = stops[-1:]
        session = self._session
        for stop in stops:
            session.clicks = clicks[:stop]
            maps = list(self.method.predict([session]))
            if len(maps) != 1:
                raise MethodError(f"predict returned {len(maps)} maps for 1 session(s)")
            checked_mask(maps[0], session.shape, self.method.threshold)
            session.previous = maps[0]
        return as_array(session.previous)


def as_array(probabilities: Any) -> np.ndarray:
    """A read-only copy of a map, a NumPy array or a tensor on any device, as a NumPy array."""
    if hasattr(probabilities, "detach"):
        probabilities = probabilities.detach().cpu().numpy()
    values = np.array(probabilities)
    values.flags.writeable = False
    return values


def _shape(values: np.ndarray) -> tuple[int, int]:
    return values.shape[0], values.shape[1]
