"""Simulation, optimal control and evaluation from Python, for one state or a batch, lists or arrays."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import setpoint as sp
from support.notebook_cart import Cart, cart


def test_one_state_and_a_batch_give_the_same_episode() -> None:
    problem = sp.problem("double_integrator")
    one = sp.simulate(problem, [0.5, -0.2], sp.ClippedLqr(problem))
    many = sp.simulate("di", np.array([[0.5, -0.2], [0.1, 0.0]]), sp.ClippedLqr(problem))
    assert one.states.shape == (51, 2) and one.controls.shape == (50, 1)
    assert many.states.shape == (2, 51, 2) and many.controls.shape == (2, 50, 1)
    assert np.array_equal(one.states, many.states[0])
    assert one.cost == many.cost[0] == problem.cost(one.states, one.controls)
    assert bool(one.success) and one.final_error < 0.01


def test_plain_controls_are_saturated_and_held() -> None:
    found = sp.simulate("di", [0.0, 0.0], np.full((50, 1), 100.0))
    assert found.controls.max() == 3.0
    assert found.states[1, 1] == pytest.approx(0.3)  # dt times the bound, from rest


@pytest.mark.parametrize("state", [[0.4, 0.1], (0.4, 0.1), np.array([0.4, 0.1])])
def test_the_optimum_of_one_state_takes_lists_and_arrays(state: Any) -> None:
    found = sp.optimal("van_der_pol", state)
    assert found.certified and found.states.shape == (51, 2)
    assert found.cost < sp.simulate("van_der_pol", state, sp.ClippedLqr(sp.problem("van_der_pol"))).cost


def test_a_plan_of_one_state_has_no_batch_axis() -> None:
    problem = sp.problem("pendulum")
    plan = sp.ClippedLqr(problem).plan(0.0, [0.1, 0.0])
    assert plan.controls.shape == (50, 1)
    assert np.array_equal(plan.controls, sp.ClippedLqr(problem).plan(0.0, [[0.1, 0.0]], 50).controls[0])


@pytest.mark.parametrize(
    ("x0", "message"),
    [
        ([0.1], r"x0 must be of shape \(2,\) or \(B, 2\): position, velocity; got shape \(1,\)"),
        ([[[0.1, 0.2]]], r"got shape \(1, 1, 2\)"),
        (["a", "b"], "x0 must be numeric"),
        ([float("nan"), 0.0], "x0 must be finite"),
    ],
)
def test_wrong_states_are_named_with_the_right_shape(x0: Any, message: str) -> None:
    with pytest.raises(sp.InputError, match=message):
        sp.simulate("di", x0, np.zeros((50, 1)))


@pytest.mark.parametrize("controls", [np.zeros((50, 2)), np.zeros((3, 50, 1)), [float("inf")], "lqr"])
def test_wrong_controls_are_refused(controls: Any) -> None:
    with pytest.raises(sp.InputError, match="controls must"):
        sp.simulate("di", [0.1, 0.1], controls)


def test_disturbances_need_a_controller() -> None:
    with pytest.raises(sp.InputError, match="need a controller"):
        sp.simulate("di", [0.1, 0.1], np.zeros((50, 1)), disturbance=sp.Disturbance(state_noise=0.1))


def test_an_evaluation_has_a_row_for_every_case_controller_and_mode() -> None:
    result = sp.evaluate(sp.ClippedLqr(sp.problem("double_integrator")), cases=6)
    frame = result.to_pandas()
    assert len(frame) == 6 * 3 * 2  # optimum, lqr and zero; open loop and replanning
    assert result.summary()["success_rate"] == 1.0
    assert result.summary(controller="optimum")["regret_median"] == pytest.approx(0.0, abs=1e-9)
    assert result.summary(mode="replan_5", controller="zero")["success_rate"] < 1.0
    with pytest.raises(sp.InputError, match="unknown evaluated mode"):
        result.summary(mode="replan_7")
    assert "regret_median" in result._repr_html_()


def test_an_evaluation_from_states_of_ones_own_under_noise() -> None:
    problem = sp.problem("pendulum")
    disturbance = sp.Disturbance(state_noise=0.01)
    result = sp.evaluate(sp.TrackingLqr(problem), cases=[[0.1, 0.0]], replan_every=1, disturbance=disturbance)
    assert set(result.to_pandas()["controller"]) >= {"tracking_lqr", "lqr", "zero"}


class Bang:
    """A controller of a user's own."""

    name = "bang"

    def plan(self, t: float, x: np.ndarray, steps: int) -> Any:
        from setpoint.controllers import ControlPlan

        return ControlPlan.of(np.broadcast_to(-3.0 * np.sign(x[:, :1])[:, None], (len(x), steps, 1)))


def test_a_controller_of_ones_own_needs_only_a_name_and_a_plan() -> None:
    assert sp.evaluate(Bang(), problem="di", cases=3).summary()["cases"] == 3
    with pytest.raises(sp.InputError, match="no attribute `problem`"):
        sp.evaluate(Bang(), cases=3)


def test_a_plant_of_a_notebook_is_simulated_solved_and_evaluated() -> None:
    problem = sp.register_system(cart())
    assert "notebook_cart" in sp.systems() and sp.problem("nbcart") is problem
    assert sp.optimal("notebook_cart", [0.3, 0.0]).certified
    assert sp.evaluate(sp.ClippedLqr(problem), cases=3).summary()["cases"] == 3
    again = sp.register_system(cart(drag=0.2))  # the cell was run again
    assert sp.problem("notebook_cart") is again


def test_a_plant_may_not_take_the_name_of_another() -> None:
    @dataclass(frozen=True)
    class Impostor(Cart):
        name = "pendulum"
        short_name = "impostor"

    with pytest.raises(sp.InputError, match="the name 'pendulum' is taken by another system"):
        sp.register_system(
            sp.Problem(Impostor(), 50, (1.0, 1.0), (0.1,), 1.0, (0.0, 0.0), (0.5, 0.5)),
        )
    with pytest.raises(sp.InputError, match="must be a Problem"):
        sp.register_system("pendulum")  # type: ignore[arg-type]


def test_figures_and_tables_of_a_simulation() -> None:
    found = sp.simulate("di", [[0.5, 0.0], [0.2, 0.1]], sp.ClippedLqr(sp.problem("di")))
    frame = found.to_pandas()
    assert list(frame.columns) == ["episode", "time_s", "position", "velocity", "force"] or len(frame.columns) == 5
    assert len(frame) == 2 * 51
    assert len(found.plot().spec["vconcat"]) == 3
    assert "double_integrator" in found._repr_html_()


def test_another_regulator_is_not_the_reference() -> None:
    problem = sp.problem("di")
    weak = sp.ClippedLqr(problem, 1e6)
    states = [[0.5, -0.2], [0.1, 0.3]]
    found = sp.evaluate(weak, cases=states, replan_every=None).summary()["final_error"]
    assert found == pytest.approx(float(np.mean(sp.simulate(problem, states, weak).final_error)))


def test_a_controller_may_not_pass_for_a_reference() -> None:
    impostor = Bang()
    impostor.name = "lqr"
    with pytest.raises(sp.InputError, match="name of a reference controller"):
        sp.evaluate(impostor, problem="di", cases=2)
    with pytest.raises(sp.InputError, match="controls pendulum, not double_integrator"):
        sp.evaluate(sp.ClippedLqr(sp.problem("pendulum")), problem="di", cases=2)
    with pytest.raises(sp.InputError, match="controls pendulum, not double_integrator"):
        sp.simulate("di", [0.1, 0.0], sp.ClippedLqr(sp.problem("pendulum")))


class Careless:
    """A controller that returns what it is told to."""

    name = "careless"

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def plan(self, t: float, x: np.ndarray, steps: int) -> Any:
        return self.answer


@pytest.mark.parametrize("answer", [np.zeros((1, 50, 1)), sp.ControlPlan.of(np.zeros((1, 50, 2))), None])
def test_what_a_controller_returns_is_checked(answer: Any) -> None:
    with pytest.raises(
        sp.InputError, match=r"must return ControlPlan.of\(controls\) with controls of shape \(1, S, 1\)"
    ):
        sp.simulate("di", [0.1, 0.0], Careless(answer))


def test_a_plan_that_is_too_short_is_refused() -> None:
    with pytest.raises(sp.InputError, match="S at least 50"):
        sp.simulate("di", [0.1, 0.0], Careless(sp.ControlPlan.of(np.zeros((1, 1, 1)))))


@pytest.mark.parametrize(
    "call",
    [
        lambda: sp.ClippedLqr("pendulum"),  # type: ignore[arg-type]
        lambda: sp.ModelPredictive("pendulum"),  # type: ignore[arg-type]
        lambda: sp.optimal(3, [0.0, 0.0]),  # type: ignore[arg-type]
        lambda: sp.optimal("di", np.zeros((0, 2))),
        lambda: sp.problem(None),  # type: ignore[arg-type]
        lambda: sp.evaluate("lqr", problem="pendulum"),  # type: ignore[arg-type]
        lambda: sp.evaluate(sp.ClippedLqr, problem="pendulum"),  # type: ignore[arg-type]
        lambda: sp.evaluate(sp.ClippedLqr(sp.problem("di")), cases="5"),
        lambda: sp.evaluate(sp.ClippedLqr(sp.problem("di")), cases=2, disturbance=0.01),  # type: ignore[arg-type]
        lambda: sp.Disturbance(delay_steps=1.5),  # type: ignore[arg-type]
        lambda: sp.Disturbance(state_noise="0.1"),  # type: ignore[arg-type]
        lambda: sp.Sweep(systems=["notebook_cart"]).plan("nowhere"),
        lambda: sp.Sweep(systems=["di"]).plan("nowhere").run(workers=0),
        lambda: sp.Sweep(systems=["di"]).plan("nowhere").run(on="local"),  # type: ignore[arg-type]
        lambda: sp.ClippedLqr(sp.problem("di"), -1.0),
    ],
)
def test_wrong_arguments_are_input_errors(call: Any) -> None:
    sp.register_system(cart())
    with pytest.raises(sp.InputError):
        call()


def test_simulations_and_evaluations_print_as_tables() -> None:
    assert "certified" in repr(sp.optimal("di", [0.1, 0.0]))
    assert len(repr(sp.optimal("di", [0.1, 0.0])).splitlines()) == 3
    text = repr(sp.evaluate(sp.ClippedLqr(sp.problem("di")), cases=2))
    assert "regret_median" in text and "optimum" in text


@dataclass(frozen=True)
class Unregistered(Cart):
    name = "unregistered_cart"
    short_name = "unregistered"


def test_a_problem_that_is_not_registered_is_evaluated() -> None:
    problem = replace(cart(), plant=Unregistered())
    result = sp.evaluate(sp.ClippedLqr(problem), cases=2, replan_every=None)
    assert result.summary(system="unregistered_cart")["regret_median"] >= -1e-9
    with pytest.raises(sp.InputError, match="is defined for registered systems"):
        sp.evaluate(sp.ClippedLqr(problem), cases=2, suite="tight")
    with pytest.raises(sp.InputError, match="unknown suite"):
        sp.evaluate(sp.ClippedLqr(problem), cases=2, suite="tigt")
    with pytest.raises(sp.InputError, match=r"not a registered system, .*register_system\(problem\)"):
        result.plot()


def test_a_plant_that_is_no_dataclass_is_refused() -> None:
    class Forgotten(sp.Plant):
        name, short_name, title, source = "forgotten", "forgot", "a plant", "textbook"
        states, controls, dt_s = Cart.states, Cart.controls, 0.1
        derivative, equations = Cart.derivative, ("x' = v", "v' = u")

    with pytest.raises(sp.InputError, match=r"Forgotten is none. Decorate it with @dataclass\(frozen=True\)"):
        replace(cart(), plant=Forgotten())


@pytest.mark.parametrize("slopes", [None, 1.0, (1.0,), np.array(1.0)])
def test_a_derivative_has_one_value_per_state(slopes: Any) -> None:
    @dataclass(frozen=True)
    class Wrong(Cart):
        def derivative(self, t: Any, x: Any, u: Any, xp: Any) -> Any:
            return slopes

    problem = replace(cart(), plant=Wrong())
    with pytest.raises(sp.InputError, match=r"derivative must return a tuple with one value per state \(2\), got"):
        sp.simulate(problem, [0.1, 0.0], np.zeros((50, 1)))
    with pytest.raises(sp.InputError, match=r"derivative must return a tuple with one value per state \(2\), got"):
        sp.ClippedLqr(problem)
