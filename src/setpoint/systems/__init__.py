"""Plants: dynamics, signals with units and bounds, the integrator, and the registry by name."""

from setpoint.systems.integrators import rk4_step
from setpoint.systems.linearisation import linearise
from setpoint.systems.plant import Plant, Signal, components_of
from setpoint.systems.registry import canonical, get, names
from setpoint.systems.second_order import TERMS, SecondOrder

__all__ = [
    "TERMS",
    "Plant",
    "SecondOrder",
    "Signal",
    "canonical",
    "components_of",
    "get",
    "linearise",
    "names",
    "rk4_step",
]
