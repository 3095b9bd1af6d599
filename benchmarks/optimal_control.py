"""Time per certified sample, against IPOPT alone and against SLSQP of SciPy on the same problems, per plant.

    python benchmarks/optimal_control.py [--states 20] [--slsqp-states 1] [--workers 8]

All three run in this process, on the same states. Ours and IPOPT alone must certify the same points (KKT residual at
most 1e-8); both take all starts of plants with local minima. IPOPT alone begins on a straight line to the target; a
column of its own says what it takes from our first guess, the roll-out of the clipped regulator. Ours and both of IPOPT
take turns every ten states, so that a busy machine slows all of them, and each finds its own code in the processor's
caches, as it does where a data set is made. SLSQP gets the best formulation that it can
use without a model of the dynamics: single shooting in the controls on the same simulator, gradients by finite
differences in one batch, the same bounds. It has no certificate; a run of it counts when it keeps the bounds and its
cost is within 0.1 % of the optimum. It is slow, so it gets fewer states. Then the labels of a small data set are made
on one worker and on several, and their digests compared.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import process_time

import numpy as np

from setpoint import plants, problems
from setpoint.controllers.shooting import TrajectoryOptimizer
from setpoint.demonstrations import Recipe
from setpoint.demonstrations.generate import generate
from setpoint.fingerprint import digest
from setpoint.problems import Problem
from setpoint.simulation import simulate

SLSQP_TOLERANCE = 1e-3
SLSQP_ITERATIONS = 100
FEASIBLE = 1e-6
TURN = 10
"""States that one solver solves before the next has its turn."""
STEP = 1e-7


@dataclass(frozen=True)
class Timing:
    """CPU milliseconds per success, and the share of states that had one."""

    ms: float
    share: float

    @classmethod
    def of(cls, seconds: float, succeeded: int, tried: int) -> "Timing":
        return cls(1e3 * seconds / succeeded if succeeded else float("inf"), succeeded / tried)


def time_certified(optimizers: Sequence[TrajectoryOptimizer], states: np.ndarray) -> list[tuple[Timing, np.ndarray]]:
    """Solve every state with every optimizer in turn; the costs are NaN where nothing could be certified."""
    for optimizer in optimizers:
        for x in states:
            optimizer.solve(x)  # builds the solvers that these states need
    seconds, costs = np.zeros(len(optimizers)), np.full((len(optimizers), len(states)), np.nan)
    for first in range(0, len(states), TURN):
        turn = states[first : first + TURN]
        for index, optimizer in enumerate(optimizers):
            started = process_time()
            found = [optimizer.solve(x) for x in turn]
            seconds[index] += process_time() - started
            costs[index, first : first + TURN] = [np.nan if each is None else each.cost for each in found]
    return [
        (Timing.of(spent, int(np.isfinite(each).sum()), len(states)), each)
        for spent, each in zip(seconds.tolist(), costs, strict=True)
    ]


def time_slsqp(problem: Problem, states: np.ndarray, optima: np.ndarray) -> Timing:
    """Single shooting by `scipy.optimize.minimize`; inequality constraints keep the states within their bounds."""
    from scipy.optimize import minimize

    plant, shape = problem.plant, (problem.steps, problem.plant.n_u)
    count = int(np.prod(shape))
    bounds = [*zip(plant.control_lower, plant.control_upper, strict=True)] * problem.steps
    upper = np.tile(plant.control_upper, problem.steps)
    succeeded, started = 0, process_time()
    for x, optimum in zip(states, optima, strict=True):

        def outcome(u: np.ndarray, x: np.ndarray = x) -> np.ndarray:
            """Cost and margins to the bounds of the states, for a batch of plans."""
            plans = u.reshape(-1, *shape)
            trajectory = simulate(plant, np.tile(x, (len(plans), 1)), plans)
            reached = trajectory.states[:, 1:]
            margins = np.concatenate([reached - plant.state_lower, plant.state_upper - reached], axis=-1)
            costs = problem.cost(trajectory.states, trajectory.controls)
            return np.concatenate([costs[:, None], margins.reshape(len(plans), -1)], axis=1)

        def slopes(u: np.ndarray, of: Callable[[np.ndarray], np.ndarray] = outcome) -> np.ndarray:
            """Differences towards the inside of the bounds, all in one batch."""
            steps = np.where(u + STEP > upper, -STEP, STEP)
            values = of(np.concatenate([u[None], u + np.diag(steps)]))
            # SciPy 1.17 misreads gradients that are not contiguous in memory.
            return np.ascontiguousarray((values[1:] - values[0]).T / steps)

        found = minimize(
            lambda u, of=outcome: float(of(u)[0, 0]),
            np.zeros(count),
            jac=lambda u, of=slopes: of(u)[0],
            method="SLSQP",
            bounds=bounds,
            constraints={
                "type": "ineq",
                "fun": lambda u, of=outcome: of(u)[0, 1:],
                "jac": lambda u, of=slopes: of(u)[1:],
            },
            options={"maxiter": SLSQP_ITERATIONS, "ftol": 1e-9},
        )
        feasible = outcome(found.x)[0, 1:].min() >= -FEASIBLE
        succeeded += bool(feasible and found.fun <= optimum * (1 + SLSQP_TOLERANCE))
    return Timing.of(process_time() - started, succeeded, len(states))


def compare(problem: Problem, count: int, slsqp_count: int) -> tuple[float, float, tuple[str, ...]]:
    """IPOPT's time as a multiple of ours, the same from our guess, and the line of the table."""
    states = problem.initial_states(count, "benchmark")
    optimizers = (
        TrajectoryOptimizer(problem),
        TrajectoryOptimizer(problem, solvers=("ipopt",), regulated=False),
        TrajectoryOptimizer(problem, solvers=("ipopt",)),
    )
    (ours, costs), (ipopt, other), (guided, _) = time_certified(optimizers, states)
    agree = np.nanmax(np.abs(costs - other) / np.maximum(costs, 1e-12))
    known = np.isfinite(costs)
    slsqp = time_slsqp(problem, states[known][:slsqp_count], costs[known][:slsqp_count]) if slsqp_count else None
    line = (
        f"{ours.ms:.2f}",
        f"{ours.share:.0%}",
        f"{ipopt.ms:.2f}",
        f"{ipopt.share:.0%}",
        f"{ipopt.ms / ours.ms:.2f}",
        f"{guided.ms / ours.ms:.2f}",
        "–" if slsqp is None else f"{slsqp.ms / ours.ms:.0f}" if np.isfinite(slsqp.ms) else "none succeeded",
        "–" if slsqp is None else f"{slsqp.share:.0%}",
        f"{agree:.0e}",
    )
    return ipopt.ms / ours.ms, guided.ms / ours.ms, line


def compare_labels(workers: int) -> None:
    """Make the same rows on one worker and on several."""
    recipe = Recipe(("cw_rendezvous", "detumble"), 80)
    one, many = (
        digest([repr(row) for rows in generate(recipe, workers=n).rows.values() for row in rows]) for n in (1, workers)
    )
    print(f"labels on 1 worker {one}, on {workers} workers {many}: {'the same' if one == many else 'DIFFERENT'}")


def main() -> int:
    """Print the table, the medians, and the comparison of labels."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--states", type=int, default=20, help="per plant, for ours and IPOPT (default 20)")
    parser.add_argument("--slsqp-states", type=int, default=1, help="per plant, for SLSQP (default 1; 0: leave it out)")
    parser.add_argument("--systems", default=",".join(plants.names()), help="comma-separated (default: all)")
    parser.add_argument("--workers", type=int, default=8, help="of the second set of labels (default 8)")
    arguments = parser.parse_args()
    header = (
        "ours ms",
        "certified",
        "IPOPT ms",
        "certified",
        "IPOPT/ours",
        "same guess",
        "SLSQP/ours",
        "succeeds",
        "agree",
    )
    ratios: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    print(f"{'plant':<25}" + "".join(f"{cell:>15}" for cell in header))
    for name in arguments.systems.split(","):
        problem = problems.get(name)
        alone, guided, line = compare(problem, arguments.states, arguments.slsqp_states)
        ratios[problem.starts == 1].append((alone, guided))
        label = problem.name if problem.starts == 1 else f"{problem.name} ({problem.starts} starts)"
        print(f"{label:<25}" + "".join(f"{cell:>15}" for cell in line), flush=True)
    for one_minimum, label in ((True, "one minimum"), (False, "several starts")):
        if ratios[one_minimum]:
            alone, guided = np.median(ratios[one_minimum], axis=0)
            print(f"median IPOPT/ours over the plants with {label}: {alone:.2f}, from the same guess {guided:.2f}")
    compare_labels(arguments.workers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
