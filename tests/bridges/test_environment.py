"""The problems as Gymnasium environments: the library's own checker, and returns equal to our costs."""

import warnings
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.seeding import np_random

import setpoint as sp
from setpoint.bridges.environment import ControlEnvironment
from setpoint.simulation import simulate

NAMES = sp.systems()


@pytest.mark.parametrize("name", NAMES)
def test_the_checker_of_gymnasium_passes(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # States are never clamped, and actions are SI units: the checker only advises against both.
        warnings.filterwarnings("ignore", message=".*(infinity|symmetric|normalized).*")
        check_env(ControlEnvironment(name), skip_render_check=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_return_is_the_cost(name: str) -> None:
    environment = ControlEnvironment(name)
    problem = environment.problem
    environment.action_space.seed(0)
    first, _ = environment.reset(seed=1)
    # Beyond the bounds on purpose: what counts is the saturated control.
    actions = 1.5 * np.array([environment.action_space.sample() for _ in range(problem.steps)])
    answers = [environment.step(action) for action in actions]
    found = simulate(problem.plant, first[None, :-1], actions[None])
    cost = float(problem.cost(found.states, found.controls)[0])
    assert -sum(answer[1] for answer in answers) == pytest.approx(cost, rel=1e-12)
    assert answers[-1][4]["cost"] == pytest.approx(cost, rel=1e-12)
    np.testing.assert_array_equal([answer[0][:-1] for answer in answers], found.states[0, 1:])
    assert [answer[2] for answer in answers] == [False] * (problem.steps - 1) + [True]
    assert answers[-1][0][-1] == pytest.approx(0.0, abs=1e-12)


def test_an_episode_is_that_of_the_simulator_under_delay_noise_and_mismatch() -> None:
    noisy = sp.Disturbance(input_noise=0.1, state_noise=0.05, mismatch=0.2, delay_steps=3)
    environment = ControlEnvironment("pendulum", noisy)
    problem, command = environment.problem, np.array([0.4])
    first, _ = environment.reset(seed=3, options={"initial_state": [0.2, 0.0]})
    answers = [environment.step(command) for _ in range(problem.steps)]
    # The first draw of the environment is the seed of its disturbance.
    drawn = replace(noisy, seed=int(np_random(3)[0].integers(2**31)))
    constant = sp.FeedbackController(problem, lambda _: command)
    simulated = sp.simulate(problem, [0.2, 0.0], constant, disturbance=drawn)
    assert answers[-1][4]["cost"] == pytest.approx(float(simulated.cost), rel=1e-12)
    assert answers[-1][4]["success"] == bool(simulated.success)
    errors = drawn.measurement_errors(problem, 1, problem.steps + 1)[0]
    measured = [first[:-1], *(answer[0][:-1] for answer in answers)]
    np.testing.assert_allclose(measured, simulated.states + errors, rtol=0, atol=1e-12)


def test_equal_seeds_give_equal_episodes() -> None:
    environment = ControlEnvironment("van_der_pol", sp.Disturbance(state_noise=0.1, input_noise=0.1))
    runs = []
    for seed in (5, 5, 6):
        observation, _ = environment.reset(seed=seed)
        runs.append([observation, *(environment.step(np.array([0.1]))[0] for _ in range(5))])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def _begun() -> ControlEnvironment:
    environment = ControlEnvironment("di")
    environment.reset(seed=0)
    return environment


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: ControlEnvironment("nope"), "unknown system 'nope'"),
        (lambda: ControlEnvironment("di", sp.Disturbance(delay_steps=50)), "shorter than the horizon"),
        (lambda: ControlEnvironment("di").step(np.zeros(1)), r"no episode has begun. Call reset\(\) first"),
        (lambda: ControlEnvironment(None), "problem must be a Problem or the name of a system, got None"),
        (lambda: ControlEnvironment("di", 0.1), r"disturbance must be a Disturbance, got 0\.1"),
        (lambda: _begun().step("a"), r"an action must be numbers of shape \(1,\), got 'a'"),
        (lambda: _begun().step([float("nan")]), r"an action must be finite, got \[nan\]"),
        (lambda: _begun().reset(options={"initial_state": [0.1]}), r"of shape \(2,\): .*got shape \(1,\)"),
        (lambda: _begun().reset(options={"initial_state": 0.1}), r"of shape \(2,\): .*got shape \(\)"),
        (lambda: ControlEnvironment("di").reset(options={"x0": [0.0, 0.0]}), "initial_state, got"),
        (lambda: ControlEnvironment("di").reset(options={"initial_state": [[0.0, 0.0]] * 2}), r"\(2, 2\)"),
        (lambda: ControlEnvironment("di").reset(options={"initial_state": [9.0, 0.0]}), "initial set"),
    ],
)
def test_mistakes_are_named(call: object, says: str) -> None:
    with pytest.raises(sp.InputError, match=says):
        call()  # type: ignore[operator]


@pytest.mark.parametrize("name", NAMES)
def test_every_system_is_registered_by_name(name: str) -> None:
    made = gymnasium.make(f"setpoint/{name}-v0")
    assert made.reset(seed=0)[0].shape == (sp.problem(name).plant.n_x + 1,)


@pytest.mark.slow
def test_ppo_improves_on_zero_control() -> None:
    import torch
    from stable_baselines3 import PPO

    torch.set_num_threads(1)  # small networks: more threads only wait for each other

    problem = sp.problem("double_integrator")
    wrapped = gymnasium.wrappers.TransformReward(
        gymnasium.wrappers.RescaleAction(ControlEnvironment(problem), -1.0, 1.0), lambda reward: reward / 100.0
    )
    model = PPO("MlpPolicy", wrapped, seed=0, device="cpu", n_steps=1024, gamma=1.0)
    model.learn(40_000)
    upper = problem.plant.control_upper
    ppo = sp.FeedbackController(problem, lambda x: upper * model.predict(x, deterministic=True)[0], name="ppo")
    found = sp.evaluate(ppo, cases=100, replan_every=1)
    assert found.summary()["control_cost"] < 0.5 * found.summary(controller="zero")["control_cost"]
