"""Figure of one system: phase planes with the uncontrolled flow, and optimal trajectories over time."""

import math
from itertools import pairwise

import numpy as np

from setpoint.plants import Signal
from setpoint.problems import Problem
from setpoint.reports.figures.episodes import RESERVE, Course, signals_spec
from setpoint.reports.figures.scores import rounded
from setpoint.reports.figures.spec import CONTAINER, GREY, RED, Figure, Row, Spec, colours_of, number_axis
from setpoint.trajectory import Trajectory

_PLANES = 3
_FLOW_POINTS = 17
_MARGIN = 0.08
_PLANE_HEIGHT = 300


def system_figure(problem: Problem, optimal: Trajectory) -> Figure:
    """Draw the optimal trajectories of a few cases.

    The first panels show phase planes of consecutive states, for a plant with two states also its uncontrolled flow;
    the panels below show states and controls over time.
    """
    plant = problem.plant
    planes = [(0, 1)] if plant.n_x == 2 else list(pairwise(range(plant.n_x)))[:_PLANES]
    names = [f"case {k}" for k in range(len(optimal.states))]
    cases = zip(names, optimal.states, optimal.controls, strict=True)
    courses = [Course(name, plant.dt_s, states, controls) for name, states, controls in cases]
    drawn = [_plane(problem, plane, optimal, names) for plane in planes]
    signals = signals_spec(plant, courses, problem.target)
    caption = (
        f"{plant.name}: {problem.optimum_label} from {len(names)} initial states (square: initial set; star: target; "
        "dotted: bounds)."
    )
    return Figure(plant.name, caption, {"vconcat": [*drawn, *signals["vconcat"]], "spacing": 14}, RESERVE)


def _plane(problem: Problem, plane: tuple[int, int], optimal: Trajectory, names: list[str]) -> Spec:
    plant, (i, j) = problem.plant, plane
    first, second = plant.states[i], plant.states[j]
    x = {**number_axis(_label(first), logarithmic=False), "field": "x"}
    y = {**number_axis(_label(second), logarithmic=False), "field": "y"}
    rows: list[Row] = [
        {"x": rounded(float(state[i])), "y": rounded(float(state[j])), "case": name, "step": step}
        for name, states in zip(names, optimal.states, strict=True)
        for step, state in enumerate(states)
    ]
    colour: Spec = {"field": "case", "type": "nominal", "sort": None, "scale": colours_of(names), "legend": None}
    layers: list[Spec] = [_flow(problem, optimal, x, y)] if plant.n_x == 2 else []
    layers += [
        {
            "data": {"values": rows},
            "mark": {"type": "line", "strokeWidth": 1.6},
            "encoding": {"x": x, "y": y, "color": colour, "order": {"field": "step", "type": "quantitative"}},
        },
        {
            "data": {"values": [row for row in rows if row["step"] == 0]},
            "mark": {"type": "point", "filled": True, "size": 45, "opacity": 1},
            "encoding": {"x": x, "y": y, "color": colour},
        },
        _box(problem, plane, x, y),
        {
            "data": {"values": [{"x": problem.target[i], "y": problem.target[j]}]},
            "mark": {"type": "point", "shape": _STAR, "filled": True, "size": 120, "color": RED, "opacity": 1},
            "encoding": {"x": x, "y": y},
        },
    ]
    return {"width": CONTAINER, "height": _PLANE_HEIGHT, "layer": layers}


_STAR = (
    "M0,-1L0.2245,-0.309L0.9511,-0.309L0.3633,0.118L0.5878,0.809L0,0.382L-0.5878,0.809L-0.3633,0.118L-0.9511,-0.309"
    "L-0.2245,-0.309Z"
)


def _box(problem: Problem, plane: tuple[int, int], x: Spec, y: Spec) -> Spec:
    """Outline the initial set."""
    (left, right), (low, high) = (
        (problem.initial_centre[k] - problem.half_width[k], problem.initial_centre[k] + problem.half_width[k])
        for k in plane
    )
    values = [{"x": rounded(left), "x2": rounded(right), "y": rounded(low), "y2": rounded(high)}]
    return {
        "data": {"values": values},
        "mark": {"type": "rect", "fill": None, "stroke": GREY, "strokeWidth": 1},
        "encoding": {"x": x, "x2": {"field": "x2"}, "y": y, "y2": {"field": "y2"}},
    }


def _flow(problem: Problem, optimal: Trajectory, x: Spec, y: Spec) -> Spec:
    """Draw the direction of the uncontrolled flow as short strokes that begin at a grid of states."""
    plant = problem.plant
    spans = [_span(signal, optimal.states[..., k]) for k, signal in enumerate(plant.states)]
    grid = np.meshgrid(*(np.linspace(low, high, _FLOW_POINTS) for low, high in spans))
    rates = plant.derivative(0.0, tuple(grid), (0.0 * grid[0],) * plant.n_u, np)
    scaled = [
        np.broadcast_to(rate, grid[0].shape) / (high - low) for rate, (low, high) in zip(rates, spans, strict=True)
    ]
    speed = np.hypot(*scaled)
    length = np.divide(0.6 / _FLOW_POINTS, speed, out=np.zeros_like(speed), where=speed > 0.0)
    ends = [at + step * length * (high - low) for at, step, (low, high) in zip(grid, scaled, spans, strict=True)]
    columns = [column.ravel().tolist() for column in (*grid, *ends)]
    rows = [
        {"x": rounded(a), "y": rounded(b), "x2": rounded(c), "y2": rounded(d)}
        for a, b, c, d in zip(*columns, strict=True)
        if all(map(math.isfinite, (a, b, c, d)))
    ]
    return {
        "data": {"values": rows},
        "mark": {"type": "rule", "color": GREY, "opacity": 0.45, "strokeWidth": 1},
        "encoding": {"x": x, "x2": {"field": "x2"}, "y": y, "y2": {"field": "y2"}},
    }


def _span(signal: Signal, values: np.ndarray) -> tuple[float, float]:
    """Return the range of the plane: that of the trajectories with a margin, within the bounds."""
    low, high = float(values.min()), float(values.max())
    margin = _MARGIN * (high - low) + 1e-9
    return max(signal.lower, low - margin), min(signal.upper, high + margin)


def _label(signal: Signal) -> str:
    return f"{signal.name.replace('_', ' ')} [{signal.unit.replace('^2', '²')}]" if signal.unit else signal.name
