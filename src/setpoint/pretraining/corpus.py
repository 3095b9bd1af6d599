"""Pre-training corpus of the built-in base: prompts of random plants, with locally optimal moves as answers.

Rows are generated in chunks of plants. Chunk i depends only on the seed and i, so the corpus does not depend on the
number of workers. All rows of a plant follow each other; their prompts differ only in the state.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float

from setpoint.language import PromptFormat, compose_answer, short_prompt
from setpoint.pretraining import families
from setpoint.pretraining.labels import Labels, Problems, gains, solve
from setpoint.pretraining.random_plants import RandomPlant, draw_chains, draw_second_order, drawn_plant, stacked
from setpoint.problems import STATE_DECIMALS, Problem
from setpoint.processes import ordered_map
from setpoint.seeding import generator

PLANT_NAME = "generic"
PLANTS_PER_CHUNK = 250
STEPS = 50
_SECOND_ORDER_SHARE = 0.4
_FRESH_STATES = 4
"""Initial states per plant."""
_VISITED_STATES = 4
"""States near the optimal trajectories from there, per plant."""
_NEAR_TARGET_SHARE = 0.3
_TIGHT_SHARE = 0.35
"""Share of plants whose state bounds cut the optimal trajectories."""
_MARGIN = 0.995
_REACHED = 0.3
"""A suitable optimum ends within this distance of the target, relative to the half-width."""
_FINE_ENOUGH = 0.2
"""Smallest bound of a control with two decimals; below, rounding costs more than 0.1 % of regret."""
_LARGEST_CONTROL = 25.0
_ONE_DIGIT = 9.995
"""Answers with larger moves are left out: they take more tokens."""


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
    """A prompt with its answer, and the number of its plant within the chunk."""

    prompt: str
    answer: str
    plant: int


@dataclass(frozen=True)
class _Group:
    """Plants of equal size with their problems.

    Attributes:
        numbers: their numbers within the chunk.
        gains: of the unconstrained regulator.
        x_bound: state bounds that prompts state; labels keep half a percent away from those that are active.
    """

    plants: list[RandomPlant]
    numbers: list[int]
    problems: Problems
    gains: Float[np.ndarray, "B n_u n_x"]
    x_bound: Float[np.ndarray, "B n_x"]

    @property
    def half_width(self) -> Float[np.ndarray, "B n_x"]:
        return np.array([plant.half_width for plant in self.plants])


@dataclass(frozen=True)
class _Solved:
    """Solved states: number of the plant in its group, (R,), and its labels."""

    plant: np.ndarray
    labels: Labels

    def keep(self, rows: np.ndarray) -> "_Solved":
        parts = (getattr(self.labels, name)[rows] for name in ("moves", "states", "solved"))
        return _Solved(self.plant[rows], Labels(*parts))


def generate_corpus(seed: int, chunks: range, workers: int = 1) -> Iterator[tuple[list[TextRow], CorpusLog]]:
    """Yield the rows and the log of each chunk in `chunks`, in order."""
    jobs = [(seed, index) for index in chunks]
    with ordered_map(workers) as run_all:
        yield from run_all(_chunk, jobs)


def _chunk(job: tuple[int, int]) -> tuple[list[TextRow], CorpusLog]:
    seed, index = job
    rng, log = generator(seed, "base corpus", index), CorpusLog()
    plants = _draw_plants(rng, log)
    rows: list[TextRow] = []
    for shape in sorted({plant.shape for plant in plants}):
        numbers = [number for number, plant in enumerate(plants) if plant.shape == shape]
        rows += _rows_of(_group([plants[number] for number in numbers], numbers, rng), rng, log)
    log.rows = len(rows)
    order = rng.permutation(len(plants))
    place = {int(plant): position for position, plant in enumerate(order)}
    return sorted(rows, key=lambda row: place[row.plant]), log


def _draw_plants(rng: np.random.Generator, log: CorpusLog) -> list[RandomPlant]:
    found = list[RandomPlant]()
    while len(found) < PLANTS_PER_CHUNK:
        drawn = draw_second_order(rng) if rng.random() < _SECOND_ORDER_SHARE else draw_chains(rng)
        distances = families.distances(drawn)
        close = [name for name, value in distances.items() if value <= families.EXCLUSION]
        if close:
            log.merge(CorpusLog(rejected_near_named=dict.fromkeys(close, 1)))
        else:
            log.merge(CorpusLog(plants=1, nearest_to_named=distances))
            found.append(drawn)
    return found


def _group(plants: list[RandomPlant], numbers: list[int], rng: np.random.Generator) -> _Group:
    """Draw weights and control bounds; a bound lies around what the unconstrained regulator asks for."""
    count, (n_x, n_u) = len(plants), plants[0].shape
    simple = np.array([bool(plant.coefficients) for plant in plants])
    q = rng.choice([1.0, 10.0], size=(count, n_x), p=[0.4, 0.6])
    q[:, 0] = 10.0
    r = np.repeat(rng.choice([0.01, 0.1, 1.0], size=(count, 1), p=[0.1, 0.7, 0.2]), n_u, axis=1)
    r[simple] = 0.1
    free = Problems(
        stacked(plants),
        q,
        r,
        rng.choice([10.0, 50.0, 100.0], size=count, p=[0.5, 0.3, 0.2]),
        np.full((count, n_u), np.inf),
        np.full((count, n_x), np.inf),
    )
    gain = gains(free, STEPS)
    half_width = np.array([plant.half_width for plant in plants])
    asked = np.abs(gain) @ half_width[:, :, None]
    wanted = 0.6 * asked[:, :, 0] * 10 ** rng.uniform(-0.6, 0.3, (count, n_u))
    if n_u > 1:  # half of the plants have equal actuators
        equal = rng.random(count) < 0.5
        wanted[equal] = wanted[equal].mean(axis=1, keepdims=True)
    bound = np.array([[float(f"{value:.2g}") for value in row] for row in np.clip(wanted, 0.03, _LARGEST_CONTROL)])
    return _Group(plants, numbers, replace(free, u_bound=bound), gain, free.x_bound)


def _rows_of(group: _Group, rng: np.random.Generator, log: CorpusLog) -> list[TextRow]:
    half_width = group.half_width
    plants = np.repeat(np.arange(len(group.plants)), _FRESH_STATES)
    unit = rng.uniform(-1, 1, (len(plants), half_width.shape[1]))
    near = rng.random(len(plants)) < _NEAR_TARGET_SHARE
    unit[near] *= 10 ** -rng.uniform(0, 2, (int(near.sum()), 1))
    fresh = _solve(group, plants, unit * half_width[plants], log)
    group, tight = _with_state_bounds(group, fresh, rng)
    again = tight[fresh.plant]
    fresh = _joined(fresh.keep(~again), _solve(group, fresh.plant[again], fresh.labels.states[again, 0], log))
    if not len(fresh.plant):
        return []
    share = min(1.0, len(group.plants) * _VISITED_STATES / len(fresh.plant))
    seen = np.flatnonzero(rng.random(len(fresh.plant)) < share)
    visited = _solve(group, fresh.plant[seen], _visited(group, fresh.keep(seen), rng), log)
    return _as_text(group, _joined(fresh, visited), rng)


def _solve(group: _Group, plants: np.ndarray, states: np.ndarray, log: CorpusLog) -> _Solved:
    """Return the solved and suitable ones of these states."""
    if not len(plants):
        return _Solved(plants, _no_labels(group))
    x0 = np.round(states, STATE_DECIMALS) + 0.0
    found = _Solved(plants, solve(group.problems.take(plants), x0, PromptFormat().blocking))
    log.rejected_unsolved += int((~found.labels.solved).sum())
    found = found.keep(np.flatnonzero(found.labels.solved))
    limit = np.maximum(_REACHED * group.half_width[found.plant], _REACHED * np.abs(found.labels.states[:, 0]))
    reached = (np.abs(found.labels.states[:, -1]) <= limit).all(axis=1)
    inside = (np.abs(found.labels.states) <= 12 * group.half_width[found.plant][:, None]).all(axis=(1, 2))
    log.rejected_unsuitable += int((~(reached & inside)).sum())
    return found.keep(np.flatnonzero(reached & inside))


def _no_labels(group: _Group) -> Labels:
    n_x, n_u = group.plants[0].shape
    return Labels(np.empty((0, PromptFormat().blocking.moves, n_u)), np.empty((0, STEPS + 1, n_x)), np.empty(0, bool))


def _joined(one: _Solved, other: _Solved) -> _Solved:
    parts = [
        np.concatenate([getattr(one.labels, name), getattr(other.labels, name)])
        for name in ("moves", "states", "solved")
    ]
    return _Solved(np.concatenate([one.plant, other.plant]), Labels(*parts))


def _with_state_bounds(group: _Group, fresh: _Solved, rng: np.random.Generator) -> tuple[_Group, np.ndarray]:
    """Draw state bounds: beyond the largest excursion, or inside it for some plants; also return which these are."""
    half_width = group.half_width
    extent = half_width.copy()
    np.maximum.at(extent, fresh.plant, np.abs(fresh.labels.states).max(axis=1))
    wide = extent * rng.uniform(1.05, 2.0, extent.shape)
    cut = np.maximum(half_width * 1.02, extent * rng.uniform(0.5, 1.1, extent.shape))
    tight = rng.random(len(group.plants)) < _TIGHT_SHARE
    drawn = np.where(tight[:, None], cut, wide)
    bound = np.array([[_ceiling(value) for value in row] for row in drawn])
    kept = bound * np.where(tight, _MARGIN, 1.0)[:, None]
    return replace(group, problems=replace(group.problems, x_bound=kept), x_bound=bound), tight


def _ceiling(value: float) -> float:
    """Round up to two significant digits."""
    step = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.ceil(value / step) * step:.2g}")


def _visited(group: _Group, found: _Solved, rng: np.random.Generator) -> np.ndarray:
    spread = 0.1 * group.half_width[found.plant] * 10 ** -rng.uniform(0, 2, (len(found.plant), 1))
    node = rng.integers(1, 40, len(found.plant))
    return np.asarray(found.labels.states[np.arange(len(node)), node] + spread * rng.normal(size=spread.shape))


def _as_text(group: _Group, solved: _Solved, rng: np.random.Generator) -> list[TextRow]:
    """Return prompts and answers, all rows of a plant in a random order."""
    rows: list[TextRow] = []
    for k in range(len(group.plants)):
        mine = rng.permutation(np.flatnonzero(solved.plant == k))
        if not len(mine):
            continue
        problem = _problem(group, k, rng)
        prompt_format = replace(PromptFormat(), control_decimals=_decimals(group.problems.u_bound[k]))
        shift = np.array(problem.target)
        for row in mine:
            if np.abs(solved.labels.moves[row]).max() >= _ONE_DIGIT:
                continue
            x = np.round(solved.labels.states[row, 0] + shift, STATE_DECIMALS) + 0.0
            feedback = -group.gains[k] @ solved.labels.states[row, 0]
            prompt = short_prompt(problem, x.tolist(), prompt_format, plant_name=PLANT_NAME)
            answer = compose_answer(problem, x, solved.labels.moves[row], feedback, prompt_format)
            rows.append(TextRow(prompt, answer, group.numbers[k]))
    return rows


def _decimals(u_bound: Float[np.ndarray, " n_u"]) -> int:
    """Return two decimals, or four where 0.01 is a large part of a bound, since digits are read in pairs."""
    return 2 if u_bound.min() >= _FINE_ENOUGH else 4


def _problem(group: _Group, k: int, rng: np.random.Generator) -> Problem:
    """Return the problem of a plant, with a target away from the origin for some states that the dynamics ignore."""
    plant, given = group.plants[k], group.problems
    used: Bool[np.ndarray, " n_x"] = np.asarray(plant.a.any(axis=0))
    for product in plant.products:
        used[[index for kind, index in product.factors if kind != "u"]] = True
    movable = ~used & (rng.random(len(used)) < 0.4)
    target = np.where(movable, np.round(rng.uniform(-1, 1, len(used)) * 2, 1), 0.0)
    bound = group.x_bound[k]
    return Problem(
        plant=drawn_plant(plant, PLANT_NAME, given.u_bound[k], target - bound, target + bound),
        steps=STEPS,
        q=tuple(given.q[k].tolist()),
        r=tuple(given.r[k].tolist()),
        terminal_weight=float(given.terminal[k]),
        target=tuple(target.tolist()),
        half_width=tuple(plant.half_width.tolist()),
    )
