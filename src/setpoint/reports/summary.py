"""The report in one paragraph: what was asked, what came out, what to do."""

from collections.abc import Sequence

from setpoint.analysis.data.claim import Claim, ClaimKind, Status, of_kind
from setpoint.analysis.data.evidence import ArmEvidence
from setpoint.formatting import change_text, counted, factor_label, level_text, listed, number_text
from setpoint.reports.content import (
    REFERENCES,
    RankedSystem,
    Report,
    counts,
    one_line,
    rate_text,
    short_label,
    ties_text,
)
from setpoint.reports.modes import BASE, ModeRow, ModeTable, mode_table, mode_text
from setpoint.reports.recommendations import recommendations
from setpoint.reports.stage_effects import range_text, stage_effects

_BESIDE = {BASE: "untrained base", REFERENCES["lqr"]: "LQR"}
_SHOWN_SYSTEMS = 3
_SHOWN_LEVELS = 6


def summary(report: Report) -> list[tuple[str, str]]:
    """Return the parts of the paragraph, each with its name: question, result, certainty, next step."""
    advice = recommendations(report)
    parts = [("Question", _question(report)), ("Result", _result(report)), ("Effects", _effects(report))]
    return [(name, one_line(text)) for name, text in [*parts, ("Next", advice[0])] if text]


def _question(report: Report) -> str:
    data = report.data
    total, _, failed = counts(data)
    metric = data.quantity(data.analysis.primary_metric)
    where = listed([f"{one_line(name)} in {_primary(report, name)}" for name in data.systems])
    lost = f" {failed} failed." if failed else ""
    if len(data.runs) == 1:
        return f"How well does one model ({data.runs[0].training_type}) control {where}?{lost}"
    configurations = len({run.configuration for run in data.runs})
    size = f"{counted(configurations, 'configuration')}, {counted(total, 'run')}."
    if data.plan.confirms:
        chosen = counted(configurations, "configuration")
        return (
            f"How good are {chosen} of {data.plan.confirms} on {where} with new seeds? {counted(total, 'run')}.{lost}"
        )
    names = [_factor(report, name) for name in data.analysis.factors]
    direction = {"smaller": "lowest", "larger": "highest"}[metric.better]
    which = listed(names) or "configuration"
    return f"Which {which} gives the {direction} {metric.label} on {where}? {size}{lost}"


def _primary(report: Report, system: str) -> str:
    return mode_text(report.data.analysis.mode(system).episodes)


def _factor(report: Report, name: str) -> str:
    levels = list(dict.fromkeys(level_text(run.level(name)) for run in report.data.runs))
    shown = levels if len(levels) <= _SHOWN_LEVELS else [*levels[:2], "…", levels[-1]]
    return f"{factor_label(name)} ({', '.join(shown)})"


def _result(report: Report) -> str:
    found = [_best(report, ranked) for ranked in report.ranked[:_SHOWN_SYSTEMS] if ranked.with_result]
    more = len(report.ranked) - _SHOWN_SYSTEMS
    rest = [f"{counted(more, 'more system')} below."] if more > 0 else []
    return " ".join([*found, *rest]) or "No run has a result yet."


def _best(report: Report, ranked: RankedSystem) -> str:
    """Name the first configuration with its numbers in every mode beside base and LQR, and how sure its place is."""
    table = mode_table(report, ranked, most=1)
    name = one_line(short_label(report.data, ranked.with_result[0]))
    several = len(ranked.configurations) > 1
    what = f"{name} has the best mean" if several else "The model was tested"
    numbers = "" if table is None else "".join(f" {_in_mode(table, mode)}." for mode in table.modes)
    sure = f" {ties_text(report, ranked)}" if several else ""
    return f"{what} on {one_line(ranked.system)}.{numbers}{sure}"


def _in_mode(table: ModeTable, mode: str) -> str:
    rows = {row.label: row for row in table.rows}
    others = [(name, rows[label]) for label, name in _BESIDE.items() if label in rows and mode in rows[label].by_mode]
    beside = "; ".join(f"{name} {', '.join(_numbers(row, mode))}" for name, row in others)
    error, success = _numbers(table.rows[0], mode)
    where = mode_text(mode)
    return f"{where[0].upper()}{where[1:]}: final error {error}, success {success}{f' ({beside})' if beside else ''}"


def _numbers(row: ModeRow, mode: str) -> tuple[str, str]:
    """Return final error and success, with fewer digits than the tables."""
    found = row.by_mode.get(mode, {})
    error, success = found.get("final_error"), found.get("success_rate")
    return "not measured" if error is None else number_text(error), rate_text(success)


def _effects(report: Report) -> str:
    """State what is significant, and where the effect of a training stage differs between configurations."""
    sentences = [
        f"{claim.heading}: {claim.statement}."
        for claim in of_kind(report.claims, ClaimKind.OPTIMAL_LEVEL, ClaimKind.EQUIVALENCE)
        if claim.status is Status.SUPPORTED
    ]
    sentences += [
        f"{claim.heading}: {claim.statement}."
        for claim in report.claims
        if isinstance(claim.evidence, ArmEvidence) and claim.status is Status.SUPPORTED
    ]
    effects = stage_effects(report.claims, relative=report.data.analysis.scale == "log")
    for effect in effects:
        claim = effect.overall
        if effect.differs:
            sentences.append(f"{effect.stage} on {claim.system} depends on the configuration: {range_text(effect)}.")
        elif claim.status is Status.SUPPORTED:
            change = change_text(claim.estimate or 0.0, claim.interval, relative=effect.relative)
            sentences.append(f"{effect.stage} on {claim.system}: {_metric(report, claim)} {change}.")
    if not sentences and len(report.data.runs) > 1:
        return "No effect is significant, which is not evidence of no effect."
    return " ".join(sentences[:_SHOWN_LEVELS])


def _metric(report: Report, claim: Claim) -> str:
    name = getattr(claim.evidence, "metric", report.data.analysis.primary_metric)
    return report.data.quantity(name).label


def paragraph(parts: Sequence[tuple[str, str]]) -> str:
    """Join the parts to one paragraph."""
    return " ".join(text if name != "Next" else f"Next: {text}" for name, text in parts)
