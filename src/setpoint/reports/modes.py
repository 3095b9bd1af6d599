"""Results in every evaluation mode: trained configurations beside the untrained base and the reference controllers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean, mean

from setpoint.analysis.data.experiment import ExperimentData
from setpoint.analysis.data.quantities import Metrics
from setpoint.analysis.runs.configurations import ConfigurationResult
from setpoint.modes import mode_name
from setpoint.reports.content import (
    REFERENCES,
    RankedSystem,
    Report,
    metric_text,
    one_line,
    rate_text,
    short_label,
)
from setpoint.reports.results import MODE_METRICS, Cell

OPEN_LOOP = mode_name(0)
BASE = "base, zero-shot"
HEADINGS = ("final error", "success", "median regret", "parsed", "cost J")
NOT_EVALUATED = "–"
SHOWN = 3


def mode_text(mode: str) -> str:
    """Return `open loop` or `replanning every 5 steps`."""
    interval = mode.removeprefix("replan_")
    if interval == mode:
        return mode.replace("_", " ")
    return f"replanning every {interval} steps" if interval != "1" else "replanning every step"


@dataclass(frozen=True)
class ModeRow:
    """One controller: its metrics in each mode; a mode in which it was not evaluated is missing.

    Attributes:
        trained: the controller is a configuration of this experiment.
    """

    label: str
    trained: bool
    by_mode: Mapping[str, Mapping[str, float | None]]

    def cells(self, mode: str, metrics: Sequence[str] = MODE_METRICS) -> list[str]:
        """Return the texts of `metrics` in `mode`."""
        found = self.by_mode.get(mode)
        if found is None:
            return [NOT_EVALUATED] * len(metrics)
        return [self._text(found, name) for name in metrics]

    def _text(self, found: Mapping[str, float | None], name: str) -> str:
        if name == "parse_rate" and not self.trained and self.label != BASE:
            return NOT_EVALUATED
        value = found.get(name)
        return metric_text(value) if name in {"final_error", "control_cost"} else rate_text(value)


@dataclass(frozen=True)
class ModeTable:
    """Results of one system in every mode.

    Attributes:
        modes: names of the modes, the primary one first.
    """

    system: str
    modes: tuple[str, ...]
    rows: tuple[ModeRow, ...]

    @property
    def primary(self) -> str:
        """Return the primary evaluation mode, in which configurations are ranked and compared."""
        return self.modes[0]

    def heading(self, mode: str) -> str:
        """Return `open loop (primary)`; without the remark if there is one mode only."""
        remark = " (primary)" if mode == self.primary and len(self.modes) > 1 else ""
        return f"{mode_text(mode)}{remark}"


def mode_table(report: Report, ranked: RankedSystem, *, most: int = SHOWN) -> ModeTable | None:
    """Return the best `most` configurations, the base and the references in every mode; None without any result."""
    data, system = report.data, ranked.system
    primary = data.analysis.mode(system).episodes
    shared = data.modes.get(system, {})
    chosen = ranked.with_result[:most]
    trained = {result.configuration: configuration_modes(report, ranked, result) for result in chosen}
    evaluated = {mode for modes in trained.values() for mode in modes} | set(shared)
    rows = [ModeRow(one_line(short_label(data, result)), True, trained[result.configuration]) for result in chosen]
    rows += [ModeRow(label, False, found) for label, found in _shared_rows(data, system)]
    if not evaluated:
        return None
    others = sorted(evaluated - {primary}, key=lambda mode: (mode != OPEN_LOOP, mode))
    return ModeTable(system, (primary, *others), tuple(rows))


def _shared_rows(data: ExperimentData, system: str) -> list[tuple[str, dict[str, Metrics]]]:
    """Return label and metrics by mode of the base, then of the references."""
    shared = data.modes.get(system, {})
    names = {"llm": BASE, "lqr": REFERENCES["lqr"], "optimum": REFERENCES["optimum"], "zero": REFERENCES["zero"]}
    found = {label: {m: of[name] for m, of in shared.items() if name in of} for name, label in names.items()}
    return [(label, metrics) for label, metrics in found.items() if metrics]


def configuration_modes(
    report: Report, ranked: RankedSystem, result: ConfigurationResult
) -> dict[str, dict[str, float | None]]:
    """Return mode -> metric -> mean over the seeds of a configuration.

    Errors are averaged as in the ranking: geometrically if the plan's scale is logarithmic. In the primary mode the
    error is that of the ranking itself.
    """
    outcomes = [run.outcomes[result.system] for run in result.runs if run.state.ok]
    found: dict[str, dict[str, float | None]] = {}
    for mode in dict.fromkeys(mode for outcome in outcomes for mode in outcome.modes):
        metrics = [outcome.modes[mode] for outcome in outcomes if mode in outcome.modes]
        found[mode] = {name: _mean(metrics, name) for name in MODE_METRICS}
        found[mode]["final_error"] = _mean(metrics, "final_error", logarithmic=report.data.analysis.scale == "log")
    primary = report.data.analysis.mode(result.system).episodes
    if primary in found:
        found[primary]["final_error"] = ranked.errors.get(result.configuration)
    return found


def _mean(metrics: Sequence[Metrics], name: str, *, logarithmic: bool = False) -> float | None:
    values = [value for each in metrics if (value := each.get(name)) is not None]
    if not values:
        return None
    return geometric_mean(values) if logarithmic and min(values) > 0.0 else mean(values)


def baseline_rows(data: ExperimentData) -> list[dict[str, Cell]]:
    """Return the rows of baselines.csv: base and references of every system in every mode."""
    return [
        {
            "system": system,
            "controller": label,
            "mode": mode,
            "primary": mode == data.analysis.mode(system).episodes,
            **metrics,
        }
        for system in data.systems
        for label, by_mode in _shared_rows(data, system)
        for mode, metrics in by_mode.items()
    ]
