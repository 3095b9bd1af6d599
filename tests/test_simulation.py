"""Roll-outs: open loop, replanning, divergence, and answers that could not be read."""

from dataclasses import replace

import numpy as np
import pytest

from setpoint import plants, problems
from setpoint.controllers import ClippedLqr, Controller, ControlPlan, DetunedLqr, ZeroControl
from setpoint.controllers.optimal import OptimalController
from setpoint.errors import InputError
from setpoint.plants import SecondOrder
from setpoint.problems import Problem
from setpoint.simulation import DIVERGENCE_LIMIT, run_controller, simulate
from setpoint.trajectory import Termination

PROBLEMS = [problems.get(name) for name in plants.names()]
by_name = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
CONTROLLERS = [ClippedLqr, DetunedLqr, ZeroControl, OptimalController]


class Scripted:
    """Commands `control` everywhere; the second of two states gets an answer that could not be read."""

    name = "scripted"

    def __init__(self, control: float, outcomes: list[Termination]) -> None:
        self._control = control
        self._outcomes = iter(outcomes)

    def plan(self, t: float, x: np.ndarray, steps: int) -> ControlPlan:
        outcome = next(self._outcomes)
        controls = np.full((2, steps, 1), self._control)
        controls[1] *= outcome.parsed
        return ControlPlan(controls, (Termination.COMPLETED, outcome), np.array([3, 5]))


@by_name
@pytest.mark.parametrize("interval", [1, 5, 7])
@pytest.mark.parametrize("make", [ClippedLqr, DetunedLqr, ZeroControl], ids=lambda make: make.name)
def test_what_plans_by_simulating_itself_does_the_same_in_open_and_in_closed_loop(
    make: type[ClippedLqr], interval: int, problem: Problem
) -> None:
    x0 = problem.initial_states(6, "test")
    planned, replanned = (run_controller(problem, make(problem), x0, every).trajectory for every in (0, interval))
    assert replanned.states == pytest.approx(planned.states, rel=1e-6, abs=1e-9)
    assert replanned.controls.shape == (6, problem.steps, problem.plant.n_u)


@by_name
@pytest.mark.parametrize("make", CONTROLLERS, ids=lambda make: make.name)
def test_controllers_plan_batches_as_they_plan_single_states(make: type[ClippedLqr], problem: Problem) -> None:
    controller: Controller = make(problem)
    x0 = problem.initial_states(4, "test")
    together = controller.plan(0.0, x0, 10)
    alone = [controller.plan(0.0, x[None], 10).controls[0] for x in x0]
    assert together.controls[:, :10] == pytest.approx(np.array(alone)[:, :10], rel=1e-12, abs=1e-12)
    assert (together.controls >= problem.plant.control_lower).all()
    assert (together.controls <= problem.plant.control_upper).all()
    assert together.outcomes == (Termination.COMPLETED,) * 4
    assert together.tokens.tolist() == [0] * 4


def test_commands_are_saturated_but_recorded_and_states_are_never_clamped() -> None:
    plant = plants.get("double_integrator")
    commanded = np.full((1, 50, 1), 100.0)
    found = simulate(plant, np.zeros((1, 2)), commanded)
    assert found.controls.max() == 3.0
    assert found.commanded is commanded
    assert found.states[0, -1, 1] == pytest.approx(15.0)


def test_commands_that_are_no_numbers_count_as_zero() -> None:
    plant = plants.get("double_integrator")
    found = simulate(plant, np.zeros((1, 2)), np.array([[[np.nan], [np.inf], [-np.inf]]]))
    assert found.controls[0, :, 0].tolist() == [0.0, 3.0, -3.0]
    assert np.isfinite(found.states).all()


def test_a_state_that_runs_away_stands_still_and_is_marked() -> None:
    problem = replace(problems.get("double_integrator"), plant=SecondOrder(c=1e4))
    x0 = np.array([[1.0, 1.0], [0.0, 0.0]])
    rollout = run_controller(problem, ZeroControl(problem), x0)
    assert rollout.trajectory.diverged.tolist() == [True, False]
    assert rollout.terminations == (Termination.DIVERGED, Termination.COMPLETED)
    assert (np.abs(rollout.trajectory.states) <= DIVERGENCE_LIMIT).all()
    assert rollout.plans_parsed.tolist() == [1, 1]


def test_an_answer_that_cannot_be_read_is_zero_control_and_is_counted() -> None:
    problem = problems.get("double_integrator")
    x0 = np.array([[0.1, 0.1], [0.1, 0.1]])
    outcomes = [Termination.COMPLETED, Termination.WRONG_LENGTH, Termination.PARSE_FAILURE, Termination.COMPLETED]
    rollout = run_controller(problem, Scripted(1.0, outcomes), x0, 13)
    assert rollout.plans == 4
    assert rollout.plans_parsed.tolist() == [4, 2]
    assert rollout.terminations == (Termination.COMPLETED, Termination.PARSE_FAILURE)
    assert rollout.tokens.tolist() == [12, 20]
    assert rollout.trajectory.controls[1, :13].tolist() == [[1.0]] * 13
    assert rollout.trajectory.controls[1, 13:39].tolist() == [[0.0]] * 26


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("interval", [0, 5])
def test_a_plan_that_is_not_finite_is_refused(value: float, interval: int) -> None:
    controller = Scripted(value, [Termination.COMPLETED] * 10)
    with pytest.raises(
        InputError, match=rf"plan\(\) of controller 'scripted' must return finite controls, got \[{value}\]"
    ):
        run_controller(problems.get("double_integrator"), controller, np.zeros((2, 2)), interval)


@pytest.mark.parametrize("name", ["pendulum", "cart_pole", "van_der_pol", "orbit_raising"])
@pytest.mark.parametrize("make", [ClippedLqr, ZeroControl], ids=lambda make: make.name)
def test_regulators_plan_finite_controls_from_every_state(make: type[ClippedLqr], name: str) -> None:
    problem = problems.get(name)
    assert np.isfinite(make(problem).plan(0.0, np.full((1, problem.plant.n_x), DIVERGENCE_LIMIT)).controls).all()
