"""Reference controllers. Import `optimal` and `shooting` only when needed: they load CasADi."""

from setpoint.controllers.baselines import ZeroControl
from setpoint.controllers.certificate import Certificate
from setpoint.controllers.detuned import DetunedLqr
from setpoint.controllers.feedback import FeedbackController
from setpoint.controllers.interface import Controller, ControlPlan, ProblemController
from setpoint.controllers.riccati import ClippedLqr, LinearQuadratic, solve_riccati

__all__ = [
    "Certificate",
    "ClippedLqr",
    "ControlPlan",
    "Controller",
    "DetunedLqr",
    "FeedbackController",
    "LinearQuadratic",
    "ProblemController",
    "ZeroControl",
    "solve_riccati",
]
