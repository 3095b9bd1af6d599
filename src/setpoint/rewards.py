"""The reward of GRPO: what an answer would do to the plant, from the problem data of its row, never from prompt text.

For a horizon of H steps out of N,

    r = (cost of the first H applied steps + (x_H − x*)' P_H (x_H − x*)) / J* − 1,

with P_H the Riccati cost to go from step H; for the whole horizon r is the regret J/J* − 1. The reward is
−log(tolerance + max(r, 0)) between wide clamps, less a penalty where a bound was violated; text that cannot be read
ranks last. The logarithm keeps a gradient among bad answers. What is added to all rewards does nothing, for advantages
are relative to the group.

Not covered: P_H knows neither bounds nor nonlinearity, so that near the optimum answers are told apart only to about
5e-4 of J* at H = 5 on the registered plants. `tolerance` should not be below that. Far from the target of a plant with
local optima (a swing-up) P_H means nothing; score the whole horizon there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from jaxtyping import Bool, Float

from setpoint import problems
from setpoint.controllers import solve_riccati
from setpoint.language import Dialect, ParseFailure, parse_answer
from setpoint.metrics import VIOLATION_TOLERANCE, normalised_error, regret, violations
from setpoint.problems import Problem
from setpoint.simulation import simulate
from setpoint.trajectory import Trajectory

LOWEST_COST_REWARD = -8.0
"""A regret of about 3000 and more is not told apart."""
VIOLATION_PENALTY = 0.5
UNREADABLE_REWARD = LOWEST_COST_REWARD - 2 * VIOLATION_PENALTY
"""Below every answer that can be read."""


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
        dialect: what answers look like.
        horizon: H; 0 scores the whole answer.
        tolerance: regret below this is not told apart.
        cut_off: whether answers end after the moves that cover the horizon.
    """

    dialect: Dialect
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
        blocking = self.dialect.blocking
        wanted = blocking.moves_covering(self._steps(problem)) if self.cut_off else blocking.moves
        moves = parse_answer(
            text,
            wanted,
            problem.plant.n_u,
            complete=wanted == blocking.moves,
            decimals=self.dialect.control_decimals,
        )
        return None if isinstance(moves, ParseFailure) else moves

    def _score_readable(self, problem: Problem, moves: np.ndarray, x0: np.ndarray, optimal_cost: np.ndarray) -> Scores:
        steps = self._steps(problem)
        trajectory = simulate(problem.plant, x0, self.dialect.blocking.expand(moves)[:, :steps])
        excess = np.maximum(regret(_cost_with_tail(problem, trajectory), optimal_cost), 0.0)
        cost = np.maximum(-np.log(self.tolerance + excess), LOWEST_COST_REWARD)
        violated = (violations(problem, trajectory) > VIOLATION_TOLERANCE).any(axis=-1).astype(float)
        log_error = np.log(normalised_error(problem, trajectory) + self.tolerance)
        return Scores(cost - VIOLATION_PENALTY * violated, cost, log_error, violated, np.ones(len(x0), dtype=bool))


def _cost_with_tail(problem: Problem, trajectory: Trajectory) -> Float[np.ndarray, " B"]:
    """The cost of the simulated steps plus the value of the state they lead to (J itself for the whole horizon)."""
    steps = trajectory.controls.shape[1]
    if steps == problem.steps:
        return problem.cost(trajectory.states, trajectory.controls)
    error = trajectory.states[:, -1] - np.array(problem.target)
    tail = np.einsum("bi,ij,bj->b", error, _cost_to_go(problem)[steps], error)
    return np.asarray(problem.running_cost(trajectory.states, trajectory.controls) + tail)


@cache
def _cost_to_go(problem: Problem) -> Float[np.ndarray, "nodes n_x n_x"]:
    return solve_riccati(problem).values
