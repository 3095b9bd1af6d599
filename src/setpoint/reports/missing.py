"""Attempts of which nothing was measured, and what a cost says that they are missing from."""

from collections.abc import Iterable

from setpoint.analysis.experiment import RunResult
from setpoint.analysis.wording import counted
from setpoint.reports.content import NOT_MEASURED


def unmeasured(runs: Iterable[RunResult]) -> dict[str, int]:
    """Stage -> attempts of which nothing was measured, each stage of `runs` once."""
    return {stage: count for run in runs for stage, count in run.unmeasured.items()}


def missing_text(attempts: int) -> str:
    """What is to be said after a cost that some attempts are missing from."""
    return f"; {counted(attempts, 'attempt')} {NOT_MEASURED}" if attempts else ""
