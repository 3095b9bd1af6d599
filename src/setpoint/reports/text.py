"""The report as plain text, under fixed headings."""

from collections.abc import Sequence

from setpoint.analysis.data.claim import Claim, ClaimKind, Status, all_caveats
from setpoint.analysis.data.evidence import BestSetEvidence
from setpoint.analysis.data.subject import OneCell
from setpoint.analysis.runs.configurations import ConfigurationResult
from setpoint.formatting import counted, interval_text, number_text
from setpoint.reports.conditions import COLUMNS, NOTE, condition_table
from setpoint.reports.content import (
    REFERENCE_COLUMNS,
    SHOWN_CONFIGURATIONS,
    RankedSystem,
    Report,
    case_error_text,
    configuration_label,
    counts,
    failure_counts,
    interim_text,
    mean_name,
    metric_text,
    one_line,
    parameter_space,
    printable,
    rate_text,
    reference_rows,
    seeds_text,
    statistical_lines,
    unfinished_text,
)
from setpoint.reports.files import BELOW, HEADING, Files
from setpoint.reports.recommendations import recommendations
from setpoint.reports.usage import usage_lines


def render_text(report: Report, files: Files) -> str:
    """Render the report; the same data give the same text."""
    sections = [
        _head(report),
        _summary(report),
        _top(report),
        _statistics(report),
        ["=== Resource Usage ===", *(f"- {label}: {one_line(text)}" for label, text in usage_lines(report))],
        ["=== Recommendations ===", *_numbered(recommendations(report))],
        [HEADING, *(f"- {label}: {place}" for label, place in files.lines()), BELOW],
    ]
    return "\n\n".join("\n".join(printable(line) for line in section) for section in sections) + "\n"


def _head(report: Report) -> list[str]:
    data = report.data
    interim = interim_text(report)
    return [
        f"=== Experiment Report: {one_line(data.id)} ===",
        *([f"!! {interim}"] if interim else []),
        f"Date: {one_line(data.finished_at)}",
        f"Experiment Type: {one_line(data.type)}",
        f"Systems Tested: {', '.join(one_line(system) for system in data.systems)}",
        f"Parameter Space: {parameter_space(data)}",
    ]


def _summary(report: Report) -> list[str]:
    total, successful, failed = counts(report.data)
    lines = [
        "=== Results Summary ===",
        f"Total Experiments: {total}",
        f"Successful Runs: {successful}",
        f"Failed Runs: {failed}",
    ]
    if failed:
        lines.append("  " + ", ".join(f"{name}: {number}" for name, number in failure_counts(report.data).items()))
    if unfinished := unfinished_text(report.data):
        lines.append(f"Not Finished: {unfinished}")
    return lines


def _top(report: Report) -> list[str]:
    lines = ["=== Top Performing Configurations ==="]
    shown = max(3, SHOWN_CONFIGURATIONS // max(1, len(report.ranked)))
    number = 0
    for ranked in report.ranked:
        for result in ranked.with_result[:shown]:
            number += 1
            lines.append(f"{number}. {_configuration_line(report, ranked, result)}")
    if not number:
        lines.append("none: no run has been evaluated")
    for ranked in report.ranked:
        lines += ["", *_below_the_top(report, ranked, shown)]
    return lines


def _configuration_line(report: Report, ranked: RankedSystem, result: ConfigurationResult) -> str:
    label = configuration_label(report.data, result)
    notes = [seeds_text(result)]
    if result.interval is not None:
        notes.append(f"{_confidence(report)} {interval_text(*result.interval)}")
    notes += [
        f"success {rate_text(result.average('success_rate'))}",
        f"parsed {rate_text(result.average('parse_rate'))}",
    ]
    error = metric_text(ranked.errors.get(result.configuration))
    if ranked.metric != "final_error":
        notes.insert(0, f"{ranked.metric} {metric_text(result.mean)}")
    return f"{label} -> Error: {error} ({', '.join(notes)})"


def _confidence(report: Report) -> str:
    return f"{100 * (1 - report.data.analysis.alpha):g} %"


def _below_the_top(report: Report, ranked: RankedSystem, shown: int) -> list[str]:
    """Explain the ranking, and compare it with the reference controllers."""
    mode = report.data.analysis.judged.get(ranked.system, "")
    seeds = max(len(result.runs) for result in ranked.configurations)
    over_seeds = f", {mean_name(report.data, ranked)} over seeds" if seeds > 1 else ""
    lines = [
        f"{one_line(ranked.system)} ({mode.replace('_', ' ')}): error = final distance to the target, mean over test "
        f"cases{over_seeds}."
    ]
    more = len(ranked.with_result) - shown
    if more > 0:
        lines.append(f"{counted(more, 'more configuration')} in results.csv.")
    without = len(ranked.configurations) - len(ranked.with_result)
    if without:
        lines.append(f"{counted(without, 'configuration')} without a result.")
    if ranked.with_result and len(ranked.configurations) > 1:
        lines.append(_ties(report, ranked))
    lines.append(case_error_text(report.data, ranked.system) + ".")
    return [
        *lines,
        *aligned([REFERENCE_COLUMNS, *reference_rows(report.data, ranked.system)]),
        *_by_condition(report, ranked),
    ]


def _by_condition(report: Report, ranked: RankedSystem) -> list[str]:
    found = condition_table(report.conditions, ranked)
    return [] if found is None else ["", f"{one_line(found.title)}:", *aligned([COLUMNS, *found.rows]), NOTE]


def _ties(report: Report, ranked: RankedSystem) -> str:
    """Summarise the claim about the best configuration."""
    claim = report.claim(ClaimKind.BEST_CONFIGURATIONS, system=ranked.system)
    if claim is None or not isinstance(claim.evidence, BestSetEvidence):
        return "Too few seeds to test which configuration is best; the list is sorted by the observed means."
    if claim.status is Status.SUPPORTED:
        others = counted(claim.evidence.tested - 1, "tested configuration")
        return f"The best is significantly better than the other {others}."
    tied = len(claim.evidence.possibly_best)
    if tied == 1:
        return f"The first has the best observed mean, but this is not established: {one_line(claim.reason)}."
    return f"Near-best (statistically tied with the best): {tied} of {claim.evidence.tested} configurations."


def _statistics(report: Report) -> list[str]:
    lines = ["=== Statistical Analysis ==="]
    lines += [f"- {heading}: {answer}" for heading, answer in statistical_lines(report)]
    headed = {heading for heading, _ in statistical_lines(report)}
    others = [c for c in report.claims if c.heading not in headed and not isinstance(c.subject, OneCell)]
    lines += [f"- {claim.heading}: {one_line(claim.statement)}{_in_cells(report, claim)}" for claim in others]
    lines += [f"Note: {one_line(text)}." for text in all_caveats(report.claims)]
    analysis = report.data.analysis
    lines.append(
        f"Primary metric: {analysis.primary_metric} ({analysis.scale} scale), significance level "
        f"{number_text(analysis.alpha)}. Each trained run counts as one observation. Methods and details: claims.json."
    )
    return lines


def _in_cells(report: Report, overall: Claim) -> str:
    """Summarise the tests of single configurations behind an overall claim; report.md lists each of them."""
    own = [c for c in report.claims if c.kind is overall.kind and c.system == overall.system]
    cells = [c for c in own if isinstance(c.subject, OneCell)]
    if len(cells) < 2:
        return ""  # one cell is all cells
    tested = [cell for cell in cells if cell.p_adjusted is not None]
    if not tested:
        return f"; none of {len(cells)} cells testable ({one_line(cells[0].reason)})"
    helped = sum(cell.status is Status.SUPPORTED and (cell.estimate or 0.0) > 0.0 for cell in cells)
    harmed = sum(cell.status is Status.SUPPORTED and (cell.estimate or 0.0) < 0.0 for cell in cells)
    inconclusive = len(tested) - helped - harmed
    untested = f", not tested in {len(cells) - len(tested)}" if len(tested) < len(cells) else ""
    return f"; of {len(cells)} cells: helps in {helped}, harms in {harmed}, inconclusive in {inconclusive}{untested}"


def _numbered(items: Sequence[str]) -> list[str]:
    return [f"{number}. {item}" for number, item in enumerate(items, start=1)]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Format `rows` with aligned columns, two spaces apart."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
