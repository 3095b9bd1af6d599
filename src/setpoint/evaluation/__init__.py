"""Any controller on a suite of states: episodes as rows, with failures in every denominator.

Only what is evaluated is here; `run`, `references` and `stage`, which load solvers and models, are imported late.
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
