"""Error rates and coverage of claims on simulated experiments with known ground truth."""

import tempfile
from pathlib import Path
from time import process_time

from setpoint.analysis.data.claim import Claim
from setpoint.artifacts import Workspace
from setpoint.errors import SetpointError
from setpoint.reports import read_claims, write_reports
from setpoint.truth.scenarios import scenarios
from setpoint.truth.verification import FEW, TargetOutcome, folder_row, reached, simulate


def grade_scenario(name: str, simulations: int, folders: int = 0) -> tuple[list[TargetOutcome], float]:
    """Simulate one scenario and compare its claims with the ground truth.

    Args:
        name: name of the scenario.
        simulations: number of simulated experiments.
        folders: number of experiment folders to write and report as well.

    Returns:
        The outcome of each target, and the CPU time in seconds.
    """
    started = process_time()
    scenario = next(each for each in scenarios() if each.name == name)
    rows = reached(simulate(scenario, min(simulations, FEW) if scenario.statuses_only else simulations))
    if folders and not scenario.table:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(folder_row(scenario, folders, Path(folder), reported_claims))
    return rows, process_time() - started


def reported_claims(workspace: Path, experiment: str) -> list[Claim] | None:
    """Return the claims in the report of an experiment, or None if writing it fails."""
    try:
        report = write_reports(Workspace(workspace).experiment(experiment), figures=False)
    except SetpointError:
        return None
    return read_claims(report)
