"""Generate the rows of a recipe; the result is bit-identical for any number of processes.

Held-out trajectories are drawn first, at a distance from every state of the test suites. Training trajectories are then
drawn at a distance from both, so that no test state is trained on.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from jaxtyping import Float

from setpoint import problems
from setpoint.controllers.agreement import Agreement, agreement
from setpoint.demonstrations.assemble import assemble_rows
from setpoint.demonstrations.draw import Draw, Stream, draw_trajectory
from setpoint.demonstrations.recipe import ROWS_PER_TRAJECTORY, SPLITS, Recipe, Split
from setpoint.demonstrations.schema import Row
from setpoint.demonstrations.solve import StateSolver
from setpoint.problems import SUITES, MoveBlocking, suite_states
from setpoint.processes import OrderedMap, ordered_map

Progress = Callable[[int, int], None]
"""Called with the number of finished rows and the total."""

_PROTECTED_CASES = 1000
"""Number of leading states of every suite that no row may come near."""
_ROWS_PER_WORKER = 500
"""With fewer rows per process, starting another one costs more time than it saves."""
_CHUNK = 20
_COMPARED_STATES = 3
"""Initial states per system on which the two solvers are compared."""


@dataclass
class GeneratedRows:
    """The rows of a recipe, with sampling statistics.

    Attributes:
        rows: rows of each split, ordered by system and trajectory.
        draws, uncertified, too_close: per system: trajectories drawn, and draws rejected for either reason.
        agreement: per system: agreement of the two solvers on a few states.
    """

    rows: dict[Split, list[Row]] = field(default_factory=lambda: {split: [] for split in SPLITS})
    draws: dict[str, int] = field(default_factory=dict)
    uncertified: dict[str, int] = field(default_factory=dict)
    too_close: dict[str, int] = field(default_factory=dict)
    agreement: dict[str, Agreement] = field(default_factory=dict)


@dataclass(frozen=True)
class _Task:
    """Trajectories of one system for one process; `first` is the trajectory at index 0 of the stream."""

    system: str
    blocking: MoveBlocking
    trajectories: range
    stream: Stream
    first: int
    forbidden: Float[np.ndarray, "count n_x"]


def generate(recipe: Recipe, *, workers: int | None = None, progress: Progress | None = None) -> GeneratedRows:
    """Generate the rows of `recipe`; they do not depend on the number of `workers`.

    Raises:
        InputError: every draw of some trajectory was rejected.
    """
    found = GeneratedRows()
    done = 0
    with ordered_map(workers or _default_workers(recipe.total_samples)) as run_all:
        for system in recipe.systems:
            draws: list[Draw] = []
            for chunk in _draw_system(recipe, system, run_all):
                draws += chunk
                if progress is not None:
                    progress(min(done + ROWS_PER_TRAJECTORY * len(draws), recipe.total_samples), recipe.total_samples)
            _collect(found, recipe, system, draws, offset=done)
            done += recipe.rows_of(system)
    return found


def _draw_system(recipe: Recipe, system: str, run_all: OrderedMap) -> Iterator[list[Draw]]:
    """Yield the draws of one system in chunks: held-out trajectories first, then training trajectories."""
    problem = problems.get(system)
    splits = recipe.split_of(system)
    held_out = range(splits["validation"].start, splits["test"].stop)
    forbidden = [suite_states(problem, suite, _PROTECTED_CASES) for suite in SUITES]
    for draws in run_all(_draw_task, _tasks(recipe, system, held_out, "held-out demonstrations", forbidden)):
        forbidden += [np.stack([draw.initial.state, draw.visited.state]) for draw in draws]
        yield draws
    yield from run_all(_draw_task, _tasks(recipe, system, splits["train"], "demonstrations", forbidden))


def _tasks(
    recipe: Recipe, system: str, trajectories: range, stream: Stream, forbidden: list[np.ndarray]
) -> list[_Task]:
    all_forbidden = np.concatenate(forbidden)
    chunks = [trajectories[start : start + _CHUNK] for start in range(0, len(trajectories), _CHUNK)]
    return [_Task(system, recipe.blocking, chunk, stream, trajectories.start, all_forbidden) for chunk in chunks]


def _draw_task(task: _Task) -> list[Draw]:
    solver = _solver(task.system, task.blocking)
    return [
        draw_trajectory(solver, trajectory, task.forbidden, task.stream, trajectory - task.first)
        for trajectory in task.trajectories
    ]


@cache
def _solver(system: str, blocking: MoveBlocking) -> StateSolver:
    """Return the solver, built once per process."""
    return StateSolver(problems.get(system), blocking)


def _collect(found: GeneratedRows, recipe: Recipe, system: str, draws: list[Draw], offset: int) -> None:
    """Add the rows and counts of one system to `found`."""
    ordered = sorted(draws, key=lambda draw: draw.trajectory)
    rows = list(assemble_rows(recipe, system, ordered, offset))[: recipe.rows_of(system)]
    for split, trajectories in recipe.split_of(system).items():
        found.rows[split] += [row for row in rows if row.trajectory_id in trajectories]
    found.uncertified[system] = sum(draw.uncertified for draw in draws)
    found.too_close[system] = sum(draw.too_close for draw in draws)
    states = np.stack([draw.initial.state for draw in ordered[:_COMPARED_STATES]])
    found.agreement[system] = agreement(problems.get(system), states)
    found.draws[system] = len(draws) + found.uncertified[system] + found.too_close[system]


def _default_workers(rows: int) -> int:
    return max(1, min(os.cpu_count() or 1, rows // _ROWS_PER_WORKER))
