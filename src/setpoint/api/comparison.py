"""Comparison of training arms: several experiments on the same systems and test cases, in one table."""

from dataclasses import dataclass, replace

from setpoint.analysis.data.evaluations import read_arms
from setpoint.api.planning import preview
from setpoint.api.running import Notify, RunOptions, run_without_report
from setpoint.artifacts import Workspace
from setpoint.errors import InputError
from setpoint.experiments.planning import comparison
from setpoint.experiments.planning.comparison import ArmSettings
from setpoint.experiments.planning.spec import ExperimentSpec
from setpoint.experiments.request import make_request
from setpoint.experiments.running.status import require_plan
from setpoint.records.plan import Plan
from setpoint.reports.arms import write_arms


@dataclass(frozen=True)
class PartEstimate:
    """Estimated cost of one part of a comparison.

    Attributes:
        runs: number of runs.
        left: number of unfinished stages.
        cpu_s: CPU time [s]; None if nothing comparable has run in the workspace.
        wall_s: wall-clock time [s]; None as for `cpu_s`.
    """

    part: str
    runs: int
    left: int
    cpu_s: float | None
    wall_s: float | None


def estimate_arms(settings: ArmSettings, workspace: Workspace) -> list[PartEstimate]:
    """Estimate the cost of every part, without running anything.

    Datasets that do not exist yet are replaced by those of the systems, which have the same cost per step. The
    equal-compute control costs as much as the training that it is compared with.
    """
    found = [_estimate(settings, workspace, part, spec) for part, spec in comparison.independent_parts(settings)]
    whole = next((each for each in found if each.part == comparison.OPTIMAL), None)
    if comparison.CONTROL in settings.parts and whole is not None:
        found.append(replace(whole, part=comparison.CONTROL))
    return found


def _estimate(settings: ArmSettings, workspace: Workspace, part: str, spec: ExperimentSpec) -> PartEstimate:
    try:
        prepared = preview(make_request(workspace, spec, experiment_id=settings.experiment_id(part)))
    except InputError:  # its datasets do not exist yet
        prepared = preview(make_request(workspace, spec.model_copy(update={"datasets": ()})))
    expected = prepared.estimate()
    known = not expected.unknown
    unfinished = [
        name for name, stage in prepared.plan.stages.items() if not workspace.stage(stage.kind, name).finished()
    ]
    return PartEstimate(
        part=part,
        runs=len(prepared.plan.runs),
        left=len(unfinished),
        cpu_s=expected.cpu_s if known else None,
        wall_s=expected.wall_s if known else None,
    )


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
