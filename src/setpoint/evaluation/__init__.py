"""Evaluation of any controller on a suite of states: one row per episode, failures counted in every denominator.

Only the protocol is exported. Import `run`, `references` and `stage`, which load solvers and models, when needed.
"""

from setpoint.evaluation.conditions import CONDITION_CASES
from setpoint.evaluation.protocol import (
    EVALUATIONS,
    OPEN_LOOP,
    Evaluation,
    EvaluationConfig,
    Mode,
    standard_modes,
)

__all__ = [
    "CONDITION_CASES",
    "EVALUATIONS",
    "OPEN_LOOP",
    "Evaluation",
    "EvaluationConfig",
    "Mode",
    "standard_modes",
]
