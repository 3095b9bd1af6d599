"""Conformance tests for a system. Subclass `SystemContract` and set `system` to a registered name:

class TestMyPlant(SystemContract):
    system = "my_plant"
"""

from functools import cache
from typing import ClassVar

import numpy as np

from setpoint import metrics, plants, problems
from setpoint.controllers import ClippedLqr, solve_riccati
from setpoint.controllers.agreement import agreement
from setpoint.controllers.shooting import Optimum, TrajectoryOptimizer
from setpoint.language import PromptFormat, compose_answer, format_moves, format_vector, messages, parse_answer
from setpoint.modes import EvaluationMode
from setpoint.plants import Plant, components_of, linearise, require_symbolic, rk4_step
from setpoint.problems import MoveBlocking, Problem, usual_blocking
from setpoint.rewards import RewardRule
from setpoint.simulation import run_controller, simulate

_STATES = 8
_MIN_SOLVED = 0.5
_REFERENCE_SUBSTEPS = 256


class SystemContract:
    """Requirements on every system; each test is named after the property it checks."""

    system: ClassVar[str]

    @property
    def problem(self) -> Problem:
        """The optimal-control problem of the system."""
        return problems.get(self.system)

    @property
    def plant(self) -> Plant:
        """The plant of the system."""
        return self.problem.plant

    @property
    def prompt_formats(self) -> tuple[PromptFormat, PromptFormat]:
        """The short and the English prompt format."""
        steps = self.problem.steps
        return PromptFormat(blocking=usual_blocking(steps)), PromptFormat(
            "english", MoveBlocking.none(steps), control_decimals=3, reasoning="full"
        )

    def states(self, count: int = _STATES) -> np.ndarray:
        """Return initial states outside the test suites, (count, n_x)."""
        return self.problem.initial_states(count, "contract")

    def solved(self) -> list[tuple[np.ndarray, Optimum]]:
        """Return states with their certified optima; states without one are omitted."""
        return _solve(self.system)

    def test_system_is_registered_under_both_names(self) -> None:
        assert self.system in plants.names()
        assert plants.get(self.system) == self.plant
        assert plants.canonical(self.plant.short_name) == self.system == self.plant.name

    def test_problem_is_consistent_with_the_plant(self) -> None:
        self.problem.require_sound()
        assert self.problem.evaluation_mode in list(EvaluationMode)

    def test_dynamics_can_be_evaluated_symbolically(self) -> None:
        require_symbolic(self.plant)

    def test_signals_have_names_units_and_finite_bounds(self) -> None:
        signals = (*self.plant.states, *self.plant.controls)
        assert len({signal.name for signal in signals}) == len(signals), "two signals have the same name"
        for signal in signals:
            assert signal.name.isidentifier(), f"{signal.name!r} is not a snake_case name"
            assert signal.unit, f"{signal.name} has no unit; use '1' for a dimensionless signal"
            assert np.isfinite([signal.lower, signal.upper]).all(), f"{signal.name} needs finite bounds"
            assert signal.lower < signal.upper, f"the lower bound of {signal.name} must be below its upper bound"

    def test_every_state_has_an_equation(self) -> None:
        assert len(self.plant.equations) == self.plant.n_x

    def test_batched_steps_equal_single_steps(self) -> None:
        plant, x = self.plant, self.states(6)
        u = np.linspace(plant.control_lower, plant.control_upper, 6)
        assert len(plant.derivative(0.0, components_of(x), components_of(u), np)) == plant.n_x
        together = plant.step(0.0, x.reshape(2, 3, -1), u.reshape(2, 3, -1)).reshape(6, -1)
        alone = np.array([plant.step(0.0, state, control) for state, control in zip(x, u, strict=True)])
        np.testing.assert_allclose(together, alone, rtol=1e-12, atol=1e-12)

    def test_target_is_an_equilibrium_within_the_bounds(self) -> None:
        target = np.array(self.problem.target)
        reached = self.plant.step(0.0, target, np.zeros(self.plant.n_u))
        np.testing.assert_allclose(reached, target, rtol=0, atol=1e-12)
        assert (self.plant.state_lower < target).all()
        assert (target < self.plant.state_upper).all()

    def test_zero_control_is_within_the_bounds(self) -> None:
        assert (self.plant.control_lower <= 0).all()
        assert (self.plant.control_upper >= 0).all()

    def test_initial_states_are_in_their_set_and_reproducible(self) -> None:
        states = self.states(50)
        self.problem.require_initial(states)
        np.testing.assert_array_equal(states[:7], self.states(7))
        assert (states >= self.plant.state_lower - 1e-9).all()
        assert (states <= self.plant.state_upper + 1e-9).all()

    def test_integrator_converges_with_order_four(self) -> None:
        x = components_of(self.problem.initial_centre + 0.3 * (self.states(4) - self.problem.initial_centre))
        u = components_of(np.tile(0.3 * self.plant.control_upper, (4, 1)))
        time_s = 5 * self.plant.dt_s
        # Order of convergence (4 for RK4): slope of log error over log substeps, against a much finer reference.
        exact = np.array(rk4_step(self.plant.derivative, 0.0, x, u, time_s, np, 2 * _REFERENCE_SUBSTEPS))
        counts = np.array([8, 16, 32])
        errors = [
            np.abs(np.array(rk4_step(self.plant.derivative, 0.0, x, u, time_s, np, n)) - exact).max()
            for n in counts.tolist()
        ]
        if min(errors) > 1e-13:
            order = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
            assert order > 3.5, f"observed order {order:.2f}: `derivative` must be smooth and depend only on (t, x, u)"

    def test_integration_error_of_one_time_step_is_small(self) -> None:
        x, plant = self.states(), self.plant
        u = np.tile(plant.control_upper, (len(x), 1))
        parts = (components_of(x), components_of(u))
        exact = np.stack(rk4_step(plant.derivative, 0.0, *parts, plant.dt_s, np, _REFERENCE_SUBSTEPS), axis=-1)
        error = np.abs(plant.step(0.0, x, u) - exact) / np.array(self.problem.half_width)
        assert error.max() < 1e-3, "raise `substeps` or lower `dt_s`"

    def test_linearisation_agrees_with_finite_differences(self) -> None:
        x, u, h = self.states(1)[0], 0.3 * self.plant.control_upper, 1e-6
        a, b = linearise(self.plant, x, u)
        for column, direction in enumerate(np.eye(self.plant.n_x)):
            difference = (self.plant.step(0.0, x + h * direction, u) - self.plant.step(0.0, x - h * direction, u)) / h
            np.testing.assert_allclose(a[:, column], difference / 2, rtol=1e-6, atol=1e-7)
        for column, direction in enumerate(np.eye(self.plant.n_u)):
            difference = (self.plant.step(0.0, x, u + h * direction) - self.plant.step(0.0, x, u - h * direction)) / h
            np.testing.assert_allclose(b[:, column], difference / 2, rtol=1e-6, atol=1e-7)

    def test_plant_declared_linear_is_linear(self) -> None:
        if self.plant.linear:
            x, u = self.states(), np.tile(0.5 * self.plant.control_upper, (_STATES, 1))
            a, b = linearise(self.plant, np.zeros(self.plant.n_x), np.zeros(self.plant.n_u))
            np.testing.assert_allclose(self.plant.step(0.0, x, u), x @ a.T + u @ b.T, rtol=0, atol=1e-10)

    def test_nominal_parameters_are_not_held_out(self) -> None:
        for name, interval in self.plant.family.items():
            nominal = self.plant.parameters[name]
            assert interval.low <= nominal <= interval.high
            assert not interval.holds_out(nominal), f"the nominal {name} must be outside the held-out range"

    def test_riccati_recursion_has_no_residual(self) -> None:
        problem, found = self.problem, solve_riccati(self.problem)
        a, b = linearise(problem.plant, np.array(problem.target), np.zeros(problem.plant.n_u))
        for gain, value, following in zip(found.gains, found.values, found.values[1:], strict=False):
            closed = a - b @ gain  # closed-loop form: P_k = Q + K'RK + (A - BK)' P_{k+1} (A - BK)
            cost_to_go = np.diag(problem.q) + gain.T @ np.diag(problem.r) @ gain + closed.T @ following @ closed
            np.testing.assert_allclose(value, cost_to_go, rtol=1e-8, atol=1e-8)

    def test_commands_beyond_the_bounds_are_saturated_and_counted(self) -> None:
        commanded = np.tile(3 * self.plant.control_upper + 1, (1, 3, 1))
        found = simulate(self.plant, self.states(1), commanded)
        np.testing.assert_array_equal(found.controls[0, 0], self.plant.control_upper)
        assert metrics.violation_count(metrics.violations(self.problem, found))[0] == 3

    def test_most_initial_states_have_a_certified_optimum(self) -> None:
        solved = self.solved()
        assert len(solved) >= _MIN_SOLVED * _STATES, f"only {len(solved)} of {_STATES} states have a certified optimum"
        for _, optimum in solved:
            assert optimum.certificate.holds
            assert optimum.certificate.residual <= 1e-8
            assert (optimum.certificate.duality_gap is not None) == self.plant.linear

    def test_simulated_cost_equals_the_optimal_cost(self) -> None:
        x0 = np.array([x for x, _ in self.solved()])
        controls = np.array([optimum.controls for _, optimum in self.solved()])
        trajectory = simulate(self.plant, x0, controls)
        costs = np.array([optimum.cost for _, optimum in self.solved()])
        np.testing.assert_allclose(self.problem.cost(trajectory.states, trajectory.controls), costs, rtol=1e-6)
        assert metrics.violations(self.problem, trajectory).max() <= 1e-6

    def test_no_feasible_trajectory_is_cheaper_than_the_optimum(self) -> None:
        x0 = np.array([x for x, _ in self.solved()])
        costs = np.array([optimum.cost for _, optimum in self.solved()])
        controls = np.array([optimum.controls for _, optimum in self.solved()])
        rng, spread = np.random.default_rng(0), self.plant.control_upper - self.plant.control_lower
        plans = [controls + size * spread * rng.standard_normal(controls.shape) for size in (1e-4, 1e-3, 1e-2)]
        rollouts = [simulate(self.plant, x0, plan) for plan in plans]
        rollouts.append(run_controller(self.problem, ClippedLqr(self.problem), x0).trajectory)
        for trajectory in rollouts:
            states, applied = trajectory.states, trajectory.controls
            bounds = (self.plant.state_lower, self.plant.state_upper)
            feasible = ((states[:, 1:] >= bounds[0]) & (states[:, 1:] <= bounds[1])).all(axis=(1, 2))
            assert (self.problem.cost(states, applied)[feasible] >= costs[feasible] * (1 - 1e-7)).all()

    def test_two_solvers_agree(self) -> None:
        found = agreement(self.problem, np.array([x for x, _ in self.solved()][:2]))
        assert found.largest_difference <= 1e-5

    def test_prompts_contain_the_problem_and_differ_only_in_the_state(self) -> None:
        for prompt_format in self.prompt_formats:
            x = np.round(self.states(1)[0], prompt_format.state_decimals)
            moved = x + np.eye(self.plant.n_x)[0] * 10.0**-prompt_format.state_decimals
            one, other = (messages(self.problem, state.tolist(), prompt_format) for state in (x, moved))
            assert one[:-1] == other[:-1]
            assert one[-1] != other[-1]
            text = " ".join(message["content"] for message in one)
            assert str(self.problem.steps) in text
            if prompt_format.template == "short":
                assert text.endswith(f"x={format_vector(x, prompt_format.state_decimals)}")
            if not self.plant.coefficients or prompt_format.template == "english":
                assert all(equation in text for equation in self.plant.equations)

    def test_answers_can_be_parsed(self) -> None:
        for prompt_format in self.prompt_formats:
            x, n_u = self.states(1)[0], self.plant.n_u
            moves = np.linspace(self.plant.control_lower, self.plant.control_upper, prompt_format.blocking.moves)
            text = compose_answer(self.problem, x, moves, np.full(n_u, -1.5), prompt_format)
            found = parse_answer(text, prompt_format.blocking.moves, n_u)
            assert isinstance(found, np.ndarray)
            np.testing.assert_allclose(found, moves, atol=0.51 * 10.0 ** -prompt_format.decimals_of(self.problem))

    def test_rewards_decrease_with_cost(self) -> None:
        prompt_format = PromptFormat(blocking=MoveBlocking.none(self.problem.steps), control_decimals=6)
        rule = RewardRule(prompt_format, horizon=0, tolerance=1e-3)
        for x, optimum in self.solved()[:3]:
            zero = np.zeros_like(optimum.controls)
            texts = [_answer(optimum.controls), _answer(0.7 * optimum.controls), _answer(zero), "nothing to read"]
            rewards = self._score(rule, texts, x, optimum)
            assert np.isfinite(rewards).all()
            assert rewards[0] >= rewards[:3].max() - 1e-2
            assert rewards[3] < rewards[:3].min()
            alone = np.concatenate([self._score(rule, [text], x, optimum) for text in texts])
            np.testing.assert_allclose(alone, rewards, rtol=1e-9)

    def _score(self, rule: RewardRule, texts: list[str], x: np.ndarray, optimum: Optimum) -> np.ndarray:
        count = len(texts)
        return rule.score(texts, [self.system] * count, [x.tolist()] * count, [optimum.cost] * count).reward


def _answer(moves: np.ndarray) -> str:
    return f"<CONTROLS>{format_moves(moves, 6)}</CONTROLS>"


@cache
def _solve(system: str) -> list[tuple[np.ndarray, Optimum]]:
    problem = problems.get(system)
    optimizer = TrajectoryOptimizer(problem)
    states = problem.initial_states(_STATES, "contract")
    return [(x, optimum) for x in states if (optimum := optimizer.solve(x)) is not None]
