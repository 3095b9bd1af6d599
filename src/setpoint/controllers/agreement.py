"""Compare the optima of two independent solvers: a check on demand, not part of every result."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from setpoint.controllers.shooting import TrajectoryOptimizer, solvers_for
from setpoint.problems import Problem


@dataclass(frozen=True)
class Agreement:
    """Agreement of the default solver (PIQP for convex problems, else fatrop) with IPOPT, each run alone.

    Attributes:
        states: number of states given to both.
        certified: solver name -> number of certified optima.
        compared: number of states that both certified.
        largest_difference: largest difference of the two costs, relative to the smaller one; 0 if none was compared.
    """

    states: int
    certified: dict[str, int]
    compared: int
    largest_difference: float


def agreement(problem: Problem, states: Float[np.ndarray, "B n_x"]) -> Agreement:
    """Solve the problem from `states` with each solver alone and compare the costs."""
    costs = {}
    for solver in (solvers_for(problem)[0], "ipopt"):
        optimizer = TrajectoryOptimizer(problem, solvers=(solver,))
        found = [optimizer.solve(x) for x in states]
        costs[solver] = np.array([np.nan if optimum is None else optimum.cost for optimum in found])
    one, other = costs.values()
    both = np.isfinite(one) & np.isfinite(other)
    difference = np.abs(one - other)[both] / np.maximum(np.minimum(one, other)[both], np.finfo(float).tiny)
    return Agreement(
        states=len(states),
        certified={solver: int(np.isfinite(cost).sum()) for solver, cost in costs.items()},
        compared=int(both.sum()),
        largest_difference=float(difference.max(initial=0.0)),
    )
