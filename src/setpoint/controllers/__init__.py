"""Reference controllers. The optimum is in `setpoint.controllers.shooting`, which loads CasADi and is imported late."""

from setpoint.controllers.baselines import ZeroControl
from setpoint.controllers.certificate import Certificate
from setpoint.controllers.interface import Controller, Plan
from setpoint.controllers.riccati import ClippedLqr, LinearQuadratic, solve_riccati

__all__ = ["Certificate", "ClippedLqr", "Controller", "LinearQuadratic", "Plan", "ZeroControl", "solve_riccati"]
