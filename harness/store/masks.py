"""Masks as COCO run lengths, and the masks that a run keeps in DIR/masks.

During a run every finished mask is written as a line of `masks.jsonl` before its trace is written,
so that every trace on disk has its mask. The COCO files, one for each data set and method, are made
from `masks.jsonl`; `pycocotools.coco.COCO` opens them.
"""

import json
import os
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from ..errors import UserError
from ..files import write_whole, writing_whole
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


def coco_annotation(
    mask: EncodedMask, number: Any, image_id: Any, category_id: Any
) -> dict[str, Any]:
    """One mask as a COCO annotation: compressed run lengths, `area` and `bbox`.

    >>> coco_annotation(encode_mask(np.eye(2, dtype=bool)), 1, 7, 3)["bbox"]
    [0.0, 0.0, 2.0, 2.0]
    """
    from pycocotools import mask as coco

    runs: Any = _run_lengths(mask)
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "iscrowd": 0,
        "segmentation": runs,
        "area": int(coco.area(runs)),
        "bbox": [float(value) for value in coco.toBbox(runs)],
    }


def append_masks(directory: Path, traces: Iterable[Trace]) -> None:
    """Append the masks of traces that have one, and wait until they are on disk."""
    lines = [_line(trace, trace.mask) for trace in traces if trace.mask is not None]
    if not lines:
        return
    path = Path(directory) / FOLDER / LINES
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:
            # A killed process may have left half a line; the next line must stay readable.
            if file.tell() and not _ends_a_line(path):
                file.write(b"\n")
            file.write("".join(lines).encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def remove_masks(directory: Path, methods: Container[str]) -> None:
    """Rewrite DIR/masks/masks.jsonl without the masks of some methods."""
    path = Path(directory) / FOLDER / LINES
    if path.exists():
        with open(path, "rb") as file, writing_whole(path) as new:
            for line in file:
                with suppress(ValueError, KeyError, TypeError):
                    if _key_and_mask(line)[0][0] not in methods:
                        new.write(line)


def read_masks(directory: Path) -> Iterator[tuple[tuple, EncodedMask]]:
    """(trace's key, mask) of all masks of a run; of a trace computed twice, the newer one."""
    offsets = mask_offsets(directory)
    if offsets:
        with open(Path(directory) / FOLDER / LINES, "rb") as file:
            for key, offset in offsets.items():
                yield key, read_mask(file, offset)


def mask_offsets(directory: Path) -> dict[tuple, int]:
    """{trace's key: the byte offset of its newest mask in DIR/masks/masks.jsonl}."""
    path = Path(directory) / FOLDER / LINES
    found: dict[tuple, int] = {}
    if path.exists():
        offset = 0
        with open(path, "rb") as file:
            for line in file:
                # Half a line: its trace was not written either and is computed again.
                with suppress(ValueError, KeyError, TypeError):
                    found[_key_and_mask(line)[0]] = offset
                offset += len(line)
    return found


def read_mask(file: BinaryIO, offset: int) -> EncodedMask:
    """The mask at a byte offset of the open masks.jsonl."""
    file.seek(offset)
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
    images: dict[str, dict[str, Any]] = {}
    annotations = []
    for number, ((_, _, simulator, seed, instance), mask) in enumerate(members, start=1):
        name: str = image_of.get((dataset, instance)) or instance
        size = {"height": mask.height, "width": mask.width}
        image = images.setdefault(name, {"id": len(images) + 1, "file_name": name, **size})
        extra = {"instance": instance, "simulator": simulator, "seed": seed}
        annotations.append(coco_annotation(mask, number, image["id"], 1) | extra)
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
