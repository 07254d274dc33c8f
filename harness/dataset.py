"""The data set interface: a named, ordered sequence of instances that load lazily."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from .types import InstanceRef


@dataclass(frozen=True)
class Archive:
    """A data set's released archive.

    url: where it is. file_name: what it is called on disk. folder: what it becomes under the data
    root. contains: the files and folders that must be in `folder`. known_hash: "algorithm:hex" if
    one has been published.
    """

    url: str
    file_name: str
    folder: str
    contains: tuple[str, ...]
    known_hash: str | None = None


class Dataset(ABC):
    """A named, ordered sequence of instances.

    Listing must be cheap: `instances` gives references, and files are read when one is loaded.
    Names are unique within the data set. The order is the data set's own and never changes.
    Raise UserError from the constructor when the files are not where they should be, saying
    which folder or command is expected.
    """

    #: How the data set is called in traces; set by the constructor, e.g. "grabcut".
    name: str

    #: What `isegbench data download` fetches; None where there is nothing to fetch.
    archive: ClassVar[Archive | None] = None
    #: (images, masks) the data set holds as published, for `isegbench data verify`.
    expected: tuple[int, int] | None = None

    @abstractmethod
    def instances(self) -> Sequence[InstanceRef]:
        """References to all instances, in order."""

    def __len__(self) -> int:
        return len(self.instances())
