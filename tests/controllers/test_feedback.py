"""A function of the state as a controller."""

import numpy as np
import pytest

import setpoint as sp


def test_the_regulator_as_a_function_is_the_regulator() -> None:
    problem = sp.problem("pendulum")
    lqr = sp.ClippedLqr(problem)

    def function(observation: np.ndarray) -> np.ndarray:
        step = round((1.0 - observation[-1]) * problem.steps)
        return lqr.feedback(step, observation[None, :-1])[0]

    mine = sp.FeedbackController(problem, function, name="mine")
    states = problem.initial_states(5, "feedback")
    np.testing.assert_array_equal(mine.plan(0.0, states).controls, lqr.plan(0.0, states).controls)
    one = sp.simulate(problem, states, mine, replan_every=1)
    other = sp.simulate(problem, states, lqr, replan_every=1)
    np.testing.assert_array_equal(one.states, other.states)
    assert sp.evaluate(mine, cases=3).summary()["cases"] == 3


@pytest.mark.parametrize("answer", [[0.1, 0.2], None, "x", float("nan")])
def test_an_answer_that_is_no_control_is_named(answer: object) -> None:
    careless = sp.FeedbackController(sp.problem("pendulum"), lambda _: answer)  # type: ignore[arg-type, return-value]
    with pytest.raises(sp.InputError, match="must return 1 finite control"):
        careless.plan(0.0, [0.1, 0.0])


def test_controls_are_clipped() -> None:
    problem = sp.problem("pendulum")
    plan = sp.FeedbackController(problem, lambda _: 1e6).plan(0.0, [0.1, 0.0])
    np.testing.assert_array_equal(plan.controls, np.broadcast_to(problem.plant.control_upper, (problem.steps, 1)))
