"""The built-in simulators, registered by name and imported when first used."""

from ..registry import simulators

for _name, _target in {
    "largest-error": "largest_error:LargestError",
    "largest-component": "largest_component:LargestComponent",
    "random-error": "random_error:RandomError",
    "replay": "replay:Replay",
    "given-box": "given_box:GivenBox",
}.items():
    simulators.register_lazily(_name, f"{__name__}.{_target}")
