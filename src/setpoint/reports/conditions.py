"""Results of a comprehensive evaluation under every condition and mode: a summary table, and all rows as CSV."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from setpoint.analysis.data.conditions import ConditionResult
from setpoint.reports.content import RankedSystem, rate_text
from setpoint.reports.results import EPISODE_METRICS, Cell

COLUMNS = ("condition", "mode", "cases", "trained", "base", "optimum", "clipped LQR", "zero control")
NOTE = (
    "Cells: success rate; median regret relative to the optimum without disturbances. trained: the best configuration, "
    "mean over seeds. optimum: with disturbances and replanning, an LQR that tracks the optimal trajectory. No "
    "significance tests; all rows are in conditions.csv."
)
_CONTROLLERS = (("base",), ("optimum", "tracking_lqr"), ("lqr",), ("zero",))


@dataclass(frozen=True)
class ConditionTable:
    """Results of one system by condition and mode."""

    title: str
    rows: tuple[tuple[str, ...], ...]


def condition_table(found: Sequence[ConditionResult], ranked: RankedSystem) -> ConditionTable | None:
    """Return one row per condition and mode; None if no run of the best configuration was evaluated there."""
    best = next(iter(ranked.with_result), None)
    here = [each for each in found if each.system == ranked.system]
    if best is None or not here:
        return None
    runs = {run.name for run in best.runs}
    trained = [each for each in here if each.run is not None and each.run.name in runs]
    rows = []
    for condition, mode in dict.fromkeys((each.condition, each.mode) for each in trained):
        models = [each.metrics for each in trained if (each.condition, each.mode) == (condition, mode)]
        others = {
            each.controller: each.metrics for each in here if each.run is None and _matches(each, condition, mode)
        }
        cells = [next((others[name] for name in names if name in others), None) for names in _CONTROLLERS]
        rows.append(
            (
                condition.replace("_", " "),
                mode.replace("_", " "),
                f"{models[0]['cases'] or 0:.0f}",
                _cell(models),
                *(_cell([] if metrics is None else [metrics]) for metrics in cells),
            )
        )
    return ConditionTable(f"{ranked.system} by condition and mode", tuple(rows)) if rows else None


def condition_rows(found: Sequence[ConditionResult]) -> list[dict[str, Cell]]:
    """Return the rows of conditions.csv: every controller under every condition in every mode."""
    return [
        {
            "run": None if each.run is None else each.run.name,
            "configuration": None if each.run is None else each.run.configuration,
            "seed": None if each.run is None else each.run.seed,
            "system": each.system,
            "condition": each.condition,
            "mode": each.mode,
            "controller": each.controller,
            **{name: each.metrics.get(name) for name in EPISODE_METRICS},
        }
        for each in found
    ]


def _matches(each: ConditionResult, condition: str, mode: str) -> bool:
    return (each.condition, each.mode) == (condition, mode)


def _cell(metrics: Sequence[Mapping[str, float | None]]) -> str:
    if not metrics:
        return "-"
    return f"{rate_text(_mean(metrics, 'success_rate'))}; {rate_text(_mean(metrics, 'regret_median'))}"


def _mean(metrics: Sequence[Mapping[str, float | None]], name: str) -> float | None:
    values = [value for each in metrics if (value := each.get(name)) is not None]
    return mean(values) if values else None
