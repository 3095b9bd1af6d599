"""Disturbances: nothing changes without them, they are drawn per case, and each does what it says."""

from typing import Any

import numpy as np
import pytest

from setpoint import problems
from setpoint.controllers import ClippedLqr, ZeroControl
from setpoint.controllers.optimal import OptimalController
from setpoint.controllers.shooting import TrajectoryOptimizer
from setpoint.controllers.tracking import TrackingLqr
from setpoint.errors import InputError
from setpoint.simulation import Disturbance, run_controller, simulate

CW = problems.get("cw_rendezvous")
X0 = CW.initial_states(6, "disturbed")
KINDS = [
    Disturbance(state_noise=0.05),
    Disturbance(input_noise=0.05),
    Disturbance(mismatch=0.1),
    Disturbance(delay_steps=2),
    Disturbance(0.02, 0.03, 0.1, 1, seed=3),
]
every_kind = pytest.mark.parametrize("disturbance", KINDS, ids=lambda disturbance: disturbance.name)


@every_kind
@pytest.mark.parametrize("interval", [1, 5, 10, 50])
def test_a_case_does_not_depend_on_the_others(disturbance: Disturbance, interval: int) -> None:
    together = run_controller(CW, ClippedLqr(CW), X0, interval, disturbance).trajectory
    fewer = run_controller(CW, ClippedLqr(CW), X0[:3], interval, disturbance).trajectory
    again = run_controller(CW, ClippedLqr(CW), X0, interval, disturbance).trajectory
    assert np.array_equal(again.states, together.states)
    assert fewer.states == pytest.approx(together.states[:3], rel=1e-12, abs=1e-12)


@every_kind
def test_every_disturbance_changes_what_happens(disturbance: Disturbance) -> None:
    calm = run_controller(CW, ClippedLqr(CW), X0, 5).trajectory
    rough = run_controller(CW, ClippedLqr(CW), X0, 5, disturbance).trajectory
    assert np.abs(rough.states - calm.states).max() > 1e-3
    assert rough.states.shape == calm.states.shape
    assert rough.commanded.shape == calm.commanded.shape


def test_nothing_changes_without_a_disturbance() -> None:
    one = run_controller(CW, ClippedLqr(CW), X0, 5).trajectory
    other = run_controller(CW, ClippedLqr(CW), X0, 5, Disturbance(seed=9)).trajectory
    assert np.array_equal(one.states, other.states)


def test_a_delay_shifts_what_acts() -> None:
    calm = run_controller(CW, ClippedLqr(CW), X0).trajectory
    late = run_controller(CW, ClippedLqr(CW), X0, 0, Disturbance(delay_steps=3)).trajectory
    assert (late.commanded[:, :3] == 0).all()
    assert np.array_equal(late.commanded[:, 3:], calm.commanded[:, :-3])


def test_noise_of_the_controls_is_not_a_violation_of_the_command() -> None:
    found = run_controller(CW, ZeroControl(CW), X0, 0, Disturbance(input_noise=0.1)).trajectory
    assert (found.commanded == 0).all()
    assert np.abs(found.controls).max() > 0
    assert float(found.controls.std()) == pytest.approx(0.12, rel=0.15)
    assert simulate(CW.plant, X0, found.controls).states == pytest.approx(found.states, rel=1e-9, abs=1e-12)


def test_a_mismatch_moves_every_parameter_by_just_that_much() -> None:
    plant = problems.get("cart_pole").plant
    real = Disturbance(mismatch=0.2).real_plant(plant, 40)
    for name, value in plant.parameters.items():
        off = np.unique(np.round(np.asarray(real.parameters[name]) / value, 12))
        assert off.tolist() == [0.8, 1.2]


def test_impossible_sizes_are_refused() -> None:
    sizes: list[dict[str, Any]] = [
        {"state_noise": -1.0}, {"state_noise": 1e300}, {"mismatch": 1.0}, {"input_noise": float("nan")},
    ]  # fmt: skip
    for wrong in sizes:
        with pytest.raises(InputError, match="must be finite and not negative, noise at most 10 and mismatch below 1"):
            Disturbance(**wrong)
    with pytest.raises(InputError, match="delay_steps must be a whole number of at least 0, got -1"):
        Disturbance(delay_steps=-1)


@pytest.mark.parametrize("kind", [OptimalController, TrackingLqr])
def test_a_measurement_without_an_optimum_is_answered_by_the_regulator(kind: Any) -> None:
    problem = problems.get("double_integrator_tight")
    beyond = 1.5 * problem.plant.state_upper[None]
    assert TrajectoryOptimizer(problem).solve(beyond[0]) is None
    optimum = OptimalController(problem)
    controller = optimum if kind is OptimalController else TrackingLqr(problem, optimum)
    planned = controller.plan(0.0, beyond, problem.steps).controls
    assert planned == pytest.approx(ClippedLqr(problem).plan(0.0, beyond, problem.steps).controls)
    assert optimum.unsolved == 1
    strong = Disturbance(state_noise=1.0)
    found = run_controller(problem, controller, problem.initial_states(20, "noisy"), problem.steps, strong)
    assert np.isfinite(found.trajectory.states).all()
    assert optimum.unsolved > 1


def test_a_delay_as_long_as_the_horizon_is_refused() -> None:
    with pytest.raises(InputError, match=r"a delay must be shorter than the horizon, got 50 of the 50 steps"):
        run_controller(CW, ClippedLqr(CW), X0, 0, Disturbance(delay_steps=CW.steps))
    run_controller(CW, ClippedLqr(CW), X0, 0, Disturbance(delay_steps=CW.steps - 1))
