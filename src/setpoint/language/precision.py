"""Decimals that an answer needs, from the cost of rounding its moves."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from setpoint.controllers import solve_riccati
from setpoint.modes import CLOSED_LOOP_REPLANNING, EvaluationMode
from setpoint.plants import linearise
from setpoint.problems import Problem

ROUNDING_REGRET = 1e-3
"""Regret that rounding may cost."""
_MOST = 6


@cache
def sufficient_decimals(problem: Problem, blocks: tuple[int, ...]) -> int:
    """Return the fewest decimals with which rounding costs at most `ROUNDING_REGRET`, at least 1."""
    costs = (rounding_regret(problem, blocks, decimals) for decimals in range(1, _MOST))
    return next((decimals for decimals, cost in enumerate(costs, start=1) if cost <= ROUNDING_REGRET), _MOST)


def rounding_regret(problem: Problem, blocks: tuple[int, ...], decimals: int) -> float:
    """Return the regret of rounding every move of an optimal controller, with the largest possible errors.

    If the primary mode of the plant is open loop, a complete answer is rounded once; otherwise the controller
    replans in closed loop. The problem is linearised at the target, without bounds. There, an error e of a move
    adds e'He to the optimal cost, where H follows from the deviation that e causes until the next plan, and from
    the optimal cost-to-go after it. Errors are half a unit of the last decimal: near the target, those of
    successive plans agree. The optimal cost of a typical initial state is that of a uniform draw from the initial
    set.
    """
    values = solve_riccati(problem).values
    open_loop = problem.evaluation_mode is EvaluationMode.OPEN_LOOP and sum(blocks) >= problem.steps
    interval = problem.steps if open_loop else CLOSED_LOOP_REPLANNING
    linear = _Linear.of(problem, values[-1] if open_loop else values[0])
    starts = np.cumsum((0, *blocks[:-1])).tolist()
    per_plan = sum(
        linear.cost_of_error(min(length, interval - start), interval - start)
        for start, length in zip(starts, blocks, strict=True)
        if start < interval
    )
    squared_error = (0.5 * 10.0**-decimals) ** 2
    offset = problem.initial_centre - np.array(problem.target)
    spread = np.diag(np.array(problem.half_width) ** 2 / 3.0)
    typical = float(np.trace(values[0] @ spread) + offset @ values[0] @ offset)
    return problem.steps / interval * per_plan * squared_error / typical


@dataclass(frozen=True)
class _Linear:
    """The linearised problem, with the cost-to-go after a plan."""

    a: np.ndarray
    b: np.ndarray
    q: np.ndarray
    r: np.ndarray
    value: np.ndarray

    @classmethod
    def of(cls, problem: Problem, value: np.ndarray) -> "_Linear":
        a, b = linearise(problem.plant, np.array(problem.target), np.zeros(problem.plant.n_u))
        return cls(a, b, np.diag(problem.q), np.diag(problem.r), value)

    def cost_of_error(self, held: int, steps: int) -> float:
        """Return the trace of H for an error that is held for `held` of the `steps` steps until the next plan."""
        cost = held * self.r
        deviation = np.zeros_like(self.b)
        for step in range(steps):
            cost = cost + deviation.T @ self.q @ deviation
            deviation = self.a @ deviation + (self.b if step < held else 0.0)
        return float(np.trace(cost + deviation.T @ self.value @ deviation))
