"""Reports: what an experiment showed, for people and for programs, from result files only."""

from setpoint.reports.results import MEASUREMENT_COLUMNS
from setpoint.reports.usage import MEASUREMENT_LINES
from setpoint.reports.writer import write_reports

__all__ = ["MEASUREMENT_COLUMNS", "MEASUREMENT_LINES", "write_reports"]
