"""Plants by name. Names and short names name the same plant."""

from functools import cache

from setpoint.errors import unknown_name
from setpoint.systems.double_integrator import DoubleIntegrator
from setpoint.systems.pendulum import Pendulum
from setpoint.systems.plant import Plant
from setpoint.systems.van_der_pol import VanDerPol

_PLANTS: dict[str, type[Plant]] = {plant.name: plant for plant in (DoubleIntegrator, VanDerPol, Pendulum)}
_ALIASES = {plant.short_name: name for name, plant in _PLANTS.items()}


def names() -> tuple[str, ...]:
    """The registered plants, in the order of registration."""
    return tuple(_PLANTS)


def canonical(name: str) -> str:
    """The full name of the plant called `name`, which may be a short name.

    Raises:
        InputError: no such plant; the message lists the known names.
    """
    full = _ALIASES.get(name, name)
    if full not in _PLANTS:
        raise unknown_name("system", name, [*_PLANTS, *_ALIASES])
    return full


@cache
def get(name: str) -> Plant:
    """The plant called `name` (a full or a short name), with its nominal parameters."""
    return _PLANTS[canonical(name)]()
