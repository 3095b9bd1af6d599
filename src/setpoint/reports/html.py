"""The report as one self-contained HTML file: no network access and a strict content security policy.

Scripts draw the figures, with the library that the page contains, and sort and filter the runs; everything else can be
read without them. All text that comes from files is escaped by `text_of`.
"""

import json
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from setpoint.analysis.data.claim import Claim, ClaimKind
from setpoint.formatting import counted, interval_text, listed, p_text
from setpoint.reports.conditions import COLUMNS, NOTE, condition_table
from setpoint.reports.confirmation import COLUMNS as CONFIRMED
from setpoint.reports.confirmation import NOTE as OPTIMISM
from setpoint.reports.confirmation import confirmation_tables
from setpoint.reports.content import (
    NOT_MEASURED,
    RankedSystem,
    Report,
    asked,
    case_error_text,
    counts,
    error_text,
    exploratory_text,
    failure_counts,
    interim_text,
    level_line,
    metric_text,
    one_line,
    parameter_space,
    rate_text,
    seeds_text,
    short_label,
    shown_claims,
    ties_text,
    type_text,
    unfinished_text,
)
from setpoint.reports.figures import Figure
from setpoint.reports.figures.report_figures import ReportFigures
from setpoint.reports.figures.spec import CONFIG
from setpoint.reports.files import BELOW, Files
from setpoint.reports.guide import OF_KIND, TOPICS
from setpoint.reports.modes import HEADINGS, mode_table, mode_text
from setpoint.reports.recommendations import recommendations
from setpoint.reports.remedies import suggested_change
from setpoint.reports.results import Cell
from setpoint.reports.summary import summary
from setpoint.reports.usage import usage_lines

STATIC_RUNS = 300
"""Rows of the table of runs that are shown without scripts."""
SHOWN_ROWS = 60
RUN_COLUMNS = {
    "run": "run",
    "system": "system",
    "state": "state",
    "failure_class": "failure",
    "final_error": "final error",
    "success_rate": "success [%]",
    "control_cost": "cost J",
    "training_time_s": "training [s]",
}
SECTIONS = {
    "results": "Results beside baselines",
    "claims": "Effects",
    "statistics": "Statistics",
    "usage": "Resources",
    "recommendations": "Recommendations",
    "configurations": "Configurations",
    "maps": "Parameters",
    "failures": "Failures",
    "curves": "Learning curves",
    "trajectories": "Trajectories",
    "runs": "All runs",
    "files": "Files",
    "guide": "How to read this report",
}


def render_html(report: Report, generated: Files, results: Sequence[Mapping[str, Cell]], figures: ReportFigures) -> str:
    """Render the document with the table of `results` and the figures; the same data give the same bytes."""
    style, script, vega = (_asset(name) for name in ("report.css", "report.js", "vega.js"))
    title = f"Experiment Report: {report.data.id}"
    body = {
        "results": "".join(_beside_baselines(report, ranked, figures) for ranked in report.ranked),
        "claims": _effects(report, figures),
        "statistics": _statistics(report),
        "usage": _usage(report, figures),
        "recommendations": _list(recommendations(report), ordered=True),
        "configurations": "".join(_configurations(report, ranked, figures) for ranked in report.ranked),
        "maps": _figures([*figures.levels, *figures.maps]),
        "failures": _failures(report, figures),
        "curves": _figures(figures.curves),
        "trajectories": _figures(figures.trajectories),
        "runs": _runs(report, results),
        "files": _files(report, generated),
        "guide": _guide(),
    }
    shown = {name: content for name, content in body.items() if content}
    links = "".join(f'<li><a href="#{name}">{SECTIONS[name]}</a></li>' for name in shown)
    sections = "".join(
        f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{SECTIONS[name]}</h2>{content}</section>'
        for name, content in shown.items()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{_policy(style, [vega, script])}'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{text_of(title)}</title><style>{style}</style></head><body>"
        f'<a class="skip" href="#results">Skip to the results</a><header><h1>{text_of(title)}</h1>{_summary(report)}'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header><main>{sections}</main>'
        f"{_figure_data(figures)}<script>{vega}</script><script>{script}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return (files("setpoint.reports") / "assets" / name).read_text(encoding="utf-8").strip()


def _policy(style: str, scripts: Sequence[str]) -> str:
    """Return the policy that allows only this style and these scripts, and no fetching, sending, framing or `eval`."""
    style_hash, *hashes = [b64encode(sha256(text.encode()).digest()).decode() for text in (style, *scripts)]
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    policy = (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src {allowed}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return f'<meta http-equiv="Content-Security-Policy" content="{policy}">'


def _figure_data(figures: ReportFigures) -> str:
    """Return the specifications of all figures, which the script draws where their names are."""
    specs = {each.name: {"spec": each.compact(), "reserve": each.reserve} for each in figures.all}
    return _json_script("figures-data", {"config": CONFIG, "figures": specs})


def _json_script(name: str, content: Any) -> str:
    """Return JSON as an inert script element: in it, only `<` can close it or open another."""
    data = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return f'<script type="application/json" id="{name}">{data.replace("<", LESS)}</script>'


LESS = "\\u003c"
"""The escape of `<` in JSON (HTML Standard, "Restrictions for contents of script elements")."""


def text_of(value: str) -> str:
    """Escape `value` for HTML, and put it on one line without control characters."""
    return escape(one_line(value), quote=True)


def _summary(report: Report) -> str:
    data = report.data
    total, successful, failed = counts(data)
    classes = ", ".join(f"{name}: {number}" for name, number in failure_counts(data).items())
    interim = interim_text(report)
    notes = [text for text in (interim, exploratory_text(report)) if text]
    banner = "".join(f'<p class="interim" role="status">{text_of(text)}</p>' for text in notes)
    words = "".join(
        f"<p><strong>{text_of(name)}.</strong> {text_of(text)}{_explanation_of(name)}</p>"
        for name, text in summary(report)
    )
    return f'{banner}<div class="summary">{words}</div>' + _definitions(
        [
            ("Date", data.finished_at),
            ("Experiment type", type_text(data)),
            ("Systems tested", ", ".join(data.systems)),
            ("Parameter space", parameter_space(data)),
            ("Total experiments", str(total)),
            ("Successful runs", str(successful)),
            ("Failed runs", f"{failed}{f' ({classes})' if classes else ''}"),
            *([("Not finished", unfinished)] if (unfinished := unfinished_text(data)) else []),
        ]
    )


def _definitions(pairs: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{text_of(label)}</dt><dd>{text_of(value)}</dd>" for label, value in pairs)
    return f'<dl class="facts">{rows}</dl>'


def _files(report: Report, generated: Files) -> str:
    """List all paths, with links to those that exist; the page is three folders below the workspace."""
    root = report.data.workspace.root
    rows = "".join(
        f"<dt>{text_of(label)}</dt><dd>{', '.join(_place(root, place) for place in places)}</dd>"
        for label, places in generated.places()
    )
    return f'<dl class="facts">{rows}</dl><p>{text_of(BELOW)}</p>'


def _place(root: Path, place: str) -> str:
    if not (root / place).exists():
        return text_of(place)
    return f'<a href="../../../{quote(place)}">{text_of(place)}</a>'


def _list(items: Sequence[str], *, ordered: bool) -> str:
    kind = "ol" if ordered else "ul"
    return f"<{kind}>{''.join(f'<li>{text_of(item)}</li>' for item in items)}</{kind}>"


def _beside_baselines(report: Report, ranked: RankedSystem, figures: ReportFigures) -> str:
    """Render the best configurations beside base and references in every mode, then the figure of all configurations.

    The heading names the primary mode, in which configurations are ranked and compared.
    """
    found = mode_table(report, ranked)
    heading = f"<h3>{text_of(ranked.system)}</h3>"
    if found is None:
        return f"{heading}<p>No results yet.</p>"
    groups = "".join(
        f'<th scope="colgroup" colspan="{len(HEADINGS)}">{text_of(found.heading(mode))}</th>' for mode in found.modes
    )
    names = "".join(f'<th scope="col">{text_of(name)}</th>' for _ in found.modes for name in HEADINGS)
    lines = "".join(
        f'<tr{" class=trained" if row.trained else ""}><th scope="row">{_breakable(row.label)}</th>'
        + "".join(f"<td>{text_of(cell)}</td>" for mode in found.modes for cell in row.cells(mode))
        + "</tr>"
        for row in found.rows
    )
    ties = f"{ties_text(report, ranked)} " if len(ranked.configurations) > 1 else ""
    sure = text_of(f"{ties}{case_error_text(report.data, ranked.system)}.")
    caption = text_of(f"{ranked.system} in every evaluation mode; {error_text(report, ranked)}.")
    table = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table><caption>{caption}</caption>'
        f'<thead><tr><th scope="col" rowspan="2">controller</th>{groups}</tr><tr>{names}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )
    return f"{heading}{table}<p>{sure}</p>{_figures(figures.seeds.get(ranked.system, ()))}"


def _effects(report: Report, figures: ReportFigures) -> str:
    """Render the questions that were asked with the answers of their claims, and the figure of the same claims."""
    shown = asked(report)
    lines = [
        f"<li>{_badge(claim)}<span><strong>{text_of(claim.heading)}:</strong> {text_of(one_line(claim.statement))} "
        f"{_explained(claim.kind)}</span></li>"
        for claim in shown
    ]
    answers = f'<ul class="claims">{"".join(lines)}</ul>' if lines else "<p>Nothing was compared.</p>"
    return answers + _figures(figures.effects)


def _statistics(report: Report) -> str:
    """Render what the answers rest on: metric, mode, caveats, and the table of all tests."""
    analysis = report.data.analysis
    metric = report.data.quantity(analysis.primary_metric)
    modes = listed([f"{name} in {mode_text(analysis.mode(name).episodes)}" for name in report.data.systems])
    unit = f" [{metric.unit}]" if metric.unit else ""
    note = (
        f"Primary metric: {metric.label}{unit} ({analysis.scale} scale), {modes}; "
        f"{level_line(report.data)}. Each trained run counts as one observation."
    )
    notes = _list(report.notes, ordered=False) if report.notes else ""
    return f"<p>{text_of(note)}</p>{_confirmed(report)}{notes}{_claims_table(report)}"


def _guide() -> str:
    """Render the guide for a reader who knows a t-test."""
    return "".join(
        f'<h3 id="how-{topic.anchor}">{text_of(topic.title)}</h3><p>{text_of(topic.text)}</p>' for topic in TOPICS
    )


def _confirmed(report: Report) -> str:
    tables = confirmation_tables(report)
    return "".join(_table(CONFIRMED, t.rows, f"{t.title}. {OPTIMISM}") for t in tables)


def _badge(claim: Claim) -> str:
    status = claim.status.value
    return f'<span class="status {status}">{status.replace("_", " ")}</span>'


def _claims_table(report: Report) -> str:
    shown = shown_claims(report)
    lines = "".join(_claim_row(claim, report.data.analysis.alpha) for claim in shown[: 4 * SHOWN_ROWS])
    columns = ("claim", "status", "result", "interval", "adjusted p", "runs", "method", "explanation")
    more = f"First {4 * SHOWN_ROWS} of {len(shown)} tests; all in claims.json." if len(shown) > 4 * SHOWN_ROWS else ""
    table = _framed(columns, lines, more or "All tests, with confidence intervals and methods.")
    return f"<details><summary>All tests ({len(shown)})</summary>{table}</details>"


def _claim_row(claim: Claim, alpha: float) -> str:
    cells = (
        claim.status.value.replace("_", " "),
        claim.statement,
        "" if claim.interval is None else interval_text(*claim.interval),
        "" if claim.p_adjusted is None else p_text(claim.p_adjusted, alpha),
        str(claim.n_runs),
        claim.method,
    )
    return (
        f'<tr><th scope="row">{_breakable(claim.heading)}</th>'
        f"{''.join(f'<td>{text_of(cell)}</td>' for cell in cells)}<td>{_explained(claim.kind)}</td></tr>"
    )


def _explanation_of(part: str) -> str:
    """Return a link for the parts of the summary that state results; empty for the others."""
    kind = {"Result": ClaimKind.BEST_CONFIGURATIONS, "Effects": ClaimKind.OPTIMAL_LEVEL}.get(part)
    return "" if kind is None else f" {_explained(kind)}"


def _explained(kind: ClaimKind) -> str:
    """Return a link to the topic of the guide in this page that explains claims of this kind."""
    return f'<a href="#how-{OF_KIND[kind]}" aria-label="how it was tested">how?</a>'


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    lines = "".join(
        f'<tr><th scope="row">{_breakable(row[0])}</th>{"".join(f"<td>{text_of(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return _framed(columns, lines, caption)


def _framed(columns: Sequence[str], lines: str, caption: str) -> str:
    """Return the table with these columns, rows in HTML and caption."""
    head = "".join(f'<th scope="col">{text_of(column)}</th>' for column in columns)
    label = text_of(caption)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table><caption>{label}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _breakable(name: str) -> str:
    """Escape a name, and allow line breaks after its underscores."""
    return text_of(name).replace("_", "_<wbr>")


def _figures(figures: Sequence[Figure]) -> str:
    """Return the places of figures, each with its caption as text alternative; scripts draw them."""
    drawn = "".join(
        f'<figure><div class="plot" data-figure="{text_of(each.name)}" role="img" aria-label="{text_of(each.caption)}">'
        f"</div><figcaption>{text_of(each.caption)}</figcaption></figure>"
        for each in figures
    )
    return f'<div class="charts">{drawn}</div>' if figures else ""


def _configurations(report: Report, ranked: RankedSystem, figures: ReportFigures) -> str:
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
        for result in ranked.configurations[:SHOWN_ROWS]
    ]
    mode = mode_text(report.data.analysis.mode(ranked.system).episodes)
    metric = f"{report.data.quantity(ranked.metric).label}, {mode}"
    columns = ("configuration", metric, "interval", "seeds", "success", "parsed", "near-best")
    count = len(ranked.configurations)
    caption = f"{counted(count, 'configuration')} on {ranked.system}, best first"
    caption += f" (the first {SHOWN_ROWS} are shown)." if count > SHOWN_ROWS else "."
    drawn = _figures(figures.of_configurations.get(ranked.system, ()))
    table = _table(columns, rows, caption)
    return f"<h3>{text_of(ranked.system)}</h3>{drawn}{table}{_by_condition(report, ranked)}"


def _by_condition(report: Report, ranked: RankedSystem) -> str:
    found = condition_table(report.conditions, ranked)
    return "" if found is None else f"{_table(COLUMNS, found.rows, f'{found.title}.')}<p>{text_of(NOTE)}</p>"


def _failures(report: Report, figures: ReportFigures) -> str:
    if not figures.failures:
        return ""
    failed = [run for run in report.data.runs if run.failure is not None]
    rows = [
        (run.name, run.failure.failure_class, run.failure.reason[:300], suggested_change(run))
        for run in failed[:SHOWN_ROWS]
        if run.failure is not None
    ]
    caption = "Failed runs. failures.md has the evidence and the commands that reproduce them."
    return _figures(figures.failures) + _table(("run", "class", "reason", "suggested change"), rows, caption)


def _usage(report: Report, figures: ReportFigures) -> str:
    return _definitions(usage_lines(report)) + _figures(figures.costs)


def _runs(report: Report, rows: Sequence[Mapping[str, Cell]]) -> str:
    """Render the table of runs, which scripts sort, filter and page; without scripts, show its first rows."""
    factors = [name for name in report.data.analysis.factors if name not in RUN_COLUMNS]
    names = ["run", *factors, *(name for name in RUN_COLUMNS if name != "run")]
    names = [name for name in names if any(row.get(name) is not None for row in rows)]
    columns = [
        {"name": name, "label": RUN_COLUMNS.get(name, name), "none": "–" if name == "failure_class" else NOT_MEASURED}
        for name in names
    ]
    cells = [[_compact(name, row[name]) for name in names] for row in rows]
    none = [str(column["none"]) for column in columns]
    static = [
        [blank if cell is None else str(cell) for cell, blank in zip(row, none, strict=True)]
        for row in cells[:STATIC_RUNS]
    ]
    note = "All runs."
    if len(rows) > STATIC_RUNS:
        note = f"The first {STATIC_RUNS} of {len(rows)} rows; all in results.csv."
    labels = [str(column["label"]) for column in columns]
    return (
        f'<noscript>{_table(labels, static, note)}</noscript><div id="runs-view" hidden><div class="controls">'
        '<label>Filter<input id="runs-search" type="search" autocomplete="off"></label>'
        '<label>State<select id="runs-state"><option value="">all</option></select></label>'
        '<button id="runs-before" type="button">Previous page</button>'
        '<button id="runs-after" type="button">Next page</button><output id="runs-status" aria-live="polite"></output>'
        '</div><div class="scroll" tabindex="0" role="region" aria-label="All runs"><table><caption>One row per run '
        "and system. Click a column header to sort.</caption><thead><tr></tr></thead><tbody></tbody></table></div>"
        f"</div>{_json_script('runs-data', {'columns': columns, 'rows': cells})}"
    )


def _compact(name: str, value: Cell) -> Cell:
    """Round to five significant digits (percentages to three), which is enough to read and sort."""
    if isinstance(value, float):
        if name == "success_rate":
            return float(f"{100.0 * value:.3g}")
        return float(f"{value:.5g}") if math.isfinite(value) else str(value)
    return one_line(value)[:200] if isinstance(value, str) else value
