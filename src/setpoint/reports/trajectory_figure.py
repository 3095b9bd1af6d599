"""Figures of single episodes: states and controls over time, one line per controller."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from setpoint import plants
from setpoint.episodes import EpisodeTrajectory
from setpoint.plants import Plant
from setpoint.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_EPISODES = 8
"""At most this many episodes of a simulation are drawn."""

_DASHES = ("-", "--", "-.", ":")
"""Dash patterns keep controllers visible whose trajectories coincide."""


def save_trajectory_figures(folder: Path, trajectories: Sequence[EpisodeTrajectory]) -> list[Path]:
    """Save one PNG per system, mode and case with all controllers; return the files."""
    cases: dict[str, list[EpisodeTrajectory]] = {}
    for trajectory in trajectories:
        name = f"{trajectory.system}_{trajectory.mode}_case{trajectory.case_id}.png"
        cases.setdefault(name, []).append(trajectory)
    folder.mkdir(parents=True, exist_ok=True)
    for name, of_case in cases.items():
        _save(folder / name, of_case)
    return [folder / name for name in cases]


def _save(path: Path, trajectories: Sequence[EpisodeTrajectory]) -> None:
    trajectory_figure(trajectories).savefig(path, dpi=120)


def trajectory_figure(trajectories: Sequence[EpisodeTrajectory]) -> "Figure":
    """Draw one case of one system in one mode, with one line per controller."""
    first = trajectories[0]
    mode = first.mode.replace("_", " ")
    courses = [(each.controller, each.dt_s, np.array(each.states), np.array(each.controls)) for each in trajectories]
    return _figure(plants.get(first.system), f"{first.system}, {mode}, test case {first.case_id}", courses)


def simulation_figure(plant: Plant, trajectory: Trajectory) -> "Figure":
    """Draw the first episodes of a simulation, with one line per episode."""
    states = trajectory.states.reshape(-1, *trajectory.states.shape[-2:])[:MOST_EPISODES]
    controls = trajectory.controls.reshape(-1, *trajectory.controls.shape[-2:])[:MOST_EPISODES]
    courses = [(f"episode {k}", plant.dt_s, *pair) for k, pair in enumerate(zip(states, controls, strict=True))]
    return _figure(plant, plant.name, courses)


def _figure(plant: Plant, title: str, courses: Sequence[tuple[str, float, np.ndarray, np.ndarray]]) -> "Figure":
    """Draw one panel per signal; `courses` are label, time step [s], states and controls."""
    from matplotlib.figure import Figure

    signals = [*plant.states, *plant.controls]
    figure = Figure(figsize=(7, 2 * len(signals)), layout="constrained")
    panels = figure.subplots(len(signals), sharex=True, squeeze=False)[:, 0]
    for (label, dt_s, states, controls), dashes in zip(courses, cycle(_DASHES)):
        columns = [*states.T, *controls.T]
        for panel, signal, values in zip(panels, signals, columns, strict=True):
            times = [dt_s * step for step in range(len(values))]
            held = {"drawstyle": "steps-post"} if signal in plant.controls else {}
            panel.plot(times, values, dashes, label=label, linewidth=1.2, **held)
    for panel, signal in zip(panels, signals, strict=True):
        panel.set_ylabel(f"{signal.name} [{signal.unit or '1'}]")
        for bound in (signal.lower, signal.upper):
            panel.axhline(bound, color="grey", linestyle=":", linewidth=0.8)
        # Zero control leaves the bounds by far and would squeeze the other trajectories; scale by the bounds instead.
        margin = 0.5 * (signal.upper - signal.lower)
        panel.set_ylim(signal.lower - margin, signal.upper + margin)
    panels[0].set_title(title)
    panels[0].legend(loc="upper right", ncols=min(len(courses), 4))
    panels[-1].set_xlabel("time [s]")
    return figure
