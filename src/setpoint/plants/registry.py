"""Registry of plants, by name or short name."""

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
"""Name -> problem registered in this process."""
_ALIASES = {plant.short_name: name for name, plant in _PLANTS.items()}


def shipped_names() -> tuple[str, ...]:
    """Return the names of the plants of this package, in the order of registration."""
    return tuple(_PLANTS)


def names() -> tuple[str, ...]:
    """Return the names of all usable plants: those of this package, then registered ones and plug-ins."""
    return (*_PLANTS, *plugins().problems)


def plugins() -> Plugins:
    """Return the systems from outside this package (plug-ins and registered ones) and the broken plug-ins."""
    found = load_plugins(frozenset((*_PLANTS, *_ALIASES)))
    if not _registered:
        return found
    return Plugins(MappingProxyType({**found.problems, **_registered}), found.broken)


def registered_names() -> tuple[str, ...]:
    """Names of the systems that were registered in this process; other processes do not know them."""
    return tuple(_registered)


def register(problem: Any) -> None:
    """Register a `setpoint.problems.Problem` in this process; registering the same name again replaces it.

    Raises:
        InputError: the problem cannot be used, or its name belongs to a system of this package or of a plug-in.
    """
    found = load_plugins(frozenset((*_PLANTS, *_ALIASES)))
    taken = {*_PLANTS, *_ALIASES, *found.problems, *(each.plant.short_name for each in found.problems.values())}
    others = [each for name, each in _registered.items() if name != getattr(problem, "name", None)]
    taken |= {name for each in others for name in (each.name, each.plant.short_name)}
    require_usable(problem, taken)
    _registered[problem.name] = problem
    get.cache_clear()


def canonical(name: str) -> str:
    """Return the full name of a plant given by full or short name.

    Raises:
        InputError: no such plant; the message lists the known names, or the reason why a plug-in cannot be used.
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
    """Return the plant with this full or short name, with its nominal parameters."""
    full = canonical(name)
    if full in _PLANTS:
        return _PLANTS[full]()
    plant: Plant = plugins().problems[full].plant
    return plant
