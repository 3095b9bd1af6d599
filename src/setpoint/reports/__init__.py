"""Reports of an experiment for people (text, Markdown, HTML) and programs (CSV, Parquet, JSON), from result files."""

from setpoint.reports.results import MEASUREMENT_COLUMNS
from setpoint.reports.usage import MEASUREMENT_LINES
from setpoint.reports.writer import read_claims, read_claims_json, write_reports

__all__ = ["MEASUREMENT_COLUMNS", "MEASUREMENT_LINES", "read_claims", "read_claims_json", "write_reports"]
