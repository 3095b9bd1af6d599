"""Trajectories: best, median and worst on shared axes with bounds and target; and those of any simulation."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from setpoint import plants, problems
from setpoint.analysis.data.experiment import RunResult
from setpoint.episodes import TRAJECTORIES, EpisodeTrajectory, read_trajectories
from setpoint.errors import InputError
from setpoint.plants import Plant, Signal
from setpoint.reports.content import PLACES, RankedSystem, Report, run_at
from setpoint.reports.figures.scores import rounded
from setpoint.reports.figures.spec import CONTAINER, GREY, RED, Figure, Row, Spec, colours_of, number_axis, rule_at, tip
from setpoint.reports.modes import mode_text
from setpoint.trajectory import Trajectory

OPTIMUM = "optimal control"
MOST_EPISODES = 8
POINTS = 120
PANEL_HEIGHT = 110
RESERVE = 75
REACH = 3.0
"""A bound is drawn if the axis then spans at most this multiple of the range of the trajectories."""


@dataclass(frozen=True)
class Course:
    """States and controls of one episode over time, with the name of its line.

    Attributes:
        states: (S + 1, n_x).
        controls: (S, n_u).
    """

    name: str
    dt_s: float
    states: np.ndarray
    controls: np.ndarray

    @classmethod
    def of(cls, name: str, episode: EpisodeTrajectory) -> "Course":
        """Return a stored episode under another name."""
        return cls(name, episode.dt_s, np.array(episode.states), np.array(episode.controls))


def trajectories(report: Report, ranked: RankedSystem) -> list[Figure]:
    """Draw the best, the median and the worst configuration against optimal control, one figure per mode."""
    if ranked.system not in plants.names():
        return []
    data, system = report.data, ranked.system
    found = [(place, run) for place in PLACES if (run := run_at(report, ranked, place)) is not None]
    distinct = {run.name: (place, run) for place, run in reversed(found)}
    chosen = [distinct[name] for name in reversed(list(distinct))]
    episodes = {place: _episodes(report, "evaluate", run.evaluation(system), "llm", system) for place, run in chosen}
    reference = data.plan.shared.reference.get(system)
    optimal = [] if reference is None else _episodes(report, "reference", reference, "optimum", system)
    primary = data.analysis.mode(system).episodes
    modes = dict.fromkeys(each.mode for of_place in episodes.values() for each in of_place)
    figures = []
    for mode in sorted(modes, key=lambda name: name != primary):
        case = min(e.case_id for of_place in episodes.values() for e in of_place if e.mode == mode)
        shown = [(p, e) for p, of_place in episodes.items() for e in of_place if (e.mode, e.case_id) == (mode, case)]
        courses = [Course.of(place, episode) for place, episode in shown]
        courses += [Course.of(OPTIMUM, e) for e in optimal if e.case_id == case][:1]
        runs = "; ".join(f"{place}: {run.name}" for place, run in _named(chosen, shown))
        caption = (
            f"{system}, {mode_text(mode)}, test case {case}: best, median and worst configuration, each with its best, "
            f"median and worst seed, and optimal control (dotted: bounds; thin line: target). {runs}."
        )
        spec = signals_spec(plants.get(system), courses, problems.get(system).target)
        figures.append(Figure(f"trajectories_{system}_{mode}", caption, spec, RESERVE))
    return figures


def _named(
    chosen: Iterable[tuple[str, RunResult]], shown: Sequence[tuple[str, EpisodeTrajectory]]
) -> list[tuple[str, RunResult]]:
    places = {place for place, _ in shown}
    return [(place, run) for place, run in chosen if place in places]


def _episodes(report: Report, kind: str, stage: str, controller: str, system: str) -> list[EpisodeTrajectory]:
    """Return the stored trajectories of one controller; empty if the file is missing or damaged."""
    try:
        rows = read_trajectories(report.data.workspace.stage(kind, stage).path / TRAJECTORIES)
    except InputError:
        return []
    return [row for row in rows if row.controller == controller and row.system == system]


def episode_figures(episodes: Iterable[EpisodeTrajectory]) -> list[Figure]:
    """Draw one figure per system, mode and case, with all controllers."""
    cases: dict[tuple[str, str, int], list[EpisodeTrajectory]] = {}
    for each in episodes:
        cases.setdefault((each.system, each.mode, each.case_id), []).append(each)
    return [episode_figure(of_case) for of_case in cases.values()]


def episode_figure(episodes: Sequence[EpisodeTrajectory]) -> Figure:
    """Draw one case of one system in one mode, with one line per controller."""
    first = episodes[0]
    caption = f"{first.system}, {mode_text(first.mode)}, test case {first.case_id} (dotted: bounds; thin line: target)."
    courses = [Course.of(each.controller, each) for each in episodes]
    target = problems.get(first.system).target
    name = f"{first.system}_{first.mode}_case{first.case_id}"
    return Figure(name, caption, signals_spec(plants.get(first.system), courses, target), RESERVE)


def simulation_figure(plant: Plant, trajectory: Trajectory) -> Figure:
    """Draw the first episodes of a simulation, with one line per episode."""
    states = trajectory.states.reshape(-1, *trajectory.states.shape[-2:])[:MOST_EPISODES]
    controls = trajectory.controls.reshape(-1, *trajectory.controls.shape[-2:])[:MOST_EPISODES]
    pairs = enumerate(zip(states, controls, strict=True))
    courses = [Course(f"episode {k}", plant.dt_s, *pair) for k, pair in pairs]
    return Figure(plant.name, f"{plant.name} (dotted: bounds).", signals_spec(plant, courses, None), RESERVE)


def signals_spec(plant: Plant, courses: Sequence[Course], target: Sequence[float] | None) -> Spec:
    """Return one panel per signal, below each other with a common time axis; one colour per course."""
    signals = [*plant.states, *plant.controls]
    goals: list[float | None] = [*target] if target is not None else [None] * plant.n_x
    goals += [None] * plant.n_u
    names = list(dict.fromkeys(course.name for course in courses))
    panels = [
        _signal_panel(signal, k, plant.n_x, courses, names, goal)
        for k, (signal, goal) in enumerate(zip(signals, goals, strict=True))
    ]
    panels[-1]["layer"][0]["encoding"]["x"]["axis"] = {"title": "time [s]", "tickCount": 5}
    return {"vconcat": panels, "spacing": 14}


def _signal_panel(
    signal: Signal, k: int, n_x: int, courses: Sequence[Course], names: Sequence[str], goal: float | None
) -> Spec:
    rows: list[Row] = []
    for course in courses:
        values = course.states[:, k] if k < n_x else course.controls[:, k - n_x]
        held = values if k < n_x else np.append(values, values[-1:])  # the last control is held for one more step
        stride = max(1, len(held) // POINTS)
        for step in sorted({*range(0, len(held), stride), len(held) - 1}):
            if math.isfinite(held[step]):
                rows.append({"t": rounded(course.dt_s * step), "v": rounded(float(held[step])), "who": course.name})
    unit = f" [{signal.unit.replace('^2', '²')}]" if signal.unit else ""
    axis = number_axis(f"{signal.name.replace('_', ' ')}{unit}", logarithmic=False, padding=6)
    x: Spec = {"field": "t", "type": "quantitative", "axis": {"title": None, "tickCount": 5}, "scale": {"nice": False}}
    colour: Spec = {"field": "who", "type": "nominal", "sort": None, "scale": colours_of(names)}
    if names[-1] == OPTIMUM:
        colour["scale"] = {"domain": list(names), "range": [*colours_of(names[:-1])["range"], GREY]}
    dashes = [[5, 3] if name == OPTIMUM else [1, 0] for name in names]
    dash: Spec = {"field": "who", "type": "nominal", "sort": None, "scale": {"domain": list(names), "range": dashes}}
    lines: Spec = {
        "data": {"values": rows},
        "mark": {"type": "line", "strokeWidth": 1.8, "interpolate": "linear" if k < n_x else "step-after"},
        "encoding": {
            "x": x,
            "y": {**axis, "field": "v"},
            "color": colour,
            "strokeDash": dash,
            "tooltip": [tip("who"), tip("t", "time [s]", ".4~g"), tip("v", signal.name, ".4~g")],
        },
    }
    bounds = _near(signal, [row["v"] for row in rows])
    rules = [rule_at(bound, axis, "y", color=RED, strokeDash=[2, 3], strokeWidth=1.2) for bound in bounds]
    if goal is not None:
        rules.append(rule_at(goal, axis, "y", color=GREY, strokeWidth=0.7))
    return {"width": CONTAINER, "height": PANEL_HEIGHT, "layer": [lines, *rules]}


def _near(signal: Signal, values: Sequence[float]) -> list[float]:
    """Return the bounds that fit on an axis with the values without squeezing them."""
    if not values:
        return []
    low, high = min(values), max(values)
    span = max(high - low, 1e-9)
    bounds = [bound for bound in (signal.lower, signal.upper) if math.isfinite(bound)]
    return [b for b in bounds if max(high, b) - min(low, b) <= REACH * span]
