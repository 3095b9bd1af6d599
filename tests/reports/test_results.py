"""The table of results and its cells."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from setpoint.analysis.data.reading import read_experiment
from setpoint.reports import write_reports
from setpoint.reports.content import build_report
from setpoint.reports.figures.report_figures import report_figures
from setpoint.reports.results import csv_text
from support.reports import effect, rows_of
from support.synthetic_experiment import Synthetic


def test_everything_is_written_and_parquet_equals_csv(tmp_path: Path) -> None:
    report = write_reports(Synthetic(tmp_path, log_error=effect, systems=("double_integrator", "pendulum")).write())
    names = {path.relative_to(report.parent).as_posix() for path in report.parent.rglob("*") if path.is_file()}
    figures = {
        f"figures/{figure.name}.svg" for figure in report_figures(build_report(read_experiment(report.parents[1]))).all
    }
    assert len(figures) >= 12
    tables = {"results.csv", "results.parquet", "baselines.csv", "claims.json"}
    assert names == {"report.txt", "report.md", "report.html", "report.tex"} | tables | figures
    table = pq.read_table(report.with_name("results.parquet")).to_pylist()
    for stored, read in zip(table, rows_of(report), strict=True):
        assert {name: "" if value is None else str(value) for name, value in stored.items()} == read
    claims = json.loads(report.with_name("claims.json").read_text())
    assert claims["schema"] == 1
    assert {"id", "status", "statement", "interval", "method"} <= set(claims["claims"][0])


def test_csv_cells_are_inert() -> None:
    text = csv_text([{"a": "=1+1", "b": "-x", "c": -1.5, "d": "two\nlines", "e": None}])
    assert text.splitlines()[1] == "'=1+1,'-x,-1.5,two lines,"
