"""Metrics on trajectories whose values are known."""

import numpy as np
import pytest

from setpoint import metrics, problems
from setpoint.trajectory import Trajectory

PROBLEM = problems.get("double_integrator")


def trajectory(last: list[float], commanded: list[float] | None = None) -> Trajectory:
    """Two steps that end in `last`; half width of the initial set 0.8, states within ±1, controls within ±3."""
    states = np.zeros((1, 3, 2))
    states[0, -1] = last
    wanted = np.zeros((1, 2, 1)) if commanded is None else np.array(commanded).reshape(1, 2, 1)
    return Trajectory(0.1 * np.arange(3), states, np.clip(wanted, -3, 3), wanted, np.zeros(1, dtype=bool))


def test_errors_are_measured_in_state_units_and_in_half_widths() -> None:
    found = trajectory([0.3, -0.4])
    assert metrics.final_error(PROBLEM, found) == pytest.approx([0.5])
    assert metrics.normalised_error(PROBLEM, found) == pytest.approx([0.5])


def test_violations_of_states_and_of_commanded_controls_are_seen() -> None:
    assert metrics.violations(PROBLEM, trajectory([1.0, -1.0], [3.0, -3.0])).max() == 0
    assert metrics.violations(PROBLEM, trajectory([1.25, 0.0])) == pytest.approx(np.array([[0.0, 0.25]]))
    beyond = metrics.violations(PROBLEM, trajectory([0.0, 0.0], [6.0, -3.0015]))
    assert beyond == pytest.approx(np.array([[1.0, 5e-4]]))
    assert metrics.violation_count(beyond).tolist() == [1]


@pytest.mark.parametrize(
    ("error", "violation", "parsed", "expected"),
    [(0.05, 0.0, True, True), (0.0501, 0.0, True, False), (0.0, 2e-3, True, False), (0.0, 0.0, False, False)],
)
def test_success_needs_all_three(error: float, violation: float, parsed: bool, expected: bool) -> None:
    found = metrics.success(np.array([error]), np.array([[violation, 0.0]]), np.array([parsed]))
    assert found.tolist() == [expected]


def test_regret_is_relative_and_defined_at_the_target() -> None:
    found = metrics.regret(np.array([2.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0]))
    assert found.tolist() == [1.0, 0.0, np.inf]


def test_the_cost_is_the_sum_that_is_written_down() -> None:
    states = np.array([[[1.0, 2.0], [0.0, 1.0], [0.5, 0.0]]])
    controls = np.array([[[1.0], [-2.0]]])
    by_hand = 10 * (1 + 4) + 0.1 * 1 + 10 * 1 + 0.1 * 4 + 10 * 10 * 0.25
    assert PROBLEM.cost(states, controls) == pytest.approx([by_hand])
