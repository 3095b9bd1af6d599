"""Write all reports of an experiment from its result files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from setpoint.analysis.data import claim as claims_module
from setpoint.analysis.data.claim import Claim
from setpoint.analysis.data.experiment import ExperimentData
from setpoint.analysis.data.reading import read_experiment
from setpoint.artifacts import open_for_writing, read_json, remove, temporary_path, write_json, write_text
from setpoint.errors import InputError, SetpointError
from setpoint.reports.conditions import condition_rows
from setpoint.reports.content import Report, build_report
from setpoint.reports.failures import render_failures
from setpoint.reports.figures.files import can_draw
from setpoint.reports.figures.report_figures import ReportFigures, report_figures, save_all
from setpoint.reports.files import FIGURES, REPORTS, generated_files
from setpoint.reports.html import render_html
from setpoint.reports.latex import render_latex
from setpoint.reports.markdown import render_markdown
from setpoint.reports.modes import baseline_rows
from setpoint.reports.results import csv_text, result_rows, write_parquet
from setpoint.reports.text import render_text

CLAIMS = "claims.json"


def write_reports(
    experiment_dir: Path, *, figures: bool | Sequence[str] = True, running: bool = False, strict: bool = False
) -> Path:
    """Write `reports/` of the experiment in this folder, and return the path of report.txt.

    All numbers are computed from the plan and the result files, so writing again gives the same files.

    Args:
        experiment_dir: the experiment's folder.
        figures: formats of the figure files, of `svg`, `pdf` and `png`; True for `svg`, False for none. The HTML page
            always contains its figures.
        running: mark the report as one of a running experiment, which files alone cannot tell.
        strict: correct for all families of tests together, so that the significance level bounds the probability of
            any false finding in the report.

    Raises:
        InputError: the folder holds no experiment, or has links.
    """
    open_for_writing(experiment_dir)
    report = build_report(read_experiment(experiment_dir), running=running, strict=strict)
    folder = experiment_dir / REPORTS
    folder.mkdir(exist_ok=True)
    found = report_figures(report)
    formats = ("svg",) if figures is True else tuple(figures or ())
    drawn, place = _write_figures(report, found, folder / FIGURES, formats)
    files = generated_files(report, place)
    rows = result_rows(report.data)
    write_text(folder / "results.csv", csv_text(rows))
    write_parquet(folder / "results.parquet", rows)
    write_text(folder / "baselines.csv", csv_text(baseline_rows(report.data)))
    _write_conditions(report, folder / "conditions.csv")
    write_json(folder / CLAIMS, claims_json(report))
    write_text(folder / "report.tex", render_latex(report, found))
    write_text(folder / "report.md", render_markdown(report, files, drawn))
    write_text(folder / "report.html", render_html(report, files, rows, found))
    _write_failures(report.data, folder / "failures.md")
    write_text(folder / "report.txt", render_text(report, files))
    return folder / "report.txt"


def claims_json(report: Report) -> dict[str, Any]:
    """Return the content of claims.json."""
    return {
        "schema": claims_module.SCHEMA,
        "experiment": report.data.id,
        "primary_metric": report.data.analysis.primary_metric,
        "strict": report.strict,
        "claims": [claims_module.to_json(claim) for claim in report.claims],
    }


def read_claims_json(report: Path) -> dict[str, Any]:
    """Return the content of the claims.json next to `report`, which `write_reports` returned."""
    content: dict[str, Any] = read_json(report.with_name(CLAIMS))
    return content


def read_claims(report: Path) -> list[Claim]:
    """Return the claims in the claims.json next to `report`, which `write_reports` returned."""
    return [claims_module.from_json(fields) for fields in read_claims_json(report)["claims"]]


def _write_conditions(report: Report, path: Path) -> None:
    """Write the results of a comprehensive evaluation, if there was one."""
    rows = condition_rows(report.conditions)
    if rows:
        write_text(path, csv_text(rows))


def _write_failures(data: ExperimentData, path: Path) -> None:
    """Write the failure report, or delete an earlier one if no run has failed."""
    text = render_failures(data)
    if text is None:
        path.unlink(missing_ok=True)
    else:
        write_text(path, text)


def _write_figures(
    report: Report, figures: ReportFigures, folder: Path, formats: Sequence[str]
) -> tuple[list[str], str]:
    """Draw the figures; return their names, and their folder or why there are none.

    They are drawn beside the earlier ones and then replace them one by one, so that no moment is without figures.
    """
    names, place = [], ""
    if not formats:
        place = "skipped (--no-figures)"
    elif not figures.all:
        place = "none (no results to draw yet)"
    elif not can_draw():
        place = "skipped: vl-convert-python is not installed (pip install 'setpoint[report]')"
    else:
        try:
            names = _replace_figures(figures, folder, formats)
            place = f"experiments/{report.data.folder.name}/{REPORTS}/{FIGURES}"
        except InputError:
            raise
        except SetpointError as error:  # the page draws them itself
            place = f"none ({error})"
    for earlier in folder.glob("*"):
        if earlier.name not in names:
            remove(earlier)
    if not names:
        remove(folder)
    return names, place


def _replace_figures(figures: ReportFigures, folder: Path, formats: Sequence[str]) -> list[str]:
    drawn = temporary_path(folder)
    try:
        names = save_all(figures.all, drawn, formats)
        folder.mkdir(exist_ok=True)
        for name in names:
            (drawn / name).replace(folder / name)
        return names
    finally:
        remove(drawn)
