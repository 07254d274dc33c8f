"""A benchmark harness for interactive image segmentation.

The folders beside this file are links to the rooms at the root of the repository.
"""

from importlib.metadata import version as _version

__version__ = _version("isegbench")
