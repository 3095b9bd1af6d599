"""A confirmation beside the sweep that selected its configurations: fresh scores, old scores and the optimism between.

The best of many observed means is too good on average (winner's curse). Fresh seeds have no such bias, so the
difference between both scores estimates how much of the old one was selection.
"""

from dataclasses import dataclass

from setpoint.analysis.data.experiment import ExperimentData
from setpoint.analysis.data.reading import read_experiment
from setpoint.analysis.runs.configurations import ConfigurationResult, rank_configurations
from setpoint.errors import InputError
from setpoint.formatting import interval_text, level_text, share_text
from setpoint.reports.content import Report, metric_text, one_line

COLUMNS = ("configuration", "score in the sweep", "fresh score", "interval", "optimism")
NOTE = (
    "Fresh scores come from new seeds and are free of selection bias. Optimism: by how much the fresh score is worse "
    "than the score by which the configuration was selected; on average this is the share due to selection."
)


@dataclass(frozen=True)
class ConfirmationTable:
    """Old and fresh scores of one system."""

    title: str
    rows: tuple[tuple[str, ...], ...]


def confirmation_tables(report: Report) -> list[ConfirmationTable]:
    """Return one table per system; none if nothing is confirmed, or if the sweep is no longer in the workspace."""
    data = report.data
    if not data.plan.confirms:
        return []
    try:
        sweep = read_experiment(data.workspace.experiment(data.plan.confirms))
    except (InputError, OSError):
        return []
    tables = []
    for ranked in report.ranked:
        old = {c.configuration: c for c in rank_configurations(sweep, ranked.system, ranked.metric)}
        rows = [_row(report, fresh, _same(fresh, list(old.values()))) for fresh in ranked.with_result]
        metric = data.quantity(ranked.metric).label
        mode = data.analysis.mode(ranked.system).replace("_", " ")
        tables.append(ConfirmationTable(f"{one_line(ranked.system)}: {metric}, {mode}", tuple(rows)))
    return tables


def _same(fresh: ConfigurationResult, old: list[ConfigurationResult]) -> ConfigurationResult | None:
    """Return the configuration of the sweep with the same values."""
    values = fresh.runs[0].factors
    return next((each for each in old if all(values.get(k) == v for k, v in each.runs[0].factors.items())), None)


def _row(report: Report, fresh: ConfigurationResult, old: ConfigurationResult | None) -> tuple[str, ...]:
    name = ", ".join(level_text(level) for level in fresh.levels.values()) or fresh.runs[0].training_type
    reach = "" if fresh.interval is None else interval_text(*fresh.interval)
    before = None if old is None else old.mean
    return (
        one_line(name),
        metric_text(before),
        metric_text(fresh.mean),
        reach,
        _optimism(report.data, before, fresh.mean),
    )


def _optimism(data: ExperimentData, before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "not measured"
    if data.analysis.scale == "log" and before > 0.0:
        return share_text(after / before - 1.0)
    return metric_text(after - before)
