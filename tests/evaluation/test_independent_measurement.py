"""The suite against an independent measurement of it: another implementation, 40 other random states of every system.

Both are samples of the same population if systems, costs, bounds and initial sets are the same; a wrong coefficient or
weight is not. Shares are compared by Fisher's exact test, medians and means by samples of 40 drawn from ours.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import fisher_exact

from setpoint import metrics, problems
from setpoint.controllers import solve_riccati
from setpoint.controllers.interface import ControlPlan
from setpoint.controllers.riccati import clipped_feedback, plan_feedback
from setpoint.controllers.shooting import TrajectoryOptimizer
from setpoint.problems import Problem, suite_states
from setpoint.references.study import FIXED_ERROR
from setpoint.simulation import run_controller, simulate

SAMPLE = 40
CASES = 100
UNLIKELY = 0.005
"""Some fifty comparisons are made; the states are always the same, so that none of them fails by chance."""
DRAWS = 4000


@dataclass(frozen=True)
class Measured:
    """Shares of the cases; regret in percent, None where the regulator often leaves the bounds and it says nothing."""

    regret_median: float | None
    regret_mean: float | None
    within_fixed_error: float
    violates: float
    state_bound_active: float
    control_bound_active: float


MEASURED = {
    "double_integrator": Measured(0.0, 0.0, 1.0, 0.0, 0.0, 0.48),
    "double_integrator_tight": Measured(None, None, 1.0, 0.6, 0.6, 0.7),
    "linear_oscillator": Measured(0.3, 2.1, 1.0, 0.03, 0.0, 0.93),
    "van_der_pol": Measured(0.04, 0.25, 1.0, 0.0, 0.0, 0.53),
    "van_der_pol_tight": Measured(0.27, 10.2, 0.82, 0.0, 0.0, 0.95),
    "duffing": Measured(0.0, 6.1, 0.85, 0.0, 0.0, 0.95),
    "pendulum": Measured(0.0, 0.0, 1.0, 0.0, 0.0, 0.23),
    "cart_pole": Measured(0.02, 0.07, 1.0, 0.0, 0.0, 0.7),
    "cw_rendezvous": Measured(None, None, 0.72, 0.68, 0.6, 0.97),
    "orbit_raising": Measured(2.4, 3.7, 1.0, 0.0, 0.0, 1.0),
    "detumble": Measured(0.01, 0.11, 1.0, 0.0, 0.0, 1.0),
    "attitude_mrp": Measured(0.09, 0.06, 1.0, 0.88, 0.9, 1.0),
}


class StationaryLqr:
    """One gain at all times, clipped to the bounds: what was measured then."""

    name = "stationary"

    def __init__(self, problem: Problem, factor: float = 1.0) -> None:
        self._problem, self._gain = problem, factor * solve_riccati(problem).gains[0]

    def plan(self, t: float, x: np.ndarray, steps: int) -> ControlPlan:
        return plan_feedback(
            self._problem, lambda step, at: clipped_feedback(self._problem, self._gain, at), t, x, steps
        )


def measure(problem: Problem, factor: float = 1.0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Regret in percent, and what holds, case by case."""
    optimizer = TrajectoryOptimizer(problem)
    solved = [(x, found) for x in suite_states(problem, "nominal", CASES) if (found := optimizer.solve(x))]
    x0 = np.array([x for x, _ in solved])
    trajectory = run_controller(problem, StationaryLqr(problem, factor), x0).trajectory
    costs = problem.cost(trajectory.states, trajectory.controls)
    controls = np.array([found.controls for _, found in solved])
    plant, states = problem.plant, simulate(problem.plant, x0, controls).states[:, 1:]
    return 100 * (costs / np.array([found.cost for _, found in solved]) - 1), {
        "within_fixed_error": metrics.final_error(problem, trajectory) < FIXED_ERROR,
        "violates": metrics.violations(problem, trajectory).max(axis=-1) > metrics.VIOLATION_TOLERANCE,
        "state_bound_active": touches(states, plant.state_lower, plant.state_upper),
        "control_bound_active": touches(controls, plant.control_lower, plant.control_upper),
    }


def touches(values: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    return np.asarray(((values - lower < 1e-5) | (upper - values < 1e-5)).any(axis=(1, 2)))


def likelihoods(problem: Problem, factor: float = 1.0) -> dict[str, float]:
    """How likely the independent numbers, or ones further off, are where both measured the same; by number."""
    regret, holds = measure(problem, factor)
    measured, found = MEASURED[problem.name], {}
    for name, here in holds.items():
        there = round(getattr(measured, name) * SAMPLE)
        table = [[there, SAMPLE - there], [int(here.sum()), int((~here).sum())]]
        found[name] = float(fisher_exact(table).pvalue)
    samples = np.random.default_rng(0).choice(regret, (DRAWS, SAMPLE))
    for name, values in (
        ("regret_median", np.median(samples, axis=1)),
        ("regret_mean", samples.mean(axis=1)),
    ):
        there = getattr(measured, name)
        if there is not None:
            rounding = 0.05 if there >= 1 else 0.005
            found[name] = min(
                1.0, 2 * float(min((values <= there + rounding).mean(), (values >= there - rounding).mean()))
            )
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURED)
def test_the_clipped_regulator_and_the_optimum_are_what_was_measured_independently(name: str) -> None:
    found = likelihoods(problems.get(name))
    assert min(found.values()) > UNLIKELY, found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["van_der_pol", "linear_oscillator", "detumble"])
def test_the_comparison_notices_a_regulator_that_is_off(name: str) -> None:
    assert min(likelihoods(problems.get(name), factor=0.6).values()) < UNLIKELY
