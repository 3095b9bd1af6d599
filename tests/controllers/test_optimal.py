"""The optimum: certified, consistent with the simulator, and better than everything else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from setpoint import plants, problems
from setpoint.controllers import Certificate, ClippedLqr, shooting, solve_riccati
from setpoint.controllers.agreement import agreement
from setpoint.controllers.optimal import OptimalController
from setpoint.controllers.shooting import NONLINEAR, TrajectoryOptimizer, tightened
from setpoint.metrics import normalised_error, violations
from setpoint.plants.double_integrator import DoubleIntegrator
from setpoint.problems import COARSE_TO_FINE, MoveBlocking, Problem
from setpoint.simulation import run_controller, simulate

PROBLEMS = [problems.get(name) for name in plants.names()]
by_name = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)


def costs(problem: Problem, blocking: MoveBlocking | None, x0: np.ndarray) -> np.ndarray:
    optimizer = TrajectoryOptimizer(problem, blocking)
    found = [optimizer.solve(x) for x in x0]
    return np.array([optimum.cost for optimum in found if optimum is not None])


@cache
def feasible_states(problem: Problem, count: int) -> np.ndarray:
    """Initial states that have an optimum; on some plants, a few have none."""
    optimizer = TrajectoryOptimizer(problem)
    return np.array([x for x in problem.initial_states(count + 2, "test") if optimizer.solve(x) is not None][:count])


@by_name
@pytest.mark.parametrize("blocking", [None, COARSE_TO_FINE], ids=["per_step", "blocked"])
def test_the_simulator_confirms_cost_and_bounds(problem: Problem, blocking: MoveBlocking | None) -> None:
    optimizer = TrajectoryOptimizer(problem, blocking)
    for x in feasible_states(problem, 6):
        optimum = optimizer.solve(x)
        assert optimum is not None
        assert optimum.certificate.residual <= 1e-8
        assert (optimum.certificate.duality_gap is not None) == problem.plant.linear
        assert optimum.certificate.gap <= 1e-9
        trajectory = simulate(problem.plant, x[None], optimum.controls[None])
        assert float(problem.cost(trajectory.states, trajectory.controls)[0]) == pytest.approx(optimum.cost, rel=1e-6)
        assert (trajectory.states[:, 1:] <= problem.plant.state_upper + 1e-6).all()
        assert (trajectory.states[:, 1:] >= problem.plant.state_lower - 1e-6).all()
        assert (optimum.controls <= problem.plant.control_upper).all()
        assert (optimum.controls >= problem.plant.control_lower).all()


def test_where_no_bound_of_a_state_is_active_clipped_feedback_is_optimal() -> None:
    problem = problems.get("double_integrator")
    x0 = problem.initial_states(20, "test")
    regulator = run_controller(problem, ClippedLqr(problem), x0).trajectory
    optimum = run_controller(problem, OptimalController(problem), x0).trajectory
    assert optimum.controls == pytest.approx(regulator.controls, abs=1e-5)


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.plant.linear], ids=lambda problem: problem.name)
def test_where_no_bound_is_active_the_quadratic_program_is_the_regulator(problem: Problem) -> None:
    x0 = 0.05 * problem.initial_states(6, "regulator")
    regulator = run_controller(problem, ClippedLqr(problem), x0).trajectory
    assert (np.abs(regulator.controls) < 0.99 * problem.plant.control_upper).all()
    optimizer, value = TrajectoryOptimizer(problem), solve_riccati(problem).values[0]
    for x, controls in zip(x0, regulator.controls, strict=True):
        optimum = optimizer.solve(x)
        assert optimum is not None
        assert optimum.certificate.solver == "piqp"
        assert optimum.controls == pytest.approx(controls, abs=1e-7)
        assert optimum.cost == pytest.approx(x @ value @ x, rel=1e-8)


@pytest.mark.parametrize("name", ["double_integrator_tight", "cw_rendezvous"])
def test_quadratic_and_nonlinear_solvers_find_the_same_controls_where_bounds_are_active(name: str) -> None:
    problem = problems.get(name)
    quadratic, nonlinear = (TrajectoryOptimizer(problem, solvers=names) for names in (("piqp",), NONLINEAR))
    for x in feasible_states(problem, 6):
        one, other = quadratic.solve(x), nonlinear.solve(x)
        assert one is not None
        assert other is not None
        assert one.controls == pytest.approx(other.controls, abs=1e-4)
        assert one.cost == pytest.approx(other.cost, rel=1e-8)


def test_a_point_that_cannot_be_certified_goes_to_the_next_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("setpoint.controllers.shooting._QUADRATIC_TOLERANCE", 1e-2)
    problem = problems.get("cw_rendezvous")
    optimizer = TrajectoryOptimizer(problem)
    found = [optimizer.solve(x) for x in feasible_states(problem, 6)]
    assert {"fatrop", "ipopt"} & {optimum.certificate.solver for optimum in found if optimum is not None}


@by_name
def test_the_dynamics_of_this_package_are_smooth_within_their_bounds(problem: Problem) -> None:
    assert shooting._probe(problem, ())(())


def test_dynamics_with_an_end_within_the_bounds_are_solved_without_the_solver_that_would_hang() -> None:
    @dataclass(frozen=True)
    class Draining(DoubleIntegrator):
        """The root has no value below a position of −1, which a step from the bound reaches."""

        name = "draining"
        linear = False

        def derivative(self, t: Any, x: Sequence[Any], u: Sequence[Any], xp: Any) -> tuple[Any, ...]:
            return x[1], u[0] + 1.0 - xp.sqrt(1.0 + x[0])

    problem = replace(problems.get("double_integrator"), plant=Draining())
    optimizer = TrajectoryOptimizer(problem)
    found = [optimizer.solve(x) for x in problem.initial_states(6, "draining")]
    assert {optimum.certificate.solver for optimum in found if optimum is not None} == {"ipopt"}


def test_an_earlier_solve_leaves_no_trace() -> None:
    problem = problems.get("double_integrator_tight")
    x, *others = problem.initial_states(6, "trace")
    fresh, used = TrajectoryOptimizer(problem), TrajectoryOptimizer(problem)
    for other in (np.array([0.99, 0.34]), *others):
        used.solve(other)
    assert repr(fresh.solve(x)) == repr(used.solve(x))


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if not p.plant.linear and p.starts == 1], ids=lambda p: p.name)
@pytest.mark.parametrize("blocking", [None, COARSE_TO_FINE], ids=["per_step", "blocked"])
def test_the_first_guess_does_not_change_the_optimum(problem: Problem, blocking: MoveBlocking | None) -> None:
    usual, straight = TrajectoryOptimizer(problem, blocking), TrajectoryOptimizer(problem, blocking, regulated=False)
    for x in feasible_states(problem, 2):
        arrives = usual._program.regulated(x) is not None
        assert np.array_equal(usual._program.guess(x)[0], straight._program.guess(x)[0]) is not arrives
        one, other = usual.solve(x), straight.solve(x)
        assert one is not None
        assert other is not None
        assert one.cost == pytest.approx(other.cost, rel=1e-9)
        assert one.controls == pytest.approx(other.controls, abs=1e-6)


def test_a_regulator_that_does_not_arrive_gives_no_guess_and_no_local_optimum() -> None:
    problem = problems.get("duffing")
    # From here the clipped regulator falls into a well; near what it does lies an optimum that costs 3 % more.
    x = np.array([-0.7032, -0.0778])
    usual, straight = TrajectoryOptimizer(problem), TrajectoryOptimizer(problem, regulated=False)
    assert np.array_equal(usual._program.guess(x)[0], straight._program.guess(x)[0])
    found = [optimizer.solve(x) for optimizer in (usual, straight)]
    assert [round(optimum.cost, 4) for optimum in found if optimum is not None] == [182.4443, 182.4443]


def test_the_first_guess_is_what_the_clipped_regulator_does() -> None:
    problem = problems.get("van_der_pol_tight")
    x0 = problem.initial_states(5, "guess")
    regulated = run_controller(problem, ClippedLqr(problem), x0).trajectory
    program = TrajectoryOptimizer(problem)._program
    arrived = normalised_error(problem, regulated) <= 0.1
    assert 0 < arrived.sum() < len(x0), "the states show both"
    assert [program.regulated(x) is not None for x in x0] == arrived.tolist()
    guessed = [program._interleave(*pair) for pair in zip(regulated.states, regulated.controls, strict=True)]
    found = [program.guess(x)[0] for x in x0[arrived]]
    assert np.array(found) == pytest.approx(np.array(guessed)[arrived], abs=1e-12)


def test_the_first_guess_of_a_hopeless_start_keeps_the_bounds_of_states() -> None:
    problem = problems.get("cart_pole")
    plant = problem.plant
    guess = TrajectoryOptimizer(problem)._program.guess(np.array([0.0, 2.0, 0.5, 3.0]))[0]
    states = np.vstack([guess[:-4].reshape(-1, 5)[:, :4], guess[-4:]])
    assert ((states >= plant.state_lower) & (states <= plant.state_upper)).all()


@pytest.mark.parametrize("name", ["van_der_pol", "double_integrator"])
def test_from_where_an_episode_has_diverged_solvers_come_back_and_leave_no_trace(name: str) -> None:
    problem = problems.get(name)
    optimizer = TrajectoryOptimizer(problem)
    x = problem.initial_states(1, "diverged")[0]
    before = repr(optimizer.solve(x))
    for far in (4.0, 100.0, 1e100, np.inf, np.nan):
        assert optimizer.solve(far * problem.plant.state_upper) is None
    assert repr(optimizer.solve(x)) == before != "None"


@by_name
def test_nothing_beats_the_optimum(problem: Problem) -> None:
    x0 = feasible_states(problem, 6)
    best = costs(problem, None, x0)
    plans = [ClippedLqr(problem).plan(0.0, x0, problem.steps).controls]
    optimum = OptimalController(problem).plan(0.0, x0, problem.steps).controls
    rng = np.random.default_rng(3)
    plans += [optimum + scale * rng.standard_normal(optimum.shape) for scale in (1e-3, 1e-2, 1e-1)]
    for plan in plans:
        trajectory = simulate(problem.plant, x0, plan)
        feasible = violations(problem, trajectory).max(axis=-1) <= 0
        cost = problem.cost(trajectory.states, trajectory.controls)
        assert ((cost >= best * (1 - 1e-8)) | ~feasible).all()


@by_name
def test_moves_that_are_fine_at_first_cost_little(problem: Problem) -> None:
    x0 = feasible_states(problem, 6)
    assert 0 < np.median(costs(problem, COARSE_TO_FINE, x0) / costs(problem, None, x0)) - 1 < 0.02


@pytest.mark.parametrize("name", ["double_integrator", "van_der_pol", "pendulum"])
def test_even_moves_cost_more(name: str) -> None:
    problem = problems.get(name)
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
    assert OptimalController(problem).find(cornered) is None


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
    found = optimizer._solver("fatrop")(x0=program.guess(x0)[0], p=x0, **tightened(bounds))
    assert program.certify("fatrop", Moved(found, name, index, 0.0), x0, bounds).holds
    assert not program.certify("fatrop", Moved(found, name, index, by), x0, bounds).holds


def test_a_certificate_needs_every_condition() -> None:
    assert Certificate("fatrop", 1e-9, 1e-12, 0.0, 1e-9).holds
    for broken, tolerance in enumerate((1e-8, 1e-9, 1e-8, 1e-8, 1e-8)):
        just_met, just_missed = (
            [at if index == broken else 0.0 for index in range(5)] for at in (tolerance, 1.1 * tolerance)
        )
        assert Certificate("fatrop", *just_met).holds
        assert not Certificate("fatrop", *just_missed).holds


@pytest.mark.parametrize("blocking", [None, COARSE_TO_FINE], ids=["per_step", "blocked"])
@pytest.mark.parametrize(
    "weights",
    [{"q": (10.0, 0.0)}, {"q": (0.0, 1.0)}, {"terminal_weight": 0.0}, {"r": (0.0,)}],
    ids=["no_velocity", "no_position", "no_end", "no_control"],
)
def test_a_weight_of_zero_is_certified_by_the_bounds(weights: dict[str, Any], blocking: MoveBlocking | None) -> None:
    usual = problems.get("double_integrator_tight")
    problem, x = replace(usual, **weights), np.array([0.6, 0.1])
    optimizer = TrajectoryOptimizer(problem, blocking)
    optimum, feasible = optimizer.solve(x), TrajectoryOptimizer(replace(usual, r=(5.0,)), blocking).solve(x)
    assert optimum is not None
    assert feasible is not None
    assert optimum.certificate.duality_gap is not None
    assert optimum.certificate.duality_gap <= 1e-8
    # The optimum for other weights is feasible here and dearer: no multipliers may prove less than its surplus.
    states = simulate(problem.plant, x[None], feasible.controls[None]).states
    cost = float(problem.cost(states, feasible.controls[None])[0])
    assert cost > optimum.cost * 1.0001
    program, bounds = optimizer._program, optimizer._bounds
    found = optimizer._solver("piqp")(x0=program.guess(x)[0], p=x, **bounds)
    moved = Moved(found, "x", 0, 0.0)
    w = program._interleave(states[0], feasible.controls)
    moved._parts |= {"x": w, "f": np.array(cost), "g": np.zeros(np.array(found["g"]).size)}
    gap = program.certify("moved", moved, x, bounds).duality_gap
    assert gap is not None
    assert gap * max(1.0, cost) >= (cost - optimum.cost) * (1 - 1e-6)


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.plant.linear], ids=lambda problem: problem.name)
def test_the_dual_proves_a_convex_optimum_and_refutes_another_point(problem: Problem) -> None:
    x = feasible_states(problem, 6)[0]
    optimizer = TrajectoryOptimizer(problem)
    optimum = optimizer.solve(x)
    assert optimum is not None
    assert optimum.certificate.duality_gap is not None
    assert optimum.certificate.duality_gap <= 1e-8
    program = optimizer._program
    bounds = program.bounds(
        (problem.plant.control_lower, problem.plant.control_upper),
        (problem.plant.state_lower, problem.plant.state_upper),
    )
    found = optimizer._solver("ipopt")(x0=program.guess(x)[0], p=x, **tightened(bounds))
    moved = Moved(found, "lam_x", problem.plant.n_x, 1e-2)
    moved._parts |= {"f": np.array(found["f"]), "g": np.array(found["g"]).ravel()}
    other = program.certify("ipopt", moved, x, bounds)
    assert other.duality_gap is not None
    assert other.duality_gap > 1e-8


def test_several_starts_find_what_one_does_not() -> None:
    """The best known solution of a problem with local minima is never worse than that of the first guess."""
    problem = problems.get("pendulum_swingup")
    assert problem.optimum_label == "best known"
    x0 = problem.initial_states(3, "test")
    one, many = costs(replace(problem, starts=1), None, x0), costs(problem, None, x0)
    assert (many <= one * (1 + 1e-9)).all()


@by_name
def test_both_solvers_agree(problem: Problem) -> None:
    found = agreement(problem, feasible_states(problem, 6)[:3])
    assert found.compared > 0
    assert found.largest_difference <= 1e-5
