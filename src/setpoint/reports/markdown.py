"""The report in Markdown, with tables and figures."""

import re
from collections.abc import Sequence

from setpoint.formatting import interval_text
from setpoint.reports.conditions import COLUMNS, NOTE, condition_table
from setpoint.reports.content import (
    REFERENCE_COLUMNS,
    RankedSystem,
    Report,
    case_error_text,
    counts,
    failure_counts,
    interim_text,
    metric_text,
    one_line,
    parameter_space,
    rate_text,
    reference_rows,
    seeds_text,
    short_label,
    statistical_lines,
    unfinished_text,
)
from setpoint.reports.files import BELOW, FIGURES, Files
from setpoint.reports.recommendations import recommendations
from setpoint.reports.usage import usage_lines

_SPECIAL = re.compile(r"([\\`*_\[\]|#~$])")


def render_markdown(report: Report, files: Files, figures: Sequence[str]) -> str:
    """Render the report; `figures` are file names below `figures/`."""
    data = report.data
    total, successful, failed = counts(data)
    classes = ", ".join(f"{name}: {number}" for name, number in failure_counts(data).items())
    interim = interim_text(report)
    lines = [
        f"# Experiment Report: {escape(data.id)}",
        "",
        *([f"> **{escape(interim)}**", ""] if interim else []),
        *table(
            ("", ""),
            [
                ("Date", data.finished_at),
                ("Experiment type", data.type),
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
        *(f"- **{escape(heading)}:** {escape(answer)}" for heading, answer in statistical_lines(report)),
        "",
        *table(
            ("claim", "status", "result", "runs"),
            [(claim.heading, claim.status.value, claim.statement, str(claim.n_runs)) for claim in report.claims],
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
        ranked.metric.replace("_", " "),
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
        escape(case_error_text(report.data, ranked.system)) + ".",
        "",
        *table(REFERENCE_COLUMNS, reference_rows(report.data, ranked.system)),
        *_by_condition(report, ranked),
    ]


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
