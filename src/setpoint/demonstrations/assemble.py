"""Build dataset rows from solved states: expert moves, their simulated cost and the LQR feedback, in batches."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
from jaxtyping import Float

from setpoint import problems
from setpoint.controllers import DetunedLqr, solve_riccati
from setpoint.demonstrations.draw import Draw
from setpoint.demonstrations.recipe import ROWS_PER_TRAJECTORY, Recipe
from setpoint.demonstrations.schema import KINDS, Row
from setpoint.demonstrations.solve import Solution
from setpoint.problems import Problem
from setpoint.simulation import simulate


def assemble_rows(recipe: Recipe, system: str, draws: Sequence[Draw], first_id: int) -> Iterator[Row]:
    """Yield two rows per draw, in the order of `draws`; row ids start at `first_id`, ordered by trajectory and kind."""
    problem = problems.get(system)
    solutions = [solution for draw in draws for solution in (draw.initial, draw.visited)]
    states = np.array([solution.state for solution in solutions])
    controls = _expert_controls(recipe, problem, states, solutions)
    moves = _expert_moves(recipe, controls, solutions)
    trajectory = simulate(problem.plant, states, recipe.blocking.expand(moves))
    costs = problem.cost(trajectory.states, trajectory.controls)
    # Unconstrained LQR about the target, u = -K(x - x_target), with the gain of the first step.
    feedback = -(states - np.array(problem.target)) @ solve_riccati(problem).gains[0].T
    for index, solution in enumerate(solutions):
        trajectory_id = draws[index // ROWS_PER_TRAJECTORY].trajectory
        kind = index % ROWS_PER_TRAJECTORY
        yield Row(
            row_id=first_id + ROWS_PER_TRAJECTORY * trajectory_id + kind,
            system=system,
            kind=KINDS[kind],
            trajectory_id=trajectory_id,
            state=tuple(states[index].tolist()),
            moves=tuple(tuple(move) for move in moves[index].tolist()),
            controls=tuple(tuple(control) for control in controls[index].tolist()),
            feedback=tuple(feedback[index].tolist()),
            cost=float(costs[index]),
            optimal_cost=solution.optimum.cost,
            expert=recipe.expert,
            **asdict(solution.certificate),
        )


def _expert_controls(
    recipe: Recipe, problem: Problem, states: Float[np.ndarray, "R n_x"], solutions: Sequence[Solution]
) -> Float[np.ndarray, "R N n_u"]:
    if recipe.expert == "detuned":
        return DetunedLqr(problem).plan(0.0, states, problem.steps).controls
    return np.array([solution.optimum.controls for solution in solutions])


def _expert_moves(
    recipe: Recipe, controls: Float[np.ndarray, "R N n_u"], solutions: Sequence[Solution]
) -> Float[np.ndarray, "R M n_u"]:
    if recipe.expert == "detuned":
        return recipe.blocking.average(controls)
    return np.array([solution.blocked.moves for solution in solutions])
