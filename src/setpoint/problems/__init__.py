"""What is asked of a plant: cost, horizon, target, initial states; and the named suites of test states."""

from setpoint.problems.blocking import COARSE_TO_FINE, MoveBlocking
from setpoint.problems.problem import STATE_DECIMALS, Problem, reward_horizon
from setpoint.problems.registry import get
from setpoint.problems.suites import DEFAULT_CASES, SUITES, suite_states

__all__ = [
    "COARSE_TO_FINE",
    "DEFAULT_CASES",
    "STATE_DECIMALS",
    "SUITES",
    "MoveBlocking",
    "Problem",
    "get",
    "reward_horizon",
    "suite_states",
]
