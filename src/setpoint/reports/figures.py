"""PNG figures: the error of every configuration and seed, learning curves, and trajectories of the best run.

Colours are the colour-blind-safe palette of Okabe and Ito (2008), supported by position, markers and dashes. Legends
are outside the axes. Importing this module imports matplotlib, so other modules import it lazily.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from setpoint import plants
from setpoint.analysis.data.experiment import RunResult
from setpoint.analysis.data.reading import learning_curve
from setpoint.analysis.runs.configurations import ConfigurationResult
from setpoint.episodes import TRAJECTORIES, EpisodeTrajectory, read_trajectories
from setpoint.errors import InputError
from setpoint.formatting import number_text
from setpoint.plants import Signal
from setpoint.reports.content import (
    RankedSystem,
    Report,
    curve_labels,
    curve_names,
    one_line,
    references_of,
    run_at,
    run_at_text,
    short_label,
    stages_of,
)
from setpoint.reports.scales import ReferencePlacement, place_references, running_mean, smoothing_width
from setpoint.reports.svg import axis_over

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8C6D31")
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "mathtext.default": "regular",
    "savefig.dpi": 160,
}
REFERENCE_LINES = {
    "base, zero-shot": ("#555555", (0, (1, 1.5))),
    "zero control": ("#8C6D31", (0, (6, 2, 1, 2))),
    "clipped LQR": ("#009E73", (0, (5, 2))),
    "certified optimum": ("#000000", "-"),
}
MODEL_LINE: dict[str, Any] = {"color": "#0072B2", "linestyle": "-", "linewidth": 2.2, "alpha": 0.85}
OPTIMUM_LINE: dict[str, Any] = {"color": "#000000", "linestyle": (0, (4, 2)), "linewidth": 1.1}
LARGEST_CHART = 30
"""Configurations in one chart; the others are in the table."""
LARGEST_CURVES = 100
"""Stages with a learning curve in one chart."""
SHOWN_CASES = 3
_MARKS = ("", "o", "s", "^", "D")
_LEGEND_COLUMNS = 2


def draw_figures(report: Report, folder: Path) -> list[str]:
    """Draw all figures that the data allow into `folder`; return their file names in the order of a report."""
    names = []
    with mpl.rc_context(STYLE):
        for ranked in report.ranked:
            figures = {
                f"errors_{ranked.system}.png": errors_figure(report, ranked),
                f"learning_curves_{ranked.system}.png": _learning_curves(report, ranked.system),
                f"trajectories_{ranked.system}.png": _trajectories(report, ranked),
            }
            for name, figure in figures.items():
                if figure is not None:
                    figure.savefig(folder / name, bbox_inches="tight", metadata={"Software": None})
                    names.append(name)
    return names


def errors_figure(report: Report, ranked: RankedSystem) -> Figure | None:
    """Draw one row per configuration with a dot per seed: the best on top, those without a result below."""
    shown = ranked.configurations[:LARGEST_CHART]
    if not ranked.with_result:
        return None
    figure = Figure(figsize=(7.4, 1.8 + 0.32 * len(shown)))
    axes = figure.add_subplot()
    values = [value for result in shown for value in result.values]
    positive = all(value > 0.0 for value in values)
    placed = place_references(values, references_of(report, ranked), logarithmic=positive)
    for reference in placed.inside:
        colour, dash = REFERENCE_LINES[reference.label]
        label = f"{reference.label}: {number_text(reference.value)}"
        axes.axvline(reference.value, color=colour, linestyle=dash, linewidth=1.3, zorder=1, label=label)
    for row, result in enumerate(shown):
        _draw_seeds(axes, row, result)
    _write_missing_beside(axes, shown)
    axes.set_yticks(range(len(shown)), [_short(short_label(report.data, result)) for result in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axis = axis_over([*values, *(reference.value for reference in placed.inside)], 0, 1, logarithmic=positive)
    axes.set_xscale("log" if positive else "linear")
    axes.set_xlim(axis.low, axis.high)
    axes.xaxis.set_major_locator(FixedLocator(axis.ticks()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: number_text(value))
    axes.set_xlabel(f"{_metric_label(ranked)}, mean over test cases{' (log scale)' if positive else ''}")
    axes.set_title(f"{ranked.system}: {_metric_label(ranked)} of each configuration", pad=20)
    _write_beyond(axes, placed)
    _legend_below(figure, axes, columns=3)
    return figure


def _write_beyond(axes: Any, placed: ReferencePlacement) -> None:
    """Name references that lie off the axis above its ends, with an arrow."""
    for end, side, sign, references in ((0.0, "left", "\u2190 ", placed.below), (1.0, "right", "", placed.above)):
        text = ", ".join(f"{reference.label}: {number_text(reference.value)}" for reference in references)
        if text:
            text = f"{sign}{text}" if sign else f"{text} \u2192"
            axes.annotate(text, (end, 1.02), xycoords="axes fraction", ha=side, fontsize=8, color="#333333")


def _draw_seeds(axes: Any, row: int, result: ConfigurationResult) -> None:
    """Draw a dot per seed and a bar for their mean; nothing if no run has a result."""
    if result.mean is None:
        return
    axes.plot(
        result.values,
        [row] * len(result.values),
        "o",
        markersize=5.5,
        markerfacecolor="#56B4E9",
        markeredgecolor="#08306B",
        markeredgewidth=0.8,
        alpha=0.85,
        label="seed" if row == 0 else None,
    )
    if len(result.values) < 2:
        return
    label = "mean over seeds" if row == 0 else None
    axes.plot([result.mean], [row], "|", color="#08306B", markersize=13, markeredgewidth=2, label=label)


def _write_missing_beside(axes: Any, shown: Sequence[ConfigurationResult]) -> None:
    """Write the number of failed runs, or `no result yet`, at the right end of a configuration's row."""
    for row, result in enumerate(shown):
        text = f"{result.failed} of {len(result.runs)} failed" if result.failed else ""
        if not text and result.mean is None:
            text = "no result yet"
        colour = "#B22222" if result.failed else "#555555"
        place = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 8}
        axes.annotate(text, (1.01, row), color=colour, **place)


def _metric_label(ranked: RankedSystem) -> str:
    return "final error" if ranked.metric == "final_error" else ranked.metric.replace("_", " ")


def _learning_curves(report: Report, system: str) -> Figure | None:
    """Draw loss or GRPO reward of every trained stage, with one colour and marker per set of swept values."""
    runs = [run for run in report.data.runs if system in run.systems]
    panels = [
        ("sft", "loss", "SFT loss", "loss"),
        ("dagger", "loss", "DAgger loss", "loss"),
        ("grpo", "reward", "mean GRPO reward", "reward"),
    ]
    drawn = [
        panel
        for panel in panels
        if any(_curve(report, group[0], panel[0], panel[1]) for group in _by_stage(runs, panel[0]))
    ]
    if not drawn:
        return None
    labels = {role: curve_labels(report.data, stages_of(runs, role)) for role, *_ in drawn}
    names = curve_names(report.data, system)
    figure = Figure(
        figsize=(3.9 * len(drawn) + 0.4, 3.3 + 0.2 * -(-len(names) // _LEGEND_COLUMNS)), layout="constrained"
    )
    smoothed = False
    for column, (role, key, title, label) in enumerate(drawn):
        axes = figure.add_subplot(1, len(drawn), column + 1)
        validations = 0
        for stage_runs in _by_stage(runs, role):
            place = names.index(labels[role][stage_runs[0].stages[role]])
            means, checks = _draw_curve(axes, report, stage_runs[0], role, key, place)
            smoothed, validations = smoothed or means, max(validations, checks)
        validation = {0: "", 1: " (cross: validation)"}.get(validations, " (dashed: validation)")
        axes.set_title(f"{title}{validation}")
        axes.set_xlabel("optimizer step")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    handles = [Line2D([], [], linewidth=2, label=_short(name, 46), **_look(k)) for k, name in enumerate(names)]
    figure.suptitle(
        f"{system}: learning curves per trained stage{' (bold: moving average; faint: raw)' if smoothed else ''}",
        x=0.01,
        ha="left",
        fontsize=10,
    )
    shown = handles[:LARGEST_CHART]
    figure.legend(handles=shown, loc="outside lower center", ncols=min(_LEGEND_COLUMNS, len(shown)))
    return figure


def _look(place: int) -> dict[str, Any]:
    """Return colour and marker of a curve; dashes are reserved for validation."""
    marks = _MARKS[place // len(COLOURS) % len(_MARKS)]
    return {"color": COLOURS[place % len(COLOURS)], "marker": marks, "markersize": 4}


def _by_stage(runs: Iterable[RunResult], role: str) -> list[list[RunResult]]:
    """Group runs by the stage of this role that they share; of very many groups, return an evenly spaced subset."""
    found = list(stages_of(runs, role).values())
    return found[:: 1 + len(found) // LARGEST_CURVES]


def _curve(report: Report, run: RunResult, role: str, key: str) -> list[tuple[float, float]]:
    if role not in run.stages:
        return []
    records = learning_curve(report.data.workspace.stage(role, run.stages[role]))
    points = [(float(record["step"]), record.get(key)) for record in records]
    return [(step, float(value)) for step, value in points if isinstance(value, int | float) and np.isfinite(value)]


def _draw_curve(axes: Any, report: Report, run: RunResult, role: str, key: str, place: int) -> tuple[bool, int]:
    """Draw one stage; return whether it was smoothed, and its number of validations."""
    look = _look(place)
    colour = look["color"]
    points = _curve(report, run, role, key)
    width = smoothing_width(len(points))
    if points:
        steps, values = (np.array(column) for column in zip(*points, strict=True))
        if width > 1:
            axes.plot(steps, values, color=colour, linewidth=0.6, alpha=0.25)
        sparse = {"markevery": max(1, len(values) // 6)}
        axes.plot(steps[width - 1 :], running_mean(values, width), linewidth=1.3, alpha=0.9, **look, **sparse)
    checked = _curve(report, run, role, "validation_loss")
    if checked:
        mark = "x" if len(checked) == 1 else ""
        dashes = {"linewidth": 1.2, "linestyle": (0, (4, 2)), "marker": mark}
        axes.plot(*zip(*checked, strict=True), color=colour, alpha=0.9, **dashes)
    return width > 1, len(checked)


def _trajectories(report: Report, ranked: RankedSystem) -> Figure | None:
    """Draw the best run against optimal control on the first test cases: one row per signal, one column per case."""
    best = run_at(report, ranked, "best")
    if best is None or ranked.system not in plants.names():
        return None
    data = report.data
    mode = data.analysis.mode(ranked.system).episodes
    reference = data.plan.shared.reference.get(ranked.system)
    learned = _by_case(report, "evaluate", best.evaluation(ranked.system), "llm", mode, ranked.system)
    optimal = {} if reference is None else _by_case(report, "reference", reference, "optimum", None, ranked.system)
    cases = sorted(learned)[:SHOWN_CASES]
    if not cases:
        return None
    plant = plants.get(ranked.system)
    signals = [*plant.states, *plant.controls]
    figure = Figure(figsize=(2.7 * len(cases) + 0.9, 1.55 * len(signals) + 0.9), layout="constrained")
    grid = figure.subplots(len(signals), len(cases), sharex=True, sharey="row", squeeze=False)
    for column, case in enumerate(cases):
        for row, signal in enumerate(signals):
            axes = grid[row, column]
            _draw_signal(axes, learned[case], row, len(plant.states), MODEL_LINE, "trained model")
            if case in optimal:
                _draw_signal(axes, optimal[case], row, len(plant.states), OPTIMUM_LINE, "optimal control")
            if column == 0:
                axes.set_ylabel(f"{signal.name}\n[{signal.unit or '1'}]".replace("^2", "²"))
        grid[0, column].set_title(f"test case {case}")
        grid[-1, column].set_xlabel("time [s]")
    for row, signal in enumerate(signals):
        if np.isfinite([signal.lower, signal.upper]).all():
            _draw_bounds(grid[row], signal)
    figure.align_ylabels(grid[:, 0])
    figure.suptitle(
        f"{ranked.system}, {_mode_text(mode)}: {run_at_text('best')}\n({_short(best.name)})",
        x=0.01,
        ha="left",
        fontsize=10,
    )
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles))
    return figure


def _mode_text(mode: str) -> str:
    interval = mode.removeprefix("replan_")
    return "open loop" if interval == mode else f"replanning every {interval} steps"


def _short(name: str, length: int = 60) -> str:
    """Shorten `name` to a label, and escape `$` so that matplotlib does not parse it as mathematics."""
    line = one_line(name)
    return (line if len(line) <= length else line[: length - 1] + "…").replace("$", r"\$")


def _by_case(
    report: Report, kind: str, stage: str, controller: str, mode: str | None, system: str
) -> dict[int, EpisodeTrajectory]:
    """Return the trajectories of one controller by case; empty if the file is missing or damaged."""
    path = report.data.workspace.stage(kind, stage).path / TRAJECTORIES
    try:
        rows = read_trajectories(path)
    except InputError:
        return {}
    return {
        row.case_id: row
        for row in rows
        if row.controller == controller and row.system == system and mode in {None, row.mode}
    }


def _draw_signal(
    axes: Any, trajectory: EpisodeTrajectory, row: int, n_x: int, line: dict[str, Any], label: str
) -> None:
    """Draw a state as a line, a control as a zero-order-hold staircase."""
    values = np.array(trajectory.states if row < n_x else trajectory.controls)
    values = values[:, row if row < n_x else row - n_x]
    if row < n_x:
        axes.plot(trajectory.dt_s * np.arange(len(values)), values, label=label, **line)
    else:
        edges = trajectory.dt_s * np.arange(len(values) + 1)
        axes.stairs(values, edges, baseline=None, label=label, **line)


def _draw_bounds(row: Sequence[Any], signal: Signal) -> None:
    """Shade the range outside the bounds of a signal in all its axes."""
    margin = 0.12 * (signal.upper - signal.lower)
    low, high = row[0].get_ylim()
    low, high = min(low, signal.lower - margin), max(high, signal.upper + margin)
    for axes in row:
        for inner, outer in ((signal.lower, low), (signal.upper, high)):
            axes.axhline(inner, color="#B22222", linewidth=0.9)
            label = "out of bounds" if outer == high else None
            axes.axhspan(inner, outer, facecolor="#B22222", alpha=0.12, linewidth=0, label=label)
        axes.set_ylim(low, high)


def _legend_below(figure: Figure, axes: Any, columns: int) -> None:
    """Place the legend below the axis label."""
    handles, labels = axes.get_legend_handles_labels()
    height = figure.get_size_inches()[1]
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.11 - 0.55 / height), ncols=columns)
