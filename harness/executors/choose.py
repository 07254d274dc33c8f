"""The executor of a configuration."""

from ..planning.config import RunConfig
from .executor import Executor


def make_executor(config: RunConfig) -> Executor:
    """The executor that a configuration names; only `ray` imports ray."""
    if config.executor == "ray":
        from .ray.executor import RayPool

        return RayPool(
            config.workers,
            config.gpus_per_worker,
            config.ray_address,
            config.runtime_env,
            config.ship_package,
        )
    from .inline import Inline

    return Inline()
