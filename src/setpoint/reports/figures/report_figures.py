"""All figures of a report, computed once for the page and for files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from setpoint.reports.content import Report
from setpoint.reports.figures.costs import pareto, predicted_costs
from setpoint.reports.figures.curves import learning_curves
from setpoint.reports.figures.effects import effects, levels
from setpoint.reports.figures.episodes import trajectories
from setpoint.reports.figures.files import draw
from setpoint.reports.figures.scores import profiles, seeds
from setpoint.reports.figures.spec import Figure
from setpoint.reports.figures.tables import failure_map, maps


@dataclass(frozen=True)
class ReportFigures:
    """The figures of a report by the section that shows them.

    Attributes:
        seeds: system -> all seeds of all configurations, one figure per mode.
        of_configurations: system -> distributions and costs.
    """

    seeds: Mapping[str, Sequence[Figure]]
    effects: Sequence[Figure]
    of_configurations: Mapping[str, Sequence[Figure]]
    levels: Sequence[Figure]
    maps: Sequence[Figure]
    failures: Sequence[Figure]
    curves: Sequence[Figure]
    trajectories: Sequence[Figure]
    costs: Sequence[Figure]

    @property
    def all(self) -> list[Figure]:
        """Return every figure in the order of a report."""
        per_system = chain(*self.seeds.values(), self.effects, *self.of_configurations.values())
        return [*per_system, *self.levels, *self.maps, *self.failures, *self.curves, *self.trajectories, *self.costs]


def report_figures(report: Report) -> ReportFigures:
    """Draw all figures that the data allow."""
    return ReportFigures(
        seeds={ranked.system: seeds(report, ranked) for ranked in report.ranked},
        effects=effects(report),
        of_configurations={
            ranked.system: _known(profiles(report, ranked), pareto(report, ranked)) for ranked in report.ranked
        },
        levels=levels(report),
        maps=maps(report),
        failures=_known(failure_map(report)),
        curves=[figure for ranked in report.ranked for figure in learning_curves(report, ranked.system)],
        trajectories=[figure for ranked in report.ranked for figure in trajectories(report, ranked)],
        costs=_known(predicted_costs(report.data)),
    )


def save_all(figures: Sequence[Figure], folder: Path, formats: Sequence[str]) -> list[str]:
    """Save every figure in every format; return the file names.

    Raises:
        InputError: vl-convert is not installed.
        SetpointError: the drawing library failed.
    """
    jobs = [(each.sized(), folder / f"{each.name}.{form}") for each in figures for form in formats]
    draw(jobs)
    return [path.name for _, path in jobs]


def _known(*figures: Figure | None) -> list[Figure]:
    return [figure for figure in figures if figure is not None]
