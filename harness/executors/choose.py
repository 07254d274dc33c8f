"""The executor that a configuration names."""

from ..planning.config import RunConfig
from .executor import Executor


def make_executor(config: RunConfig) -> Executor:
    """The executor that a configuration names; imports ray only for the ray executor."""
    if config.executor == "ray":
        from .ray.executor import RayPool

        return RayPool(
            config.workers,
            config.gpus_per_worker,
            config.ray_address,
            config.runtime_env,
            config.ship_package,
            config.stop_failing_after,
        )
    from .inline import Inline

    return Inline(config.stop_failing_after)
