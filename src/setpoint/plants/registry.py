"""Plants by name. Names and short names name the same plant."""

from functools import cache
from types import MappingProxyType
from typing import Any

from setpoint.errors import InputError, unknown_name
from setpoint.plants.attitude_mrp import AttitudeMrp
from setpoint.plants.cart_pole import CartPole
from setpoint.plants.cw_rendezvous import CwRendezvous
from setpoint.plants.detumble import Detumble
from setpoint.plants.discovery import Plugins, load_plugins, require_usable
from setpoint.plants.double_integrator import DoubleIntegrator, DoubleIntegratorTight
from setpoint.plants.duffing import Duffing
from setpoint.plants.linear_oscillator import LinearOscillator
from setpoint.plants.orbit_raising import OrbitRaising
from setpoint.plants.pendulum import Pendulum, PendulumSwingup
from setpoint.plants.plant import Plant
from setpoint.plants.van_der_pol import VanDerPol, VanDerPolTight

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
_registered: dict[str, Any] = {}
"""Problems that were registered in this process, by name."""
_ALIASES = {plant.short_name: name for name, plant in _PLANTS.items()}


def shipped_names() -> tuple[str, ...]:
    """The plants of this package, in the order of registration."""
    return tuple(_PLANTS)


def names() -> tuple[str, ...]:
    """Every plant that can be used: those of this package, then those of plug-ins."""
    return (*_PLANTS, *plugins().problems)


def plugins() -> Plugins:
    """Systems from outside: those of plug-ins and registered ones, and the plug-ins that are broken."""
    found = load_plugins(frozenset((*_PLANTS, *_ALIASES)))
    if not _registered:
        return found
    return Plugins(MappingProxyType({**found.problems, **_registered}), found.broken)


def register(problem: Any) -> None:
    """Make a `setpoint.problems.Problem` known in this process; registering the same name again replaces it.

    Raises:
        InputError: it cannot be used, or its name belongs to a system of this package or of a plug-in.
    """
    found = load_plugins(frozenset((*_PLANTS, *_ALIASES)))
    taken = {*_PLANTS, *_ALIASES, *found.problems, *(each.plant.short_name for each in found.problems.values())}
    others = [each for name, each in _registered.items() if name != getattr(problem, "name", None)]
    taken |= {name for each in others for name in (each.name, each.plant.short_name)}
    require_usable(problem, taken)
    _registered[problem.name] = problem
    get.cache_clear()


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
