"""The optimum: certified, consistent with the simulator, and better than everything else."""

from typing import Any

import numpy as np
import pytest

from setpoint import problems, systems
from setpoint.controllers import Certificate, ClippedLqr
from setpoint.controllers.optimal import OptimalController
from setpoint.controllers.shooting import TrajectoryOptimizer, tightened
from setpoint.errors import SetpointError
from setpoint.problems import COARSE_TO_FINE, MoveBlocking, Problem
from setpoint.simulation import run_controller, simulate

PROBLEMS = [problems.get(name) for name in systems.names()]
by_name = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)


def costs(problem: Problem, blocking: MoveBlocking | None, x0: np.ndarray) -> np.ndarray:
    optimizer = TrajectoryOptimizer(problem, blocking)
    found = [optimizer.solve(x) for x in x0]
    return np.array([optimum.cost for optimum in found if optimum is not None])


@by_name
@pytest.mark.parametrize("blocking", [None, COARSE_TO_FINE], ids=["per_step", "blocked"])
def test_the_simulator_confirms_cost_and_bounds(problem: Problem, blocking: MoveBlocking | None) -> None:
    optimizer = TrajectoryOptimizer(problem, blocking)
    for x in problem.initial_states(10, "test"):
        optimum = optimizer.solve(x)
        assert optimum is not None
        assert optimum.certificate.gap <= 1e-9
        trajectory = simulate(problem.plant, x[None], optimum.controls[None])
        assert float(problem.cost(trajectory.states, trajectory.controls)[0]) == pytest.approx(optimum.cost, rel=1e-6)
        assert (np.abs(trajectory.states[:, 1:]) <= problem.plant.state_upper + 1e-6).all()
        assert (np.abs(optimum.controls) <= problem.plant.control_upper).all()


def test_where_no_bound_of_a_state_is_active_clipped_feedback_is_optimal() -> None:
    problem = problems.get("double_integrator")
    x0 = problem.initial_states(20, "test")
    regulator = run_controller(problem, ClippedLqr(problem), x0).trajectory
    optimum = run_controller(problem, OptimalController(problem), x0).trajectory
    assert optimum.controls == pytest.approx(regulator.controls, abs=1e-5)


@by_name
def test_nothing_beats_the_optimum(problem: Problem) -> None:
    x0 = problem.initial_states(10, "test")
    best = costs(problem, None, x0)
    plans = [ClippedLqr(problem).plan(0.0, x0, problem.steps).controls]
    optimum = OptimalController(problem).plan(0.0, x0, problem.steps).controls
    rng = np.random.default_rng(3)
    plans += [optimum + scale * rng.standard_normal(optimum.shape) for scale in (1e-3, 1e-2, 1e-1)]
    for plan in plans:
        trajectory = simulate(problem.plant, x0, plan)
        assert (problem.cost(trajectory.states, trajectory.controls) >= best * (1 - 1e-8)).all()


@by_name
def test_moves_that_are_fine_at_first_cost_little_and_even_ones_more(problem: Problem) -> None:
    x0 = problem.initial_states(40, "test")
    best = costs(problem, None, x0)
    coarse_to_fine = np.median(costs(problem, COARSE_TO_FINE, x0) / best) - 1
    even = np.median(costs(problem, MoveBlocking((5,) * 10), x0) / best) - 1
    assert 0 < coarse_to_fine < 0.006
    assert even > 10 * coarse_to_fine


def test_a_state_without_a_feasible_control_has_no_optimum() -> None:
    problem = problems.get("double_integrator")
    cornered = np.array([0.99, 0.99])
    assert TrajectoryOptimizer(problem).solve(cornered) is None
    with pytest.raises(SetpointError, match="no certified optimum"):
        OptimalController(problem).optimum(cornered)


class Moved:
    """What a solver returned, with one entry of the solution moved."""

    def __init__(self, found: Any, name: str, index: int, by: float) -> None:
        self._parts = {key: np.array(found[key]).ravel() for key in ("x", "lam_x", "lam_g")}
        self._parts[name][index] += by

    def __getitem__(self, name: str) -> np.ndarray:
        return self._parts[name]


@pytest.mark.parametrize(
    ("name", "index", "by"), [("x", 2, 1e-3), ("x", 30, 1e-4), ("lam_g", 4, 1e-2), ("lam_x", 5, 1.0)]
)
def test_the_certificate_notices_a_point_that_was_moved(name: str, index: int, by: float) -> None:
    problem = problems.get("van_der_pol")
    optimizer = TrajectoryOptimizer(problem)
    x0 = np.array([0.8, -0.5])
    program = optimizer._program
    bounds = program.bounds(
        (problem.plant.control_lower, problem.plant.control_upper),
        (problem.plant.state_lower, problem.plant.state_upper),
    )
    found = optimizer._solver("fatrop")(x0=program.guess(x0), p=x0, **tightened(bounds))
    assert program.certify("fatrop", Moved(found, name, index, 0.0), x0, bounds).holds
    assert not program.certify("fatrop", Moved(found, name, index, by), x0, bounds).holds


def test_a_certificate_needs_every_condition() -> None:
    assert Certificate("fatrop", 1e-9, 1e-12, 0.0, 1e-9).holds
    for broken in range(4):
        numbers = [1e-3 if index == broken else 0.0 for index in range(4)]
        assert not Certificate("fatrop", *numbers).holds
