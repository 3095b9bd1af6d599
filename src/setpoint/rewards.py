"""The reward of GRPO, from a simulation of the answer with the problem data of its row, never from the prompt text.

For a reward horizon of H out of N steps,

    r = (cost of the first H applied steps + cost of the remaining steps) / J* − 1.

The remaining steps are simulated under several LQRs, clipped to the control bounds, and the lowest cost counts. For the
whole horizon, r is the regret J/J* − 1. The reward is −log(tolerance + max(r, 0) + v) with a lower limit, minus a fixed
penalty if a bound was violated. In that case v is the largest violation, as a share of half the bound's range, so that
larger violations cost more and never pay off. Answers that cannot be parsed rank last. The logarithm keeps a learning
signal among bad answers. A constant added to all rewards has no effect, because advantages are relative to the group.

The LQRs differ in their control weight: one that saturates far from the target may diverge where a less aggressive one
converges. The cost-to-go of the linearisation, x' P x, is not usable: it ignores the bounds, and under saturation it is
so far below J* that bad answers score as well as good ones.

Limitations: no LQR is optimal, and it may violate state bounds after step H. Near the optimum, rewards therefore
resolve only about 5e-4 of J* at H = 5 on most registered plants, and a few percent with tight state bounds. Do not set
`tolerance` below the former. Where every LQR fails, as in a swing-up from far away, its cost carries little
information; score the whole horizon there.

Source of group-relative advantages: Shao et al., DeepSeekMath, arXiv:2402.03300, 2024.
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
"""Lower limit of the cost term: regrets above about e^8 ≈ 3000 are not distinguished."""
VIOLATION_PENALTY = 0.5
UNREADABLE_REWARD = LOWEST_COST_REWARD - 2 * VIOLATION_PENALTY
"""Lower than the reward of any answer that can be parsed."""
_CONTROL_WEIGHTS = (1.0, 10.0, 100.0, 1000.0)
"""Control weights of the LQRs for the remaining steps, as multiples of R."""


@dataclass(frozen=True)
class Scores:
    """Rewards of a batch and their parts. The parts of an unparsable completion are NaN.

    Attributes:
        reward: the quantity to maximise; always finite, (B,).
        cost: −log(tolerance + max(r, 0)) with a lower limit, (B,).
        log_error: log of the normalised error after the scored steps plus the tolerance, (B,).
        violation: 1 where a bound was violated, (B,).
        readable: whether the answer could be parsed, (B,).
    """

    reward: Float[np.ndarray, " B"]
    cost: Float[np.ndarray, " B"]
    log_error: Float[np.ndarray, " B"]
    violation: Float[np.ndarray, " B"]
    readable: Bool[np.ndarray, " B"]

    @classmethod
    def unreadable(cls, count: int) -> "Scores":
        """Return the scores of `count` unparsable completions."""
        cost, log_error, violation = np.full((3, count), np.nan)
        return cls(np.full(count, UNREADABLE_REWARD), cost, log_error, violation, np.zeros(count, dtype=bool))

    def put(self, index: Sequence[int], part: "Scores") -> None:
        """Set the scores of the completions at `index`."""
        for field in fields(self):
            getattr(self, field.name)[list(index)] = getattr(part, field.name)


@dataclass(frozen=True)
class RewardRule:
    """How completions are scored.

    Attributes:
        prompt_format: format of the answers.
        horizon: H, at most the steps that an answer covers; 0 scores the whole answer.
        tolerance: regret resolution; smaller regrets are not distinguished.
        cut_off: whether answers are truncated after the moves that cover the horizon.
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
        """Score B completions; row i controls `systems[i]` from `states[i]`, with optimal cost `optimal_costs[i]`."""
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
        return min(self.horizon or problem.steps, problem.steps, self.prompt_format.blocking.steps)

    def _read(self, text: str, problem: Problem) -> Float[np.ndarray, "M n_u"] | None:
        blocking = self.prompt_format.blocking
        wanted = blocking.moves_covering(self._steps(problem)) if self.cut_off else blocking.moves
        moves = parse_answer(
            text,
            wanted,
            problem.plant.n_u,
            complete=wanted == blocking.moves,
            decimals=self.prompt_format.decimals_of(problem),
            tagged=self.prompt_format.tagged,
        )
        return None if isinstance(moves, ParseFailure) else moves

    def _score_readable(self, problem: Problem, moves: np.ndarray, x0: np.ndarray, optimal_cost: np.ndarray) -> Scores:
        steps = self._steps(problem)
        trajectory = simulate(problem.plant, x0, self.prompt_format.blocking.expand(moves)[:, :steps])
        # The regret is negative where violating a bound pays; the clip removes that gain, and v makes it a loss.
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
    """Compute J of the simulated steps, completed by the best LQR (plain J for the whole horizon)."""
    steps = trajectory.controls.shape[1]
    if steps == problem.steps:
        return problem.cost(trajectory.states, trajectory.controls)
    # The running cost excludes the node after step H; it is the first node of the remainder and counted there.
    running = problem.running_cost(trajectory.states, trajectory.controls)
    return np.asarray(running + np.min([_rest(problem, each, trajectory) for each in _regulators(problem)], axis=0))


def _rest(problem: Problem, regulator: ClippedLqr, trajectory: Trajectory) -> Float[np.ndarray, " B"]:
    """Compute the cost of the remaining steps under `regulator`, with the terminal cost."""
    steps, x = trajectory.controls.shape[1], trajectory.states[:, -1]
    controls = regulator.plan(steps * problem.plant.dt_s, x, problem.steps - steps).controls
    rest = simulate(problem.plant, x, controls)
    return problem.cost(rest.states, rest.controls)


@cache
def _regulators(problem: Problem) -> tuple[ClippedLqr, ...]:
    return tuple(ClippedLqr(problem, weight) for weight in _CONTROL_WEIGHTS)
