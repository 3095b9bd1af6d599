"""The reward of GRPO: what an answer would do to the plant, from the problem data of its row, never from prompt text.

For a horizon of H steps out of N,

    r = (cost of the first H applied steps + cost of the steps that are left) / J* − 1,

where linear-quadratic regulators, clipped to the control bounds, try the steps that are left, and the least cost
counts; for the whole horizon r is the regret J/J* − 1. The reward is −log(tolerance + max(r, 0) + v) between wide
clamps, less a penalty where a bound was violated: v is then the largest violation, as a share of half the bound's
range, so that leaving the bounds costs more the further it goes, and does not pay by what it saves. Text that cannot be
read ranks last. The logarithm keeps a gradient among bad answers. What is added to all rewards does nothing, for
advantages are relative to the group.

The regulators differ in the weight of the controls: one that saturates from far away may run off where a more timid one
arrives. The cost to go of the linearisation, x' P x, would not do: it knows no bounds, and where controls saturate it
is so far below J* that bad answers score as well as good ones.

Not covered: no regulator is the optimum, and one may leave the state bounds after step H, so that near the optimum
answers are told apart only to about 5e-4 of J* at H = 5 on most of the registered plants, and to a few hundredths where
state bounds are tight. `tolerance` should not be below the former. Where regulators fail, as in a swing-up from far
away, their cost says little; score the whole horizon there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from jaxtyping import Bool, Float

from setpoint import problems
from setpoint.controllers import ClippedLqr
from setpoint.language import ParseFailure, PromptFormat, parse_answer
from setpoint.metrics import VIOLATION_TOLERANCE, normalised_error, regret, violations
from setpoint.problems import Problem
from setpoint.simulation import simulate
from setpoint.trajectory import Trajectory

LOWEST_COST_REWARD = -8.0
"""A regret of about 3000 and more is not told apart."""
VIOLATION_PENALTY = 0.5
UNREADABLE_REWARD = LOWEST_COST_REWARD - 2 * VIOLATION_PENALTY
"""Below every answer that can be read."""
_CONTROL_WEIGHTS = (1.0, 10.0, 100.0, 1000.0)
"""Of the regulators that take the steps that are left, as multiples of R."""


@dataclass(frozen=True)
class Scores:
    """Rewards of a batch and their parts. The parts of a completion that could not be read are NaN.

    Attributes:
        reward: what is maximised; always finite, (B,).
        cost: −log(tolerance + max(r, 0)), clamped, (B,).
        log_error: log of the normalised error after the scored steps plus the tolerance, (B,).
        violation: 1 where a bound was violated, (B,).
        readable: whether the answer could be read, (B,).
    """

    reward: Float[np.ndarray, " B"]
    cost: Float[np.ndarray, " B"]
    log_error: Float[np.ndarray, " B"]
    violation: Float[np.ndarray, " B"]
    readable: Bool[np.ndarray, " B"]

    @classmethod
    def unreadable(cls, count: int) -> "Scores":
        """The scores of `count` completions of which none could be read."""
        cost, log_error, violation = np.full((3, count), np.nan)
        return cls(np.full(count, UNREADABLE_REWARD), cost, log_error, violation, np.zeros(count, dtype=bool))

    def put(self, index: Sequence[int], part: "Scores") -> None:
        """Fill in the scores of the completions at `index`."""
        for field in fields(self):
            getattr(self, field.name)[list(index)] = getattr(part, field.name)


@dataclass(frozen=True)
class RewardRule:
    """How completions are scored.

    Attributes:
        prompt_format: what answers look like.
        horizon: H; 0 scores the whole answer.
        tolerance: regret below this is not told apart.
        cut_off: whether answers end after the moves that cover the horizon.
    """

    prompt_format: PromptFormat
    horizon: int
    tolerance: float
    cut_off: bool = False

    def score(
        self,
        completions: Sequence[str],
        systems: Sequence[str],
        states: Sequence[Sequence[float]],
        optimal_costs: Sequence[float],
    ) -> Scores:
        """Score B completions; row i was asked to control `systems[i]` from `states[i]`, which costs the optimum J*."""
        scores = Scores.unreadable(len(completions))
        for system in dict.fromkeys(systems):
            problem = problems.get(system)
            answers = {
                index: moves
                for index, name in enumerate(systems)
                if name == system and (moves := self._read(completions[index], problem)) is not None
            }
            if answers:
                rows = list(answers)
                x0 = np.array([states[row] for row in rows], dtype=float)
                optimal = np.array([optimal_costs[row] for row in rows], dtype=float)
                scores.put(rows, self._score_readable(problem, np.stack(list(answers.values())), x0, optimal))
        return scores

    def _steps(self, problem: Problem) -> int:
        return min(self.horizon, problem.steps) or problem.steps

    def _read(self, text: str, problem: Problem) -> Float[np.ndarray, "M n_u"] | None:
        blocking = self.prompt_format.blocking
        wanted = blocking.moves_covering(self._steps(problem)) if self.cut_off else blocking.moves
        moves = parse_answer(
            text,
            wanted,
            problem.plant.n_u,
            complete=wanted == blocking.moves,
            decimals=self.prompt_format.control_decimals,
        )
        return None if isinstance(moves, ParseFailure) else moves

    def _score_readable(self, problem: Problem, moves: np.ndarray, x0: np.ndarray, optimal_cost: np.ndarray) -> Scores:
        steps = self._steps(problem)
        trajectory = simulate(problem.plant, x0, self.prompt_format.blocking.expand(moves)[:, :steps])
        excess = np.maximum(regret(_cost_with_rest(problem, trajectory), optimal_cost), 0.0)
        worst = violations(problem, trajectory).max(axis=-1)
        violated = worst > VIOLATION_TOLERANCE
        penalised = self._log_reward(excess + np.where(violated, worst, 0.0)) - VIOLATION_PENALTY * violated
        log_error = np.log(normalised_error(problem, trajectory) + self.tolerance)
        readable = np.ones(len(x0), dtype=bool)
        return Scores(penalised, self._log_reward(excess), log_error, violated.astype(float), readable)

    def _log_reward(self, excess: Float[np.ndarray, " B"]) -> Float[np.ndarray, " B"]:
        return np.asarray(np.maximum(-np.log(self.tolerance + excess), LOWEST_COST_REWARD))


def _cost_with_rest(problem: Problem, trajectory: Trajectory) -> Float[np.ndarray, " B"]:
    """J of the simulated steps with those of the regulator after them (J itself for the whole horizon)."""
    steps = trajectory.controls.shape[1]
    if steps == problem.steps:
        return problem.cost(trajectory.states, trajectory.controls)
    running = problem.running_cost(trajectory.states, trajectory.controls)
    return np.asarray(running + np.min([_rest(problem, each, trajectory) for each in _regulators(problem)], axis=0))


def _rest(problem: Problem, regulator: ClippedLqr, trajectory: Trajectory) -> Float[np.ndarray, " B"]:
    """What it costs where `regulator` goes on after the simulated steps."""
    steps, x = trajectory.controls.shape[1], trajectory.states[:, -1]
    controls = regulator.plan(steps * problem.plant.dt_s, x, problem.steps - steps).controls
    rest = simulate(problem.plant, x, controls)
    return problem.cost(rest.states, rest.controls)


@cache
def _regulators(problem: Problem) -> tuple[ClippedLqr, ...]:
    return tuple(ClippedLqr(problem, weight) for weight in _CONTROL_WEIGHTS)
