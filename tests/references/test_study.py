"""Baselines by what they must equal: regulator and optimum where theory says so, and the anchors that report them."""

import numpy as np
import pytest

from setpoint import problems
from setpoint.controllers import ClippedLqr
from setpoint.controllers.cloned import CLONES, clone
from setpoint.controllers.mpc import ModelPredictive
from setpoint.controllers.optimal import OptimalController
from setpoint.controllers.tracking import TrackingLqr
from setpoint.errors import InputError
from setpoint.evaluation.optima import read_optima, solve_optima, write_optima
from setpoint.problems import COARSE_TO_FINE
from setpoint.references import study as anchors
from setpoint.references.study import reference_study
from setpoint.references.tables import reference_tables
from setpoint.simulation import Disturbance, run_controller


def test_tracking_follows_the_optimum_exactly_where_nothing_disturbs() -> None:
    problem = problems.get("van_der_pol_tight")
    x0 = problem.initial_states(3, "tracking")
    optimal = run_controller(problem, OptimalController(problem), x0).trajectory
    tracked = run_controller(problem, TrackingLqr(problem), x0, 5).trajectory
    assert tracked.states == pytest.approx(optimal.states, abs=1e-8)


def test_tracking_a_linear_plant_without_active_bounds_is_the_regulator() -> None:
    problem = problems.get("double_integrator")
    x0 = 0.1 * problem.initial_states(3, "tracking")
    rough = Disturbance(state_noise=0.02)
    regulated, tracked = (
        run_controller(problem, make(problem), x0, 1, rough).trajectory for make in (ClippedLqr, TrackingLqr)
    )
    assert tracked.controls == pytest.approx(regulated.controls, abs=1e-5)


def test_tracking_needs_the_beginning() -> None:
    problem = problems.get("double_integrator")
    controller = TrackingLqr(problem)
    with pytest.raises(InputError, match="must be called at time 0 first"):
        controller.plan(0.5, np.zeros((1, 2)), 5)


def test_model_predictive_control_begins_like_the_optimum_and_survives_the_hopeless() -> None:
    problem = problems.get("double_integrator_tight")
    x0 = problem.initial_states(2, "mpc")
    controller = ModelPredictive(problem)
    planned = controller.plan(0.0, x0, 5).controls
    assert planned == pytest.approx(OptimalController(problem).plan(0.0, x0, 5).controls, abs=1e-9)
    hopeless = controller.plan(0.0, np.array([[0.999, 0.349]]), 5)
    assert np.isfinite(hopeless.controls).all()
    assert (controller.solved, controller.unsolved) == (2, 1)


@pytest.mark.parametrize("kind", CLONES)
def test_clones_learn_a_linear_feedback(kind: str) -> None:
    pytest.importorskip("sklearn")
    problem = problems.get("cw_rendezvous")
    states = 0.2 * problem.initial_states(300, "clones")
    moves = COARSE_TO_FINE.average(ClippedLqr(problem).plan(0.0, states, 50).controls)
    cloned = clone(kind, problem, states, moves, COARSE_TO_FINE)
    asked = 0.2 * problem.initial_states(20, "asked")
    wanted = COARSE_TO_FINE.expand(COARSE_TO_FINE.average(ClippedLqr(problem).plan(0.0, asked, 50).controls))
    found = cloned.plan(0.0, asked, 50).controls
    assert found.shape == (20, 50, 2)
    share = ((found - wanted) ** 2).sum() / (wanted**2).sum()
    assert share < {"linear": 1e-2, "knn": 0.3, "mlp": 0.3}[kind]


def test_clones_refuse_arrays_that_do_not_belong_together() -> None:
    problem = problems.get("double_integrator")
    with pytest.raises(InputError, match="unknown cloned controller 'tree'"):
        clone("tree", problem, np.zeros((10, 2)), np.zeros((10, 50, 1)))
    with pytest.raises(InputError, match="demonstrations of double_integrator must be more than 5 states"):
        clone("linear", problem, np.zeros((10, 2)), np.zeros((10, 49, 1)))


def test_states_without_an_optimum_are_left_out_and_counted(tmp_path_factory: pytest.TempPathFactory) -> None:
    problem = problems.get("double_integrator")
    states = np.array([[0.1, 0.1], [0.99, 0.99], [-0.2, 0.0]])
    found = solve_optima(problem, states, COARSE_TO_FINE, OptimalController(problem))
    assert (len(found), found.rejected) == (2, 1)
    assert np.array_equal(found.states, states[[0, 2]])
    path = tmp_path_factory.mktemp("optima") / "optima.parquet"
    write_optima(path, found)
    assert read_optima(path).rejected == 1


@pytest.mark.parametrize("suite", ["nominal", "held_out"])
def test_anchors_account_for_every_case_and_are_printed(suite: str) -> None:
    found = reference_study(suite, "linear_oscillator", 12, disturbed=suite == "nominal")
    assert found.cases + found.rejected == 12
    assert found.certificate["residual"] <= 1e-8
    assert found.rows["optimum"]["regret_median"] == pytest.approx(0, abs=1e-6)
    assert found.rows["zero"]["success_rate"] <= found.rows["lqr"]["success_rate"]
    tables = reference_tables([found])
    for table in tables:
        assert any("linear_oscillator" in line for line in table.as_text())
        assert all(len(row) == len(table.header) for row in table.rows)
    assert len(tables) == (4 if suite == "nominal" else 3)


def test_the_disturbed_world_has_the_first_cases_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors, "DISTURBED_CASES", 4)
    found = reference_study("nominal", "linear_oscillator", 12, disturbed=True)
    alone = reference_study("nominal", "linear_oscillator", 4, disturbed=True)
    noisy = f"mpc{anchors.NOISY}"
    assert found.rows[noisy] == alone.rows[noisy]
    assert found.rows["lqr"] != alone.rows["lqr"]
