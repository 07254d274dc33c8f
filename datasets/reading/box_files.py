"""Reading files of box annotations: COCO JSON, and the XML of VOC and ILSVRC."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ...harness.errors import UserError
from ...harness.workflows.label.box_dataset import GivenBox
from ..coco import in_image_order, read_content
from .objects import UNREADABLE
from .paths import IMAGE_SUFFIXES

#: The sides of a box in XML, the two firsts and the two lasts.
_SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass
class BoxFile:
    """What a file, or a folder of them, holds; members as in `BoxDataset`.

    problems: why a box cannot be used, by its instance's name, where the file shows it.
    """

    images: list[dict[str, Any]] = field(default_factory=list)
    categories: list[dict[str, Any]] = field(default_factory=list)
    boxes: list[GivenBox] = field(default_factory=list)
    crowds: int = 0
    problems: dict[str, str] = field(default_factory=dict)


def read_coco(path: Path) -> BoxFile:
    """The boxes of a COCO JSON file, in the order of its images; crowds are left out.

    An annotation without a category has category 1. Categories without a description are called
    by their number. Raises UserError for a file that is not COCO's.
    """
    content = read_content(path, "boxes")
    records = {record["id"]: record for record in content["images"]}
    single = in_image_order(records, content["annotations"])
    boxes = []
    problems = {}
    for annotation in single:
        name = f"{annotation['image_id']}#{annotation['id']}"
        category = annotation.get("category_id", 1)
        if type(category) not in (int, str):
            problems[name] = f"category_id {str(category)[:40]} is neither a number nor text"
            category = 1
        boxes.append(
            GivenBox(
                name, annotation["id"], annotation["image_id"], category, annotation.get("bbox")
            )
        )
    given = content.get("categories") or []
    if not isinstance(given, list) or not all(
        isinstance(category, dict) and type(category.get("id")) in (int, str) for category in given
    ):
        raise UserError(f"boxes: {path}: categories must be a list of objects, each with an id")
    categories = [dict(category) for category in given]
    described = {category.get("id") for category in categories}
    for number in sorted({box.category_id for box in boxes} - described, key=str):
        categories.append({"id": number, "name": str(number)})
    crowds = len(content["annotations"]) - len(single)
    return BoxFile(list(records.values()), categories, boxes, crowds, problems)


def read_xml(path: Path, images: Path) -> BoxFile:
    """The boxes of one XML file of VOC or ILSVRC, or of all in a folder, by their path.

    xmin, ymin, xmax, ymax count pixels from 1, the last included; boxes of parts are left out,
    "difficult" objects are not. Image and annotation ids count from 1; categories are the names
    in the alphabet's order. images: the photographs' folder. A damaged file costs itself: it is one
    instance that cannot be loaded. Raises UserError when there is no XML file, or the only one is
    damaged.
    """
    folder, files = (path, sorted(path.rglob("*.xml"))) if path.is_dir() else (path.parent, [path])
    if not path.exists() or not files:
        raise UserError(f"boxes: {path}: no such file, or a folder without XML files")
    photographs = _Photographs(images)
    found = BoxFile()
    names: list[str | None] = []
    for number, file in enumerate(files, start=1):
        stem = file.relative_to(folder).with_suffix("")
        try:
            root = ElementTree.parse(file).getroot()
        except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
            if path == file:
                raise UserError(f"boxes: {file} cannot be read as XML: {error}") from error
            root = ElementTree.Element("damaged")
            found.problems[f"{stem}#{UNREADABLE}"] = f"{file.name} cannot be read as XML: {error}"
            names.append(None)
            found.boxes.append(_box(f"{stem}#{UNREADABLE}", len(names), number, None))
        found.images.append(
            {
                "id": number,
                "file_name": photographs.of(stem, root.findtext("filename")),
                "height": _whole(root.findtext("size/height")),
                "width": _whole(root.findtext("size/width")),
            }
        )
        for index, entry in enumerate(root.findall("object"), start=1):
            names.append(entry.findtext("name", "").strip() or UNREADABLE)
            found.boxes.append(_box(f"{stem}#{index}", len(names), number, entry))
    ids = {
        name: number
        for number, name in enumerate(sorted({name for name in names if name}), start=1)
    }
    found.categories = [{"id": number, "name": name} for name, number in ids.items()]
    found.boxes = [
        GivenBox(box.instance, box.id, box.image_id, ids.get(name or ""), box.bbox)
        for box, name in zip(found.boxes, names, strict=True)
    ]
    return found


def _box(instance: str, annotation: int, image: int, entry: ElementTree.Element | None) -> GivenBox:
    """A box in COCO's terms, its category not known yet."""
    bbox: Any = None
    if entry is not None:
        sides = [entry.findtext(f"bndbox/{side}", "").strip() for side in _SIDES]
        try:
            left, top, right, bottom = map(float, sides)
            bbox = [left - 1, top - 1, right - left + 1, bottom - top + 1]
        except ValueError:
            bbox = sides
    return GivenBox(instance, annotation, image, 0, bbox)


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.strip().isdecimal() and len(text) < 20 else None


class _Photographs:
    """Which photograph belongs to an XML file; each folder is listed once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listed: dict[Path, dict[str, str]] = {}

    def of(self, stem: Path, named: str | None) -> str:
        """Relative to the folder: of the XML file's stem, in the same sub-folder or directly in
        it; else what the XML file names; else a name of no file, for the error message."""
        for sub, wanted in self._places(stem, named):
            file = self._list(sub).get(wanted)
            if file is not None:
                return str(sub / file)
        return str(stem.with_name(f"{stem.name}.*"))

    def _places(self, stem: Path, named: str | None) -> Iterator[tuple[Path, str]]:
        yield from ((stem.parent, stem.name), (Path(), stem.name))
        if named:
            # ILSVRC names photographs without their suffix.
            own = Path(named.strip()).name
            bare = Path(own).stem if Path(own).suffix.lower() in IMAGE_SUFFIXES else own
            yield from ((stem.parent, bare), (Path(), bare))

    def _list(self, sub: Path) -> dict[str, str]:
        if sub not in self._listed:
            folder = self._folder / sub
            files = sorted(folder.iterdir()) if folder.is_dir() else []
            images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
            self._listed[sub] = {file.stem: file.name for file in reversed(images)}
        return self._listed[sub]
