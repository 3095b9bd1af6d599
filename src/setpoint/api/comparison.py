"""Comparison of training arms: several experiments on the same systems and test cases, in one table."""

from setpoint.analysis.data.evaluations import read_arms
from setpoint.api.running import Notify, RunOptions, run_without_report
from setpoint.artifacts import Workspace
from setpoint.experiments.planning import comparison
from setpoint.experiments.planning.comparison import ArmSettings
from setpoint.experiments.request import make_request
from setpoint.experiments.running.status import require_plan
from setpoint.records.plan import Plan
from setpoint.reports.arms import write_arms


def compare_arms(settings: ArmSettings, workspace: Workspace, options: RunOptions, notify: Notify) -> tuple[str, bool]:
    """Run the missing parts and write the table.

    Returns:
        The table in Markdown, and whether every run is ok.

    Raises:
        RunInterrupted: SIGINT or SIGTERM was received; the same call resumes.
    """
    comparison.make_datasets(settings, workspace, notify)
    parts, complete = {}, True

    def planned(part: str) -> Plan:
        return require_plan(workspace, settings.experiment_id(part))

    for part, spec in comparison.specifications(settings, workspace, planned):
        identifier = settings.experiment_id(part)
        status = run_without_report(make_request(workspace, spec, experiment_id=identifier), options)
        complete &= status.counts.get("ok", 0) == len(status.runs)
        parts[identifier] = comparison.ROLES[part]
    report = workspace.experiment(settings.experiment_id(settings.parts[0])) / "reports" / "arms.md"
    return write_arms(read_arms(workspace, parts), report), complete
