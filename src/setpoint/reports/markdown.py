"""The report in Markdown, with tables and figures."""

import re
from collections.abc import Sequence

from setpoint.formatting import interval_text
from setpoint.reports.conditions import COLUMNS, NOTE, condition_table
from setpoint.reports.confirmation import COLUMNS as CONFIRMED
from setpoint.reports.confirmation import NOTE as OPTIMISM
from setpoint.reports.confirmation import confirmation_tables
from setpoint.reports.content import (
    RankedSystem,
    Report,
    case_error_text,
    counts,
    error_text,
    exploratory_text,
    failure_counts,
    interim_text,
    metric_text,
    one_line,
    parameter_space,
    rate_text,
    seeds_text,
    short_label,
    shown_claims,
    statistical_lines,
    ties_text,
    type_text,
    unfinished_text,
)
from setpoint.reports.files import BELOW, FIGURES, Files
from setpoint.reports.modes import HEADINGS, mode_table, mode_text
from setpoint.reports.recommendations import recommendations
from setpoint.reports.summary import summary
from setpoint.reports.usage import usage_lines

_SPECIAL = re.compile(r"([\\`*_\[\]|#~$])")


def render_markdown(report: Report, files: Files, figures: Sequence[str]) -> str:
    """Render the report; `figures` are file names below `figures/`."""
    data = report.data
    total, successful, failed = counts(data)
    classes = ", ".join(f"{name}: {number}" for name, number in failure_counts(data).items())
    interim, exploratory = interim_text(report), exploratory_text(report)
    lines = [
        f"# Experiment Report: {escape(data.id)}",
        "",
        *([f"> **{escape(interim)}**", ""] if interim else []),
        *([f"> {escape(exploratory)}", ""] if exploratory else []),
        *(line for name, text in summary(report) for line in (f"**{name}.** {escape(text)}", "")),
        *table(
            ("", ""),
            [
                ("Date", data.finished_at),
                ("Experiment type", type_text(data)),
                ("Systems", ", ".join(data.systems)),
                ("Parameter space", parameter_space(data)),
                ("Total experiments", str(total)),
                ("Successful runs", str(successful)),
                ("Failed runs", f"{failed}{f' ({classes})' if classes else ''}"),
                *([("Not finished", unfinished)] if (unfinished := unfinished_text(data)) else []),
            ],
        ),
        *(line for ranked in report.ranked for line in _system(report, ranked)),
        "",
        "## Statistical analysis",
        "",
        *_confirmed(report),
        *(f"- **{escape(heading)}:** {escape(answer)}" for heading, answer in statistical_lines(report, fixed=False)),
        "",
        *table(
            ("claim", "status", "result", "runs"),
            [(claim.heading, claim.status.value, claim.statement, str(claim.n_runs)) for claim in shown_claims(report)],
        ),
        "",
        "## Resource usage",
        "",
        *(f"- {label}: {escape(text)}" for label, text in usage_lines(report)),
        "",
        "## Recommendations",
        "",
        *(f"{number}. {escape(item)}" for number, item in enumerate(recommendations(report), start=1)),
        "",
        "## Files",
        "",
        *(f"- {label}: {escape(place)}" for label, place in files.lines()),
        "",
        BELOW,
    ]
    if figures:
        lines += ["", "## Figures"]
        lines += [line for name in figures for line in ("", f"![{escape(_title(name))}]({FIGURES}/{name})")]
    return "\n".join(lines) + "\n"


def _system(report: Report, ranked: RankedSystem) -> list[str]:
    columns = (
        "configuration",
        f"{ranked.metric.replace('_', ' ')}, {mode_text(report.data.analysis.mode(ranked.system).episodes)}",
        "interval",
        "seeds",
        "success",
        "parsed",
        "near-best",
    )
    near_best = {True: "yes", False: "no", None: "not testable"}
    rows = [
        (
            short_label(report.data, result),
            metric_text(result.mean),
            "" if result.interval is None else interval_text(*result.interval),
            seeds_text(result),
            rate_text(result.average("success_rate")),
            rate_text(result.average("parse_rate")),
            near_best[result.possibly_best],
        )
        for result in ranked.configurations
    ]
    return [
        "",
        f"## Configurations on {escape(ranked.system)}",
        "",
        *table(columns, rows),
        "",
        *([escape(ties_text(report, ranked)), ""] if len(ranked.configurations) > 1 else []),
        f"{escape(error_text(report, ranked))}.",
        "",
        escape(case_error_text(report.data, ranked.system)) + ".",
        "",
        *_beside_baselines(report, ranked),
        *_by_condition(report, ranked),
    ]


def _beside_baselines(report: Report, ranked: RankedSystem) -> list[str]:
    """Return the results beside the baselines, in every mode."""
    found = mode_table(report, ranked)
    if found is None:
        return []
    columns = ("controller", *(f"{found.heading(mode)}: {name}" for mode in found.modes for name in HEADINGS))
    rows = [(row.label, *(cell for mode in found.modes for cell in row.cells(mode))) for row in found.rows]
    return ["### Beside baselines", "", *table(columns, rows)]


def _confirmed(report: Report) -> list[str]:
    tables = confirmation_tables(report)
    lines = [line for t in tables for line in (f"### {escape(t.title)}", "", *table(CONFIRMED, t.rows), "")]
    return [*lines, OPTIMISM, ""] if lines else []


def _by_condition(report: Report, ranked: RankedSystem) -> list[str]:
    found = condition_table(report.conditions, ranked)
    return [] if found is None else ["", f"### {escape(found.title)}", "", *table(COLUMNS, found.rows), "", NOTE]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Format a Markdown table; cells are escaped."""
    lines = [columns, ["---"] * len(columns), *([escape(cell) for cell in row] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def escape(text: str) -> str:
    """Escape Markdown and HTML in `text`, and put it on one line."""
    plain = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", plain)


def code_block(text: str) -> str:
    """Fence `text` with more backticks than it contains, and replace characters that could control a terminal."""
    text = "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def _title(name: str) -> str:
    return name.rpartition(".")[0].replace("_", " ")
