"""Replay a capsule: check its files, compute its report again, and compute some of its stages again."""

import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from setpoint.artifacts import StageKind, Workspace, parse_json
from setpoint.capsules.checking import Finding, inconsistencies, plan_of, unpack
from setpoint.capsules.comparing import Comparison, Verdict, compare_stage
from setpoint.errors import InputError
from setpoint.execution import LocalExecutor, planned_task
from setpoint.experiments.planning.build import stage_id
from setpoint.experiments.planning.stages import PRELOAD, STAGES
from setpoint.experiments.running.links import link_models
from setpoint.plain_text import one_line
from setpoint.records.plan import Plan
from setpoint.reports import write_reports
from setpoint.reports.files import REPORTS
from setpoint.reports.writer import CLAIMS

COMPARED = (CLAIMS, "results.csv", "baselines.csv", "conditions.csv", "failures.md", "report.txt")
"""Files of the report that are compared; the others hold the same content in other forms, with figures."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay found.

    Attributes:
        findings: files, stages and seeds that do not belong together; empty for an intact capsule.
        comparisons: the report and the stages that were computed again.
    """

    experiment: str
    findings: tuple[Finding, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all."""
        if self.findings:
            return Verdict.DIFFERENT
        order = (Verdict.NOT_RUN, Verdict.EQUAL, Verdict.CLOSE, Verdict.DIFFERENT)
        return max((each.verdict for each in self.comparisons), key=order.index, default=Verdict.NOT_RUN)

    def to_json(self) -> dict[str, Any]:
        """Return the values by name."""
        return {
            "experiment": self.experiment,
            "verdict": self.verdict.value,
            "findings": [{"place": each.place, "text": each.text} for each in self.findings],
            "comparisons": [each.to_json() for each in self.comparisons],
        }


def replay(
    capsule: Path,
    *,
    spot: int = 3,
    seed: int | None = None,
    targets: Mapping[StageKind, str] | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> Replay:
    """Check a capsule in a temporary folder, compute its report again, and `spot` of its stages.

    Args:
        spot: finished stages to compute again, drawn at random; their upstream stages are taken from the capsule.
        seed: of the draw; None draws other stages every time, which the author of a capsule cannot foresee.
        targets: function of each kind of stage, in place of the installed one.
        notify: called with a line of text before each stage.

    Raises:
        InputError: the file is no capsule, or its plan cannot be read.
    """
    with TemporaryDirectory(prefix="setpoint-replay-") as scratch:
        folder = Path(scratch, "capsule")
        folder.mkdir()
        findings = unpack(capsule, folder)
        try:
            plan = plan_of(folder)
        except InputError:
            if not findings:
                raise
            return Replay("", tuple(findings), ())  # the plan is among the damaged files
        findings += inconsistencies(folder, plan)
        report, claims = _compare_report(folder, plan)
        chosen = _drawn(folder, plan, spot, random.Random(seed))
        stages = [_recompute(folder, Path(scratch), plan, name, targets or {}, notify) for name in chosen]
        return Replay(plan.experiment, (*findings, *claims), (report, *stages))


def _drawn(folder: Path, plan: Plan, count: int, draw: random.Random) -> list[str]:
    finished = [name for name, stage in plan.stages.items() if Workspace(folder).stage(stage.kind, name).finished()]
    return sorted(draw.sample(finished, min(count, len(finished))))


def _compare_report(folder: Path, plan: Plan) -> tuple[Comparison, list[Finding]]:
    """Write the report again; return how it compares, and the claims that were edited."""
    experiment = Workspace(folder).experiment(plan.experiment)
    stored = folder / "stored-reports"
    if not (experiment / REPORTS).is_dir():
        return Comparison("report", Verdict.DIFFERENT, ("the capsule has no report",)), []
    (experiment / REPORTS).rename(stored)
    link_models(Workspace(folder), plan)  # the report names them
    write_reports(experiment, figures=False)
    where = []
    for name in COMPARED:
        before, after = (_lines(place / name) for place in (stored, experiment / REPORTS))
        wrong = [f"{name}: {text}" for text in _changed_lines(before, after)]
        where += wrong[:3] + ([f"{name}: {len(wrong) - 3} more lines"] if len(wrong) > 3 else [])
    claims = list(_edited_claims(stored / CLAIMS, experiment / REPORTS / CLAIMS))
    return Comparison("report", Verdict.DIFFERENT if where else Verdict.EQUAL, tuple(where)), claims


def _lines(path: Path) -> list[str]:
    """Return the lines of a text; which figures were drawn depends on the installation and is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if not line.startswith("- Plots: ")]


def _changed_lines(before: list[str], after: list[str]) -> Iterator[str]:
    if len(before) != len(after):
        yield f"{len(before)} lines, now {len(after)}"
        return
    for number, (one, other) in enumerate(zip(before, after, strict=True), 1):
        if one != other:
            yield one_line(f"line {number} was {one.strip()[:80]!r}, now {other.strip()[:80]!r}")


def _edited_claims(before: Path, after: Path) -> Iterator[Finding]:
    stored, computed = _claims(before), _claims(after)
    for name in sorted(stored.keys() | computed.keys()):
        if name not in computed:
            yield Finding(f"claim {name}", "the results do not give it")
        elif name not in stored:
            yield Finding(f"claim {name}", "missing in the capsule")
        elif stored[name] != computed[name]:
            keys = {*stored[name], *computed[name]}
            fields = sorted(key for key in keys if stored[name].get(key) != computed[name].get(key))
            yield Finding(f"claim {name}", f"{', '.join(fields)}: not what the results give")


def _claims(path: Path) -> dict[str, dict[str, Any]]:
    content = parse_json(path.read_bytes()) if path.is_file() else None
    listed = content.get("claims") if isinstance(content, dict) else None
    claims = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return {str(claim.get("id")): claim for claim in claims}


def _recompute(
    folder: Path,
    scratch: Path,
    plan: Plan,
    name: str,
    targets: Mapping[StageKind, str],
    notify: Callable[[str], None],
) -> Comparison:
    """Compute one stage in a workspace of its own, from the data and upstream stages of the capsule."""
    stage, stored = plan.stages[name], Workspace(folder)
    what = f"{stage.kind} stage {name}"
    notify(f"computing {what} again")
    with TemporaryDirectory(dir=scratch) as place:
        workspace = Workspace(Path(place))
        if stored.datasets.is_dir():
            shutil.copytree(stored.datasets, workspace.datasets)
        for need in stage.needs.values():
            kind = plan.stages[need].kind
            shutil.copytree(stored.stage(kind, need).path, workspace.stage(kind, need).path)
        task = planned_task(workspace, plan.stages, name, targets.get(stage.kind, STAGES[stage.kind].target))
        outcome = LocalExecutor(preload=[] if targets else PRELOAD).submit(task).wait()
        if outcome is None or outcome.state != "finished":
            reason = "it did not finish" if outcome is None or outcome.failure is None else outcome.failure.message
            return Comparison(what, Verdict.NOT_RUN, (one_line(reason),))
        found = compare_stage(what, stored.stage(stage.kind, name), workspace.stage(stage.kind, name))
    if found.verdict is Verdict.DIFFERENT and stage_id(stage) != name:
        note = "the installed code or package versions differ from those of the plan"
        return Comparison(what, found.verdict, (*found.where, note))
    return found
