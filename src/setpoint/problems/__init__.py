"""Optimal-control problems of the plants: cost, horizon, target, initial states; and the suites of test cases."""

from setpoint.problems.blocking import COARSE_TO_FINE, MoveBlocking, usual_blocking
from setpoint.problems.problem import STATE_DECIMALS, Problem, reward_horizon
from setpoint.problems.registry import get
from setpoint.problems.suites import (
    DEFAULT_CASES,
    MOST_CASES,
    NAMED_SUITES,
    SUITES,
    TestCases,
    require_cases,
    require_disjoint,
    require_in_suite,
    suite_cases,
    suite_states,
    suite_systems,
)

__all__ = [
    "COARSE_TO_FINE",
    "DEFAULT_CASES",
    "MOST_CASES",
    "NAMED_SUITES",
    "STATE_DECIMALS",
    "SUITES",
    "MoveBlocking",
    "Problem",
    "TestCases",
    "get",
    "require_cases",
    "require_disjoint",
    "require_in_suite",
    "reward_horizon",
    "suite_cases",
    "suite_states",
    "suite_systems",
    "usual_blocking",
]
