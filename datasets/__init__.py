"""The built-in data sets. Each registers its name here and is imported when it is first used."""

from ..harness.registry import datasets

for _name, _target in {
    "grabcut": "standard:GrabCut",
    "berkeley": "standard:Berkeley",
    "davis": "standard:Davis",
    "coco_mval": "standard:CocoMVal",
    "sbd": "sbd:SBD",
    "folder": "folder:Folder",
    "coco": "coco:Coco",
    "voc": "voc:VOC",
    "samples": "samples:Samples",
    "boxes": "boxes:Boxes",
}.items():
    datasets.register_lazily(_name, f"{__name__}.{_target}")
