"""Pre-training corpus of the built-in base: prompts of random plants, with certified optima as answers.

Rows are generated in chunks of plants. Chunk i depends only on the seed and i, so the corpus does not depend on the
number of workers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from setpoint.controllers import solve_riccati
from setpoint.language import PromptFormat, compose_answer, short_prompt
from setpoint.plants import TERMS, SecondOrder, Signal
from setpoint.pretraining import families
from setpoint.pretraining.families import DrawnPlant
from setpoint.problems import STATE_DECIMALS, Problem
from setpoint.processes import ordered_map
from setpoint.seeding import generator

PLANT_NAME = "generic"
PLANTS_PER_CHUNK = 250
_VISITED_SHARE = 0.5
_NEAR_TARGET_SHARE = 0.3
_STATE_LIMIT = 4.0
_REACHED = 0.15
"""A suitable optimum ends within this distance of the target, relative to the half-width."""


@dataclass
class CorpusLog:
    """Counts of drawn and rejected plants and states, merged over chunks and stored with the model."""

    plants: int = 0
    rejected_near_named: dict[str, int] = field(default_factory=dict)
    nearest_to_named: dict[str, float] = field(default_factory=dict)
    rejected_unsolved: int = 0
    rejected_unsuitable: int = 0
    rows: int = 0

    def merge(self, other: "CorpusLog") -> None:
        """Add the counts of `other`."""
        for name in ("plants", "rejected_unsolved", "rejected_unsuitable", "rows"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, count in other.rejected_near_named.items():
            self.rejected_near_named[name] = self.rejected_near_named.get(name, 0) + count
        for name, value in other.nearest_to_named.items():
            self.nearest_to_named[name] = min(self.nearest_to_named.get(name, np.inf), value)


@dataclass(frozen=True)
class TextRow:
    """A prompt with its answer."""

    prompt: str
    answer: str


def generate_corpus(seed: int, chunks: range, workers: int = 1) -> Iterator[tuple[list[TextRow], CorpusLog]]:
    """Yield the rows and the log of each chunk in `chunks`, in order."""
    jobs = [(seed, index) for index in chunks]
    with ordered_map(workers) as run_all:
        yield from run_all(_chunk, jobs)


def _chunk(job: tuple[int, int]) -> tuple[list[TextRow], CorpusLog]:
    seed, index = job
    rng, log = generator(seed, "base corpus", index), CorpusLog()
    plants = _draw_plants(rng, log)
    fresh = _solve_all(plants, [(k, _fresh_state(plant, rng)) for k, plant in enumerate(plants) for _ in range(2)], log)
    seen = [found for found in fresh if rng.random() < _VISITED_SHARE]
    visited = _solve_all(
        plants, [(found.plant, _visited_state(plants[found.plant], found, rng)) for found in seen], log
    )
    rows = [row for k, plant in enumerate(plants) for row in _as_text(plant, k, fresh + visited, rng)]
    log.rows = len(rows)
    return rows, log


def _draw_plants(rng: np.random.Generator, log: CorpusLog) -> list[DrawnPlant]:
    named, plants = families.named_coefficients(), list[DrawnPlant]()
    while len(plants) < PLANTS_PER_CHUNK:
        drawn = families.draw_plant(rng)
        distances = {name: families.distance(drawn.coefficients, other) for name, other in named.items()}
        close = [name for name, value in distances.items() if value <= families.EXCLUSION]
        if close:
            log.merge(CorpusLog(rejected_near_named=dict.fromkeys(close, 1)))
        else:
            log.merge(CorpusLog(plants=1, nearest_to_named=distances))
            plants.append(drawn)
    return plants


def _fresh_state(drawn: DrawnPlant, rng: np.random.Generator) -> np.ndarray:
    state = rng.uniform(-1, 1, 2) * drawn.half_width
    return state * 10 ** -rng.uniform(0, 2) if rng.random() < _NEAR_TARGET_SHARE else state


def _visited_state(drawn: DrawnPlant, found: "_SolvedPlant", rng: np.random.Generator) -> np.ndarray:
    spread = 0.03 * np.array(drawn.half_width) * 10 ** -rng.uniform(0, 2)
    return found.states[rng.integers(1, 30)] + spread * rng.normal(size=2)


@dataclass(frozen=True)
class _SolvedPlant:
    plant: int
    states: np.ndarray
    moves: np.ndarray


def _solve_all(plants: list[DrawnPlant], starts: list[tuple[int, np.ndarray]], log: CorpusLog) -> list[_SolvedPlant]:
    """Return the certified optima of all starts (plant index, state) for which a suitable one exists."""
    solved = []
    for k, state in starts:
        drawn, x0 = plants[k], np.round(state, STATE_DECIMALS)
        values = [*(drawn.coefficients[name] for name in TERMS), drawn.dt_s, drawn.velocity_weight]
        u_bound, x_bound = np.array([drawn.control_bound]), np.full(2, _STATE_LIMIT + 1)
        optimum = _optimizer().solve(x0, values, (-u_bound, u_bound), (-x_bound, x_bound))
        if optimum is None:
            log.rejected_unsolved += 1
        else:
            solved.append((k, x0, optimum))
    states = _simulate([plants[k] for k, _, _ in solved], solved)
    reached = np.abs(states[:, -1]) / np.array([plants[k].half_width for k, _, _ in solved])
    suitable = (np.abs(states).max(axis=(1, 2)) <= _STATE_LIMIT) & (reached.max(axis=1) <= _REACHED)
    log.rejected_unsuitable += int((~suitable).sum())
    return [
        _SolvedPlant(k, path, optimum.moves)
        for (k, _, optimum), path, good in zip(solved, states, suitable, strict=True)
        if good
    ]


def _simulate(drawn: list[DrawnPlant], solved: list[tuple[int, np.ndarray, Any]]) -> np.ndarray:
    """Simulate all optima in one batch; the plant coefficients are arrays over the batch."""
    coefficients = {name: np.array([plant.coefficients[name] for plant in drawn]) for name in TERMS}
    plant = SecondOrder(**coefficients, dt_s=np.array([plant.dt_s for plant in drawn]))
    states = [np.array([x0 for _, x0, _ in solved])]
    controls = np.array([optimum.controls for _, _, optimum in solved])
    for step in range(families.STEPS):
        states.append(plant.step(0.0, states[-1], controls[:, step]))
    return np.stack(states, axis=1)


@cache
def _optimizer() -> Any:
    """Return a parametric optimizer for the whole family; only processes that solve import CasADi."""
    from setpoint.controllers.shooting import TrajectoryOptimizer, symbols

    parameters = symbols((*TERMS, "dt_s", "velocity_weight"))
    plant = SecondOrder(**{name: symbol for name, symbol in parameters.items() if name != "velocity_weight"})
    problem = _problem(plant, parameters["velocity_weight"], (1.0, 1.0))
    return TrajectoryOptimizer(
        problem, PromptFormat().blocking, list(parameters.values()), solvers=("fatrop",), max_iterations=40
    )


def _problem(plant: SecondOrder, velocity_weight: Any, half_width: tuple[float, float]) -> Problem:
    return Problem(
        plant=plant,
        steps=families.STEPS,
        q=(families.POSITION_WEIGHT, velocity_weight),
        r=(families.CONTROL_WEIGHT,),
        terminal_weight=families.TERMINAL_WEIGHT,
        target=(0.0, 0.0),
        half_width=half_width,
    )


def _as_text(drawn: DrawnPlant, index: int, solved: list[_SolvedPlant], rng: np.random.Generator) -> list[TextRow]:
    """Return prompt and answer for every optimum of plant `index`, with state bounds inactive in all of them."""
    mine = [found for found in solved if found.plant == index]
    if not mine:
        return []
    # State bounds are drawn after solving: 5 to 100 % beyond the largest excursion, so that none is active.
    extent = np.max([np.abs(found.states).max(axis=0) for found in mine], axis=0)
    bounds = np.ceil(10 * extent * rng.uniform(1.05, 2.0)) / 10
    problem, prompt_format = _problem(_bounded(drawn, bounds), drawn.velocity_weight, drawn.half_width), PromptFormat()
    gain = solve_riccati(problem).gains[0]
    return [
        TextRow(
            prompt=short_prompt(problem, found.states[0], prompt_format, plant_name=PLANT_NAME),
            answer=compose_answer(problem, found.states[0], found.moves, -gain @ found.states[0], prompt_format),
        )
        for found in mine
    ]


def _bounded(drawn: DrawnPlant, state_bounds: np.ndarray) -> SecondOrder:
    """Return the plant with the bounds stated in its prompt."""

    position, velocity = (
        Signal(signal.name, signal.unit, -float(bound), float(bound))
        for signal, bound in zip(SecondOrder.states, state_bounds, strict=True)
    )

    class Bounded(SecondOrder):
        states = (position, velocity)
        controls = (Signal("input", "1", -drawn.control_bound, drawn.control_bound),)

    return Bounded(**drawn.coefficients, dt_s=drawn.dt_s)
