"""Plants: dynamics, signals with units and bounds, the integrator, and the registry by name."""

from setpoint.systems.family import Interval, draw_member
from setpoint.systems.integrators import rk4_step
from setpoint.systems.linearisation import linearise
from setpoint.systems.plant import Plant, Signal, components_of
from setpoint.systems.registry import canonical, get, names, plugins, shipped_names
from setpoint.systems.second_order import TERMS, SecondOrder
from setpoint.systems.symbolic import require_symbolic

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
    "require_symbolic",
    "rk4_step",
    "shipped_names",
]
