"""Masks as COCO run lengths, and the masks that a run keeps in DIR/masks.

While a run computes, every finished mask is a line of `masks.jsonl`, on disk before its trace is,
so that a trace that is there always has its mask. From that file come COCO files, one for each
data set and method, that `pycocotools.coco.COCO` opens.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from ..errors import UserError
from ..files import write_whole
from ..types import TRACE_KEY, EncodedMask, Trace

FOLDER = "masks"
LINES = "masks.jsonl"


def encode_mask(mask: np.ndarray) -> EncodedMask:
    """A mask, (H, W) bool, as COCO's compressed run lengths.

    >>> encode_mask(np.eye(3, dtype=bool)).counts
    '013000'
    """
    from pycocotools import mask as coco

    encoded: Any = coco.encode(np.asfortranarray(mask, np.uint8))
    return EncodedMask(mask.shape[0], mask.shape[1], encoded["counts"].decode("ascii"))


def decode_mask(mask: EncodedMask) -> np.ndarray:
    """The mask again, (H, W) bool.

    >>> decode_mask(encode_mask(np.eye(2, dtype=bool))).tolist()
    [[True, False], [False, True]]
    """
    from pycocotools import mask as coco

    return coco.decode(_run_lengths(mask)).astype(bool)  # pyright: ignore


def append_masks(directory: Path, traces: Iterable[Trace]) -> None:
    """Write the masks of traces that have one, to the disk itself, behind those already there."""
    lines = [_line(trace, trace.mask) for trace in traces if trace.mask is not None]
    if not lines:
        return
    path = Path(directory) / FOLDER / LINES
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:
            # A death may have left half a line; it must not spoil the one that follows.
            if file.tell() and not _ends_a_line(path):
                file.write(b"\n")
            file.write("".join(lines).encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def read_masks(directory: Path) -> Iterator[tuple[tuple, EncodedMask]]:
    """(trace's key, mask) of all masks of a run; of a trace computed twice, the newer one."""
    places = mask_places(directory)
    if places:
        with open(Path(directory) / FOLDER / LINES, "rb") as file:
            for key, place in places.items():
                yield key, mask_at(file, place)


def mask_places(directory: Path) -> dict[tuple, int]:
    """{trace's key: where in DIR/masks/masks.jsonl its newest mask begins, in bytes}."""
    path = Path(directory) / FOLDER / LINES
    found: dict[tuple, int] = {}
    if path.exists():
        place = 0
        with open(path, "rb") as file:
            for line in file:
                # Half a line: its trace was not written either, and has been computed again.
                with suppress(ValueError, KeyError, TypeError):
                    found[_key_and_mask(line)[0]] = place
                place += len(line)
    return found


def mask_at(file: BinaryIO, place: int) -> EncodedMask:
    """The mask that begins at a place in the open masks.jsonl."""
    file.seek(place)
    return _key_and_mask(file.readline())[1]


def write_coco(directory: Path, instances: pd.DataFrame) -> list[Path]:
    """Write DIR/masks/DATASET--METHOD.json from what a run has kept; returns the files.

    instances: columns dataset, instance, image, as in DIR/instances.parquet. A file is a COCO
    object: an image for each of the data set's images with a mask (`file_name` is its name here),
    an annotation for each trace with `segmentation` (compressed run lengths), `area`, `bbox`,
    and this package's `instance`, `simulator` and `seed`.
    """
    from ..files import file_names

    columns = [instances[name].astype("str") for name in ("dataset", "instance", "image")]
    image_of = {(dataset, name): image for dataset, name, image in zip(*columns, strict=True)}
    groups: dict[tuple[str, str], list[tuple[tuple, EncodedMask]]] = {}
    for key, mask in read_masks(directory):
        groups.setdefault((key[1], key[0]), []).append((key, mask))
    stems = file_names([f"{dataset}--{method}" for dataset, method in groups])
    written = []
    for (dataset, method), members in groups.items():
        members.sort(key=lambda member: (str(member[0][4]), member[0][2], member[0][3]))
        content = _coco(dataset, method, members, image_of)
        path = Path(directory) / FOLDER / f"{stems[f'{dataset}--{method}']}.json"
        write_whole(path, json.dumps(content, ensure_ascii=False) + "\n")
        written.append(path)
    return written


def _coco(
    dataset: str,
    method: str,
    members: list[tuple[tuple, EncodedMask]],
    image_of: dict[tuple[str, str], str],
) -> dict[str, Any]:
    from pycocotools import mask as coco

    images: dict[str, dict[str, Any]] = {}
    annotations = []
    for number, ((_, _, simulator, seed, instance), mask) in enumerate(members, start=1):
        name: str = image_of.get((dataset, instance)) or instance
        size = {"height": mask.height, "width": mask.width}
        image = images.setdefault(name, {"id": len(images) + 1, "file_name": name, **size})
        encoded = _run_lengths(mask)
        annotations.append(
            {
                "id": number,
                "image_id": image["id"],
                "category_id": 1,
                "iscrowd": 0,
                "segmentation": encoded,
                "area": int(coco.area(encoded)),  # pyright: ignore
                "bbox": [float(value) for value in coco.toBbox(encoded)],  # pyright: ignore
                "instance": instance,
                "simulator": simulator,
                "seed": seed,
            }
        )
    return {
        "info": {"description": "final masks of isegbench", "dataset": dataset, "method": method},
        "images": list(images.values()),
        "categories": [{"id": 1, "name": "object"}],
        "annotations": annotations,
    }


def _run_lengths(mask: EncodedMask) -> dict[str, Any]:
    return {"size": [mask.height, mask.width], "counts": mask.counts}


def _line(trace: Trace, mask: EncodedMask) -> str:
    record = dict(zip(TRACE_KEY, trace.key, strict=True))
    record |= {"size": [mask.height, mask.width], "counts": mask.counts}
    return json.dumps(record, ensure_ascii=False) + "\n"


def _key_and_mask(line: bytes) -> tuple[tuple, EncodedMask]:
    record = json.loads(line)
    height, width = record["size"]
    key = tuple(record[name] for name in TRACE_KEY)
    return key, EncodedMask(height, width, record["counts"])


def _ends_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
