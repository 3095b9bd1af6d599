"""Plants by name. Names and short names name the same plant."""

from functools import cache

from setpoint.errors import InputError, unknown_name
from setpoint.systems.attitude_mrp import AttitudeMrp
from setpoint.systems.cart_pole import CartPole
from setpoint.systems.cw_rendezvous import CwRendezvous
from setpoint.systems.detumble import Detumble
from setpoint.systems.discovery import Plugins, load_plugins
from setpoint.systems.double_integrator import DoubleIntegrator, DoubleIntegratorTight
from setpoint.systems.duffing import Duffing
from setpoint.systems.linear_oscillator import LinearOscillator
from setpoint.systems.orbit_raising import OrbitRaising
from setpoint.systems.pendulum import Pendulum, PendulumSwingup
from setpoint.systems.plant import Plant
from setpoint.systems.van_der_pol import VanDerPol, VanDerPolTight

_PLANTS: dict[str, type[Plant]] = {
    plant.name: plant
    for plant in (
        DoubleIntegrator,
        VanDerPol,
        Pendulum,
        DoubleIntegratorTight,
        LinearOscillator,
        VanDerPolTight,
        Duffing,
        PendulumSwingup,
        CartPole,
        CwRendezvous,
        OrbitRaising,
        Detumble,
        AttitudeMrp,
    )
}
_ALIASES = {plant.short_name: name for name, plant in _PLANTS.items()}


def shipped_names() -> tuple[str, ...]:
    """The plants of this package, in the order of registration."""
    return tuple(_PLANTS)


def names() -> tuple[str, ...]:
    """Every plant that can be used: those of this package, then those of plug-ins."""
    return (*_PLANTS, *plugins().problems)


def plugins() -> Plugins:
    """What plug-ins bring, and which of them are broken."""
    return load_plugins(frozenset((*_PLANTS, *_ALIASES)))


def canonical(name: str) -> str:
    """The full name of the plant called `name`, which may be a short name.

    Raises:
        InputError: no such plant; the message lists the known names, or says why a plug-in cannot be used.
    """
    full = _ALIASES.get(name, name)
    if full in _PLANTS:
        return full
    found = plugins()
    aliases = {problem.plant.short_name: each for each, problem in found.problems.items()}
    full = aliases.get(name, name)
    if full in found.problems:
        return full
    if full in found.broken:
        raise InputError(f"system {full!r} comes from a plug-in that cannot be used: {found.broken[full]}")
    raise unknown_name("system", name, [*_PLANTS, *_ALIASES, *found.problems, *aliases])


@cache
def get(name: str) -> Plant:
    """The plant called `name` (a full or a short name), with its nominal parameters."""
    full = canonical(name)
    if full in _PLANTS:
        return _PLANTS[full]()
    plant: Plant = plugins().problems[full].plant
    return plant
