"""`isegbench.register`: a name for a class of one's own."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from .harness import registry
from .harness.dataset import Dataset
from .harness.errors import UserError
from .harness.method import Method
from .harness.simulator import Simulator

Registered = TypeVar("Registered", bound=type[Method] | type[Dataset] | type[Simulator])

_REGISTRIES: dict[type, registry.Registry[Any]] = {
    Method: registry.methods,
    Dataset: registry.datasets,
    Simulator: registry.simulators,
}


def register(name: str) -> Callable[[Registered], Registered]:
    """Class decorator: give a method, a data set or a simulator a name.

        @isegbench.register("mine")
        class Mine(isegbench.Method): ...

    The name then works wherever a built-in one does, in this process. The kind follows from the
    base class. Parameters of the constructor become the keys of `mine:key=value`. Raises UserError
    for a name that is taken, and for what is not a subclass of Method, Dataset or Simulator.
    """

    def decorate(value: Registered) -> Registered:
        for base, names in _REGISTRIES.items():
            if inspect.isclass(value) and issubclass(value, base):
                names.register(name)(value)
                return value
        raise UserError(
            f"{value!r} cannot be registered as {name!r}: it must be a subclass of Method, Dataset "
            "or Simulator; for a function that builds one, use harness.registry.methods.register, "
            "datasets.register or simulators.register"
        )

    return decorate
