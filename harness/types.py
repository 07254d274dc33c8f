"""The engine's data as small frozen dataclasses: Click, Instance, InstanceRef, Step, Trace."""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from .errors import DataError, UserError

Kind = Literal["positive", "negative", "corner", "extreme"]
KINDS: tuple[str, ...] = get_args(Kind)

#: The clicks that a method needs before its first prediction; their kinds: `simulators.openings`.
Opening = Literal["click", "inside-outside", "extreme-points", "box"]

BACKGROUND, OBJECT, IGNORED = 0, 1, 255

Status = Literal[
    "ok", "method-failed", "timed-out", "worker-died", "simulator-failed", "data-failed"
]
#: Failures charged to the method: IoU 0 from there on. Other failures exclude the instance.
METHOD_FAILURES = frozenset({"method-failed", "timed-out", "worker-died"})


@dataclass(frozen=True, slots=True)
class Click:
    """One click of a person: a point in image pixels (centres at integers) and its kind.

    Raises UserError for a kind that is not one of KINDS.
    """

    y: float
    x: float
    kind: Kind

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"click kind {self.kind!r}: must be one of {', '.join(KINDS)}")

    @property
    def pixel(self) -> tuple[int, int]:
        """(row, column) of the pixel the click falls on."""
        return round(self.y), round(self.x)


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels: y before x, and all four sides inclusive.

    It may reach beyond the image. This is the only rectangle in the package.
    """

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top + 1

    @property
    def width(self) -> int:
        return self.right - self.left + 1

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of an array that starts at (0, 0); for a box inside the array."""
        return slice(self.top, self.bottom + 1), slice(self.left, self.right + 1)

    def grown(self, margin: int) -> "Box":
        """The box with `margin` more pixels on every side (fewer, if negative)."""
        return Box(self.top - margin, self.left - margin, self.bottom + margin, self.right + margin)

    def moved(self, down: int, right: int) -> "Box":
        """The box so many pixels further down and to the right."""
        return Box(self.top + down, self.left + right, self.bottom + down, self.right + right)

    def common(self, other: "Box") -> "Box":
        """What both boxes cover; they must overlap."""
        return Box(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )

    def holds(self, y: int, x: int) -> bool:
        """Whether a pixel is in the box."""
        return self.top <= y <= self.bottom and self.left <= x <= self.right


class MapInView(np.ndarray):
    """A probability map together with the prediction in the crop that it was made from.

    For released evaluations that place the next click in the crop and not in the image. The engine
    gives the simulator a copy of both. in_view: (h, w) float32; None for arrays derived from the
    map.
    """

    in_view: np.ndarray | None

    @classmethod
    def of(cls, values: np.ndarray, in_view: np.ndarray) -> "MapInView":
        """values: (H, W) float32 in [0, 1]; not copied."""
        made = values.view(cls)
        made.in_view = in_view
        return made

    def __array_finalize__(self, source: object) -> None:
        self.in_view = None


@dataclass(frozen=True, slots=True)
class Instance:
    """One image with one ground-truth mask, loaded.

    image: (H, W, 3) uint8, RGB. mask: (H, W) uint8 with 0 background, 1 object, 255 ignored.
    dataset and name identify it; image_name is shared by instances of the same image.
    """

    dataset: str
    name: str
    image_name: str
    image: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True, slots=True)
class Blob:
    """Encoded bytes, in memory or in a file: `data` is bytes, or the path to read them from.

    origin: where they are from, for error messages; a path's own name by default.
    """

    data: bytes | Path
    origin: str = ""

    def __post_init__(self) -> None:
        if not self.origin:
            given = f"<{len(self.data)} bytes>" if isinstance(self.data, bytes) else str(self.data)
            object.__setattr__(self, "origin", given)
        if isinstance(self.data, Path) and not self.data.is_absolute():
            # A method may change the working directory before the file is read.
            object.__setattr__(self, "data", self.data.absolute())

    def read(self) -> bytes:
        """The bytes. Raises DataError naming the file when it cannot be read."""
        if isinstance(self.data, bytes):
            return self.data
        try:
            return self.data.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {self.data}: {error.strerror or error}") from error

    def held(self) -> "Blob":
        """The same bytes in memory, for a machine that does not share the disk."""
        return Blob(self.read(), self.origin)

    @property
    def size(self) -> int:
        """Number of bytes, 0 when the file is missing: a cheap guess at the work an image is."""
        if isinstance(self.data, bytes):
            return len(self.data)
        try:
            return self.data.stat().st_size
        except OSError:
            return 0


Decoder = Callable[[bytes], np.ndarray]


@dataclass(frozen=True, slots=True)
class InstanceRef:
    """An instance not loaded yet: names, encoded image and mask, and how to decode them.

    decode_image: bytes -> (H, W, 3) uint8 RGB; decode_mask: bytes -> (H, W) uint8 in {0, 1, 255}.
    Both must be picklable (a module's function, or functools.partial of one), because a
    reference with its bytes in memory is sent to a worker.
    """

    dataset: str
    name: str
    image_name: str
    image: Blob
    mask: Blob
    decode_image: Decoder
    decode_mask: Decoder

    def load(self) -> Instance:
        """Decode both. Raises DataError when either is unreadable, sizes differ, or no pixel
        is object."""
        image = self._decode("image", self.image, self.decode_image)
        mask = self._decode("mask", self.mask, self.decode_mask)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise DataError(
                f"image {self.image.origin} decodes to {image.dtype} {image.shape}; "
                "must be uint8 (H, W, 3)"
            )
        if mask.shape != image.shape[:2]:
            raise DataError(
                f"mask {self.mask.origin} is {_size(mask)} but image {self.image.origin} is "
                f"{_size(image)}: they must have the same size"
            )
        if not (mask == OBJECT).any():
            raise DataError(f"mask {self.mask.origin} of instance {self.name} has no object pixel")
        return Instance(self.dataset, self.name, self.image_name, image, mask)

    def held(self) -> "InstanceRef":
        """The same reference with its encoded bytes in memory. Raises DataError."""
        return replace(self, image=self.image.held(), mask=self.mask.held())

    def _decode(self, what: str, blob: Blob, decode: Decoder) -> np.ndarray:
        data = blob.read()
        try:
            return decode(data)
        except DataError as error:
            raise DataError(f"{what} {blob.origin}: {error}") from error
        except Exception as error:
            raise DataError(
                f"{what} {blob.origin} cannot be decoded: {type(error).__name__}: {error}"
            ) from error


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


def decode_array(data: bytes) -> np.ndarray:
    """Decode what `encode_array` wrote."""
    return np.load(io.BytesIO(data), allow_pickle=False)


def encode_array(array: np.ndarray) -> bytes:
    """An array as bytes in NumPy's own file format."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def instance_from_arrays(
    dataset: str, name: str, image: np.ndarray, mask: np.ndarray, image_name: str | None = None
) -> InstanceRef:
    """An instance from arrays in memory; shapes and dtypes as in `Instance`."""
    return InstanceRef(
        dataset,
        name,
        image_name or name,
        Blob(encode_array(image)),
        Blob(encode_array(mask)),
        decode_array,
        decode_array,
    )


@dataclass(frozen=True, slots=True)
class EncodedMask:
    """A mask as COCO's compressed run lengths: `counts` is the text of a (height, width) mask."""

    height: int
    width: int
    counts: str


@dataclass(frozen=True, slots=True)
class Step:
    """One click and its result.

    iou is None for clicks before the first prediction. predict_seconds: the time of the predict
    call that served this click, divided by the number of sessions it served. step_seconds adds
    scoring and simulating. Both are None where there was no prediction. boundary_iou: None where
    there was no prediction or the run does not compute it.
    """

    click: Click
    iou: float | None = None
    predict_seconds: float | None = None
    step_seconds: float | None = None
    boundary_iou: float | None = None


#: The columns that identify a trace within a run, in the order of `Trace.key`.
TRACE_KEY = ("method", "dataset", "simulator", "seed", "instance")


@dataclass(frozen=True, slots=True)
class Trace:
    """What happened on one instance: the steps in order, and how it ended.

    status is "ok" or names what failed; error then says why, for people. mask: the last
    prediction of a trace that is ok, where masks are kept. traceback: where user code failed.
    """

    method: str
    dataset: str
    simulator: str
    seed: int
    instance: str
    steps: tuple[Step, ...]
    status: Status = "ok"
    error: str | None = None
    mask: EncodedMask | None = None
    traceback: str = ""

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """What identifies a trace within a run: the values of TRACE_KEY."""
        return (self.method, self.dataset, self.simulator, self.seed, self.instance)
