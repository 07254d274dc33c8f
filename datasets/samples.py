"""samples: the embedded data set, so that a benchmark runs with no download.

The photographs are those scikit-image carries inside its wheel, read where it is installed. The
masks were drawn for this package and lie beside this file as COCO JSON, with each photograph's
credit and licence.
"""

from importlib.util import find_spec
from pathlib import Path

from ..harness.errors import UserError
from .coco import Coco

MASKS = Path(__file__).with_name("samples.json")


class Samples(Coco):
    """24 objects on 6 photographs, from a cup to a tripod's legs, named like `coffee#12`.

    Grey photographs come as RGB with three equal channels. Raises UserError when a photograph is
    missing from scikit-image.
    """

    expected = (6, 24)

    def __init__(self) -> None:
        folder = _photographs()
        super().__init__(MASKS, folder)
        self.name = "samples"
        names = [record["file_name"] for record in self._records.values()]
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise UserError(
                f"dataset samples: scikit-image in {folder.parent} has no {', '.join(missing)}: "
                "reinstall it (pip install --force-reinstall scikit-image)"
            )


def _photographs() -> Path:
    """Where scikit-image keeps its photographs, found without importing it."""
    spec = find_spec("skimage")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or []:
        if (data := Path(folder) / "data").is_dir():
            return data
    raise UserError(
        "dataset samples: its photographs are part of scikit-image, which is not installed: "
        "pip install scikit-image"
    )
