"""The results as LaTeX: tables for a paper with booktabs, and its figures as PDF."""

from collections.abc import Sequence

from setpoint.formatting import interval_text
from setpoint.reports.content import (
    RankedSystem,
    Report,
    error_text,
    exploratory_text,
    metric_text,
    one_line,
    seeds_text,
    short_label,
)
from setpoint.reports.figures.report_figures import ReportFigures
from setpoint.reports.files import FIGURES
from setpoint.reports.modes import ModeTable, mode_table
from setpoint.reports.summary import paragraph, summary

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "×": r"$\times$",
    "²": r"$^2$",
}
_METRICS = ("final_error", "success_rate", "regret_median")
_HEADINGS = ("error", "success", "regret")


def render_latex(report: Report, figures: ReportFigures) -> str:
    """Render tables and figures; they need the packages booktabs and graphicx."""
    parts = [
        f"% Experiment {escape(report.data.id)}: \\usepackage{{booktabs,graphicx}}",
        "",
        *([escape(exploratory), ""] if (exploratory := exploratory_text(report)) else []),
        escape(_words(report)),
        "",
    ]
    for ranked in report.ranked:
        table = mode_table(report, ranked)
        if table is not None:
            parts += [*_baselines(report, ranked, table), "", *_configurations(report, ranked), ""]
    for each in [figure for found in figures.seeds.values() for figure in found] + list(figures.effects):
        parts += [
            r"\begin{figure}",
            r"  \centering",
            rf"  \includegraphics[width=\linewidth]{{{FIGURES}/{each.name}.pdf}}",
            rf"  \caption{{{escape(each.caption)}}}",
            r"\end{figure}",
            "",
        ]
    return "\n".join(parts)


def _words(report: Report) -> str:
    return paragraph([(name, text) for name, text in summary(report) if name != "Next"])


def _baselines(report: Report, ranked: RankedSystem, table: ModeTable) -> list[str]:
    """Return the results in every mode beside base and references."""
    width = len(_METRICS)
    heads = "".join(rf" & \multicolumn{{{width}}}{{c}}{{{escape(table.heading(mode))}}}" for mode in table.modes)
    names = " & ".join(["controller", *(_HEADINGS * len(table.modes))])
    rows = [
        " & ".join(map(escape, [row.label, *(cell for mode in table.modes for cell in row.cells(mode, _METRICS))]))
        for row in table.rows
    ]
    caption = f"{ranked.system} in every evaluation mode; {error_text(report, ranked)}."
    return _table("l" + "r" * width * len(table.modes), [heads, names], rows, caption)


def _configurations(report: Report, ranked: RankedSystem) -> list[str]:
    """Return every configuration with its interval in the primary mode."""
    rows = [
        " & ".join(
            map(
                escape,
                (
                    short_label(report.data, result),
                    metric_text(result.mean),
                    "" if result.interval is None else interval_text(*result.interval),
                    seeds_text(result),
                ),
            )
        )
        for result in ranked.configurations
    ]
    metric = report.data.quantity(ranked.metric).label
    head = " & ".join(map(escape, ("configuration", metric, "interval", "seeds")))
    return _table("lrll", [head], rows, f"All configurations on {ranked.system}, best first.")


def _table(columns: str, heads: Sequence[str], rows: Sequence[str], caption: str) -> list[str]:
    lines = [rf"    {row} \\" for row in rows]
    return [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape(caption)}}}",
        rf"  \begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        *(rf"    {head} \\" for head in heads),
        r"    \midrule",
        *lines,
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]


def escape(text: str) -> str:
    """Escape the special characters of LaTeX, and put `text` on one line."""
    return "".join(_SPECIAL.get(character, character) for character in one_line(text))
