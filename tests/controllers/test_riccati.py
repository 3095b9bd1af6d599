"""The linear-quadratic regulator by its own equations."""

from dataclasses import replace

import numpy as np
import pytest

from setpoint import plants, problems
from setpoint.controllers import ClippedLqr, DetunedLqr, solve_riccati
from setpoint.plants import Signal, linearise
from setpoint.plants.double_integrator import DoubleIntegrator
from setpoint.problems import Problem
from setpoint.simulation import run_controller

PROBLEMS = [problems.get(name) for name in plants.names()]
by_name = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)


class WideDoubleIntegrator(DoubleIntegrator):
    """Without effective bounds, so that the linear theory holds exactly."""

    controls = (Signal("acceleration", "m/s^2", -1e9, 1e9),)


@by_name
def test_the_recursion_leaves_no_residual(problem: Problem) -> None:
    found = solve_riccati(problem)
    a, b = linearise(problem.plant, np.array(problem.target), np.zeros(problem.plant.n_u))
    q, r = np.diag(problem.q), np.diag(problem.r)
    assert found.values[-1] == pytest.approx(problem.terminal_weight * q)
    for k in range(problem.steps):
        gain, following = found.gains[k], found.values[k + 1]
        closed = a - b @ gain
        cost_to_go = q + gain.T @ r @ gain + closed.T @ following @ closed
        assert found.values[k] == pytest.approx(cost_to_go, rel=1e-10, abs=1e-10)
        assert r @ gain == pytest.approx(b.T @ following @ closed, rel=1e-9, abs=1e-9)


@by_name
def test_costs_to_go_are_symmetric_and_positive_and_the_loop_is_stable(problem: Problem) -> None:
    found = solve_riccati(problem)
    a, b = linearise(problem.plant, np.array(problem.target), np.zeros(problem.plant.n_u))
    assert found.values == pytest.approx(found.values.transpose(0, 2, 1), abs=0)
    assert (np.linalg.eigvalsh(found.values) > 0).all()
    assert np.abs(np.linalg.eigvals(a - b @ found.gains[0])).max() < 1


def test_without_bounds_the_cost_is_the_quadratic_form() -> None:
    problem = replace(problems.get("double_integrator"), plant=WideDoubleIntegrator())
    x0 = problem.initial_states(20, "test")
    trajectory = run_controller(problem, ClippedLqr(problem), x0).trajectory
    expected = np.einsum("bi,ij,bj->b", x0, solve_riccati(problem).values[0], x0)
    assert problem.cost(trajectory.states, trajectory.controls) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.starts == 1], ids=lambda problem: problem.name)
def test_the_detuned_expert_is_stable_and_worse(problem: Problem) -> None:
    x0 = problem.initial_states(30, "test")
    costs = []
    for controller in (ClippedLqr(problem), DetunedLqr(problem)):
        trajectory = run_controller(problem, controller, x0, 1).trajectory
        costs.append(problem.cost(trajectory.states, trajectory.controls))
    regulator, detuned = costs
    assert np.median(detuned / regulator) > 1.005
    assert np.isfinite(detuned).all()
    assert (detuned < 5 * regulator).all()
