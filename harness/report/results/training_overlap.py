"""Names of data sets: what they are at heart, and as parts of file names."""

import re

from ...errors import UserError
from ...registry import Spec


def base_name(dataset: str) -> str:
    """A data set's name without parameters and subset, in lower case.

    >>> base_name("SBD[0:100]"), base_name("folder:photos,ignore=128")
    ('sbd', 'folder')
    """
    return re.split(r"[:\[]", dataset, maxsplit=1)[0].strip().lower()


def includes(trained_on: str, dataset: str) -> bool:
    """Whether training data named `trained_on` includes the data set scored.

    A name without parameters is the whole set; with parameters only the part that has them.

    >>> includes("sbd", "sbd[0:100]"), includes("sbd:split=train", "sbd")
    (True, False)
    >>> includes("voc:split=train", "voc:/data/VOC2012,split=train")
    True
    """
    part, scored = _parameters(trained_on), _parameters(dataset.partition("[")[0])
    return base_name(trained_on) == base_name(dataset) and part.items() <= scored.items()


def _parameters(dataset: str) -> dict[str, str]:
    try:
        return Spec.parse(dataset).params
    except UserError:  # a label, not a spec
        return {}
