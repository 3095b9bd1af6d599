"""States and controls of single episodes over time: what a controller did beside what is optimal."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from setpoint import systems
from setpoint.episodes import EpisodeTrajectory

_DASHES = ("-", "--", "-.", ":")
"""Controllers that do the same lie on top of each other; dashes show it."""


def save_trajectory_figures(folder: Path, trajectories: Sequence[EpisodeTrajectory]) -> list[Path]:
    """One PNG per system, mode and case, with every controller in it; the files that were written."""
    cases: dict[str, list[EpisodeTrajectory]] = {}
    for trajectory in trajectories:
        name = f"{trajectory.system}_{trajectory.mode}_case{trajectory.case_id}.png"
        cases.setdefault(name, []).append(trajectory)
    folder.mkdir(parents=True, exist_ok=True)
    for name, of_case in cases.items():
        _save(folder / name, of_case)
    return [folder / name for name in cases]


def _save(path: Path, trajectories: Sequence[EpisodeTrajectory]) -> None:
    from matplotlib.figure import Figure

    plant = systems.get(trajectories[0].system)
    signals = [*plant.states, *plant.controls]
    figure = Figure(figsize=(7, 2 * len(signals)), layout="constrained")
    panels = figure.subplots(len(signals), sharex=True, squeeze=False)[:, 0]
    for trajectory, dashes in zip(trajectories, cycle(_DASHES)):
        columns = [*zip(*trajectory.states, strict=True), *zip(*trajectory.controls, strict=True)]
        for panel, signal, values in zip(panels, signals, columns, strict=True):
            times = [trajectory.dt_s * step for step in range(len(values))]
            held = {"drawstyle": "steps-post"} if signal in plant.controls else {}
            panel.plot(times, values, dashes, label=trajectory.controller, linewidth=1.2, **held)
    for panel, signal in zip(panels, signals, strict=True):
        panel.set_ylabel(f"{signal.name} ({signal.unit})")
        for bound in (signal.lower, signal.upper):
            panel.axhline(bound, color="grey", linestyle=":", linewidth=0.8)
        # Zero control leaves the range by far; the bounds are what the others are to be seen against.
        margin = 0.5 * (signal.upper - signal.lower)
        panel.set_ylim(signal.lower - margin, signal.upper + margin)
    panels[0].set_title(f"{plant.name}, {trajectories[0].mode}, case {trajectories[0].case_id}")
    panels[0].legend(loc="upper right", ncols=len(trajectories))
    panels[-1].set_xlabel("time (s)")
    figure.savefig(path, dpi=120)
