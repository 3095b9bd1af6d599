"""The report as plain text, under fixed headings."""

from collections.abc import Sequence
from textwrap import wrap

from setpoint.analysis.data.claim import Claim, Status
from setpoint.analysis.data.subject import OneCell
from setpoint.analysis.runs.configurations import ConfigurationResult
from setpoint.formatting import counted, interval_text
from setpoint.reports.conditions import COLUMNS, NOTE, condition_table
from setpoint.reports.confirmation import COLUMNS as CONFIRMED
from setpoint.reports.confirmation import NOTE as OPTIMISM
from setpoint.reports.confirmation import confirmation_tables
from setpoint.reports.content import (
    SHOWN_CONFIGURATIONS,
    RankedSystem,
    Report,
    case_error_text,
    configuration_label,
    counts,
    error_text,
    exploratory_text,
    failure_counts,
    interim_text,
    level_line,
    metric_text,
    one_line,
    parameter_space,
    printable,
    rate_text,
    seeds_text,
    shown_claims,
    statistical_lines,
    ties_text,
    type_text,
    unfinished_text,
)
from setpoint.reports.files import BELOW, HEADING, Files
from setpoint.reports.modes import mode_table, mode_text
from setpoint.reports.recommendations import recommendations
from setpoint.reports.summary import paragraph, summary
from setpoint.reports.usage import usage_lines

_SHOWN = ("final_error", "success_rate", "regret_median")
_SHOWN_NAMES = ("error", "success", "regret")
_LABEL = 31
WIDTH = 80


def wrapped(text: str) -> list[str]:
    """Break a paragraph into lines that fit a terminal."""
    return wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


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
        *wrapped(exploratory_text(report)),
        f"Date: {one_line(data.finished_at)}",
        f"Experiment Type: {type_text(data)}",
        f"Systems Tested: {', '.join(one_line(system) for system in data.systems)}",
        f"Parameter Space: {parameter_space(data)}",
        "",
        *wrapped(paragraph(summary(report))),
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
    """Explain the ranking, and put it beside the base and the reference controllers, in every mode."""
    mode = mode_text(report.data.analysis.mode(ranked.system).episodes)
    lines = [f"{one_line(ranked.system)} ({mode}): {error_text(report, ranked)}."]
    more = len(ranked.with_result) - shown
    if more > 0:
        lines.append(f"{counted(more, 'more configuration')} in results.csv.")
    without = len(ranked.configurations) - len(ranked.with_result)
    if without:
        lines.append(f"{counted(without, 'configuration')} without a result.")
    if ranked.with_result and len(ranked.configurations) > 1:
        lines.append(ties_text(report, ranked))
    lines.append(case_error_text(report.data, ranked.system) + ".")
    return [
        *lines,
        *_beside_baselines(report, ranked),
        *_by_condition(report, ranked),
    ]


def _beside_baselines(report: Report, ranked: RankedSystem) -> list[str]:
    """Return the results in every mode, at most two modes side by side so that the table fits a terminal."""
    table = mode_table(report, ranked)
    if table is None:
        return []
    names = iter([configuration_label(report.data, result).partition(", ")[2] for result in ranked.with_result])
    labels = [next(names) if row.trained else row.label for row in table.rows]
    lines = []
    for k in range(0, len(table.modes), 2):
        modes = table.modes[k : k + 2]
        wide = [len(mode_text(mode)) for mode in modes]
        rows = [
            [_cut(label), *(cell for mode in modes for cell in row.cells(mode, _SHOWN))]
            for label, row in zip(labels, table.rows, strict=True)
        ]
        body = aligned([["", *(_SHOWN_NAMES * len(modes))], *rows])
        first = body[0].find(_SHOWN_NAMES[0])
        second = body[0].find(_SHOWN_NAMES[0], first + 1)
        head = " " * first + table.heading(modes[0])
        if len(wide) == 2:
            head = head.ljust(max(second, len(head) + 1)) + table.heading(modes[1])
        lines += [head, *body]
    return lines


def _cut(label: str) -> str:
    return label if len(label) <= _LABEL else label[: _LABEL - 1] + "…"


def _by_condition(report: Report, ranked: RankedSystem) -> list[str]:
    found = condition_table(report.conditions, ranked)
    return [] if found is None else ["", f"{one_line(found.title)}:", *aligned([COLUMNS, *found.rows]), NOTE]


def _statistics(report: Report) -> list[str]:
    lines = ["=== Statistical Analysis ===", *_confirmed(report)]
    if len(report.data.runs) == 1:
        lines.append("- One model: no parameter was varied, so nothing is compared.")
    lines += [f"- {heading}: {answer}" for heading, answer in statistical_lines(report)]
    headed = {heading for heading, _ in statistical_lines(report)}
    others = [c for c in shown_claims(report) if c.heading not in headed and not isinstance(c.subject, OneCell)]
    lines += [f"- {claim.heading}: {one_line(claim.statement)}{_in_cells(report, claim)}" for claim in others]
    lines += [f"Note: {one_line(text)}." for text in report.notes]
    analysis = report.data.analysis
    lines.append(
        f"Primary metric: {analysis.primary_metric} ({analysis.scale} scale), "
        f"{level_line(report.data)}. Each trained run counts as one observation. Methods and details: claims.json."
    )
    return lines


def _confirmed(report: Report) -> list[str]:
    """Put the fresh scores of a confirmation beside those of the sweep."""
    tables = confirmation_tables(report)
    lines = [line for t in tables for line in (f"{t.title}:", *aligned([CONFIRMED, *t.rows]))]
    return [*lines, OPTIMISM] if lines else []


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
