"""Figure of one system: phase portrait, optimal trajectories, and bounds."""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from setpoint.plants import Signal
from setpoint.problems import Problem
from setpoint.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3
_MARGIN = 0.08
_FIELD_POINTS = 40
_BOUND: dict[str, Any] = {"color": "black", "linestyle": ":", "linewidth": 1.0}
_FIELD_COLOUR = "0.75"
_MAP = "viridis"


def save_system_figure(path: Path, problem: Problem, optimal: Trajectory) -> None:
    """Draw the optimal trajectories of a few cases, and save the figure as `path`.

    The first row shows phase planes of consecutive states (for a plant with two states also its uncontrolled flow); the
    rows below show states and controls over time.
    """
    import matplotlib
    from matplotlib.figure import Figure

    plant = problem.plant
    planes = [(0, 1)] if plant.n_x == 2 else list(pairwise(range(plant.n_x)))[:_COLUMNS]
    signals = [*plant.states, *plant.controls]
    rows = -(-len(signals) // _COLUMNS)
    figure = Figure(figsize=(3.8 * _COLUMNS, 3.8 + 2.1 * rows), layout="constrained")
    grid = figure.add_gridspec(1 + rows, _COLUMNS, height_ratios=[1.7, *[1.0] * rows])
    colours = matplotlib.colormaps[_MAP](np.linspace(0.05, 0.9, len(optimal.states)))
    for column, plane in enumerate(planes):
        place = grid[0, :] if plant.n_x == 2 else grid[0, column]
        _draw_plane(figure.add_subplot(place), problem, plane, optimal, colours)
    for index, signal in enumerate(signals):
        axes = figure.add_subplot(grid[1 + index // _COLUMNS, index % _COLUMNS])
        _draw_signal(axes, signal, index, problem, optimal, colours)
    figure.suptitle(f"{plant.name}: {problem.optimum_label} from {len(optimal.states)} initial states")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _draw_plane(axes: "Axes", problem: Problem, plane: tuple[int, int], optimal: Trajectory, colours: Any) -> None:
    from matplotlib.patches import Rectangle

    plant, (i, j), legend = problem.plant, plane, "blue: initial set, star: target"
    first, second = plant.states[i], plant.states[j]
    if plant.n_x == 2:
        _draw_flow(axes, problem)
    for states, colour in zip(optimal.states, colours, strict=True):
        axes.plot(states[:, i], states[:, j], color=colour, linewidth=1.3)
        axes.plot(states[0, i], states[0, j], "o", color=colour, markersize=4)
    centre, width = problem.initial_centre, np.array(problem.half_width)
    corner = (centre[i] - width[i], centre[j] - width[j])
    axes.add_patch(Rectangle(corner, 2 * width[i], 2 * width[j], fill=False, linewidth=0.9, color="tab:blue"))
    axes.plot(problem.target[i], problem.target[j], "*", color="tab:red", markersize=11, zorder=5)
    if _close_to_bounds(first, optimal.states[..., i]) or _close_to_bounds(second, optimal.states[..., j]):
        axes.add_patch(_box(first, second))
        axes.set_xlim(*_limits(first))
        axes.set_ylim(*_limits(second))
        legend += ", dotted: bounds"
    axes.set_xlabel(_label(first))
    axes.set_ylabel(_label(second))
    axes.set_title(legend, fontsize="small")


def _box(first: Signal, second: Signal) -> Any:
    from matplotlib.patches import Rectangle

    size = (first.upper - first.lower, second.upper - second.lower)
    return Rectangle((first.lower, second.lower), *size, fill=False, **_BOUND)


def _draw_flow(axes: "Axes", problem: Problem) -> None:
    plant = problem.plant
    across, along = (np.linspace(signal.lower, signal.upper, _FIELD_POINTS) for signal in plant.states)
    x, y = np.meshgrid(across, along)
    rate_x, rate_y = plant.derivative(0.0, (x, y), (0.0 * x,) * plant.n_u, np)
    axes.streamplot(across, along, rate_x, rate_y, color=_FIELD_COLOUR, linewidth=0.6, arrowsize=0.7, density=1.1)


def _draw_signal(axes: "Axes", signal: Signal, index: int, problem: Problem, optimal: Trajectory, colours: Any) -> None:
    n_x = problem.plant.n_x
    is_state = index < n_x
    values = optimal.states[..., index] if is_state else optimal.controls[..., index - n_x]
    times = optimal.times if is_state else optimal.times[:-1]
    for series, colour in zip(values, colours, strict=True):
        axes.plot(times, series, color=colour, linewidth=1.1, drawstyle="default" if is_state else "steps-post")
    if is_state:
        axes.axhline(problem.target[index], color="tab:red", linewidth=0.8)
    if not is_state or _close_to_bounds(signal, values):
        for bound in (signal.lower, signal.upper):
            axes.axhline(bound, **_BOUND)
        axes.set_ylim(*_limits(signal))
    axes.set_ylabel(_label(signal))
    axes.set_xlabel("time [s]")


def _close_to_bounds(signal: Signal, values: np.ndarray) -> bool:
    """Return whether bounds fit into the axes without squeezing the trajectories."""
    span = float(np.ptp(values))
    return bool(np.isfinite([signal.lower, signal.upper]).all() and span > 0.15 * (signal.upper - signal.lower))


def _limits(signal: Signal) -> tuple[float, float]:
    margin = _MARGIN * (signal.upper - signal.lower)
    return signal.lower - margin, signal.upper + margin


def _label(signal: Signal) -> str:
    return f"{signal.name.replace('_', ' ')} [{signal.unit.replace('^2', '²')}]"
