"""Decimals of an answer: as many as rounding needs, measured by simulation."""

import numpy as np
import pytest

from setpoint import plants, problems
from setpoint.controllers import ControlPlan, ProblemController
from setpoint.controllers.optimal import OptimalController
from setpoint.language import PromptFormat
from setpoint.language.precision import ROUNDING_REGRET, rounding_regret, sufficient_decimals
from setpoint.metrics import regret
from setpoint.problems import COARSE_TO_FINE, MoveBlocking, Problem
from setpoint.simulation import run_controller

FIRST = COARSE_TO_FINE.lengths[:4]


class Rounded(ProblemController):
    """The optimum with rounded moves."""

    name = "rounded"

    def __init__(self, problem: Problem, decimals: int) -> None:
        super().__init__(problem)
        self._optimum = OptimalController(problem)
        self._decimals = decimals

    def _plan(self, t: float, x: np.ndarray, steps: int) -> ControlPlan:
        return ControlPlan.of(np.round(self._optimum.plan(t, x, steps).controls, self._decimals))


@pytest.mark.parametrize("name", ["double_integrator", "van_der_pol", "pendulum"])
def test_rounding_costs_no_more_than_predicted_and_not_much_less(name: str) -> None:
    problem = problems.get(name)
    states = problem.initial_states(12, "rounding")
    controllers = Rounded(problem, 1), OptimalController(problem)
    found, exact = (run_controller(problem, each, states, 5).trajectory for each in controllers)
    costs, best = (problem.cost(each.states, each.controls) for each in (found, exact))
    measured = float(np.median(regret(costs, best)))
    assert measured <= rounding_regret(problem, (1,) * 5, 1) <= 5 * measured


def test_as_many_decimals_as_needed_and_no_more() -> None:
    for name in plants.names():
        problem = problems.get(name)
        decimals = sufficient_decimals(problem, FIRST)
        assert rounding_regret(problem, FIRST, decimals) <= ROUNDING_REGRET
        assert decimals == 1 or rounding_regret(problem, FIRST, decimals - 1) > ROUNDING_REGRET


def test_open_loop_needs_more_decimals_than_closed_loop() -> None:
    problem = problems.get("double_integrator")
    whole = PromptFormat(control_decimals="auto")
    first = PromptFormat(blocking=MoveBlocking(FIRST), control_decimals="auto")
    assert (whole.decimals_of(problem), first.decimals_of(problem)) == (3, 2)
