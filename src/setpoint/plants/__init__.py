"""Plants: dynamics, signals with units and bounds, the integrator, and the registry by name."""

from setpoint.plants.family import draw_member
from setpoint.plants.integrators import rk4_step
from setpoint.plants.interval import Interval
from setpoint.plants.linearisation import linearise
from setpoint.plants.plant import Plant, Signal, components_of
from setpoint.plants.registry import canonical, get, names, plugins, register, registered_names, shipped_names
from setpoint.plants.second_order import TERMS, SecondOrder
from setpoint.plants.symbolic import require_symbolic

__all__ = [
    "TERMS",
    "Interval",
    "Plant",
    "SecondOrder",
    "Signal",
    "canonical",
    "components_of",
    "draw_member",
    "get",
    "linearise",
    "names",
    "plugins",
    "register",
    "registered_names",
    "require_symbolic",
    "rk4_step",
    "shipped_names",
]
