"""Scores of evaluated models, from the summaries of their evaluation stages: a quick look while a report is not due."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from setpoint.artifacts import StageFolder, StageKind, Workspace
from setpoint.artifacts.fields import finite
from setpoint.formatting import number_text, share_text
from setpoint.modes import mode_name
from setpoint.records.plan import Plan, PlannedRun

FINAL_ERROR, SUCCESS = "final_error", "success_rate"
LARGER_IS_BETTER = frozenset({SUCCESS, "success_loose_rate", "parse_rate"})


@dataclass(frozen=True)
class Score:
    """Score of one model on one system in one mode.

    Attributes:
        metric: the name of the metric that `value` is of.
    """

    system: str
    mode: str
    metric: str
    value: float
    success: float | None
    run: str = ""

    @property
    def text(self) -> str:
        """Return `double_integrator: final error 0.0769 in open loop, success 36.2 %`."""
        success = "" if self.success is None else f", success {share_text(self.success)}"
        name = self.metric.replace("_", " ")
        return f"{self.system}: {name} {number_text(self.value)} in {mode_text(self.mode)}{success}"

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def mode_text(mode: str) -> str:
    """Return `open loop` or `closed loop (replan 5)`."""
    return "open loop" if mode == mode_name(0) else f"closed loop ({mode.replace('_', ' ')})"


def best_so_far(workspace: Workspace, plan: Plan) -> list[Score]:
    """Return the best run of each system by the primary metric, or by the final error if that is a measured cost."""
    found = [score for run in plan.runs for score in _run_scores(workspace, plan, run)]
    by_system = {system: [score for score in found if score.system == system] for system in plan.systems}
    return [_best(scores) for scores in by_system.values() if scores]


def _best(scores: Iterable[Score]) -> Score:
    return min(scores, key=lambda score: -score.value if score.metric in LARGER_IS_BETTER else score.value)


def _run_scores(workspace: Workspace, plan: Plan, run: PlannedRun) -> list[Score]:
    scores = []
    for system in run.systems:
        stage = run.stages.get(f"evaluate:{system}") or run.stages.get("evaluate")
        folder = None if stage is None else workspace.stage(StageKind.EVALUATE, stage)
        mode = plan.analysis.mode(system).episodes
        if folder is not None:
            scores += [s for s in stage_scores(folder, plan.analysis.primary_metric, run.name) if s.mode == mode]
    return scores


def stage_scores(folder: StageFolder, metric: str = FINAL_ERROR, run: str = "") -> list[Score]:
    """Return the scores of a stage that evaluates a model in every mode; none before it ends."""
    manifest = folder.read_manifest()
    scores = []
    for system, modes in ({} if manifest is None else manifest.summary).items():
        for mode, controllers in modes.items() if isinstance(modes, dict) else ():
            found = controllers.get("llm") if isinstance(controllers, dict) else None
            values = found if isinstance(found, dict) else {}
            name = metric if metric in values else FINAL_ERROR
            value = finite(values.get(name))
            if value is not None:  # a damaged number is no score
                scores.append(Score(system, mode, name, value, finite(values.get(SUCCESS)), run))
    return scores


def adapter_scores(workspace: Workspace) -> dict[str, list[Score]]:
    """Return stage id of an adapter -> its scores, from all evaluations of the workspace."""
    found: dict[str, list[Score]] = {}
    evaluations = workspace.stages / StageKind.EVALUATE
    for path in sorted(evaluations.iterdir()) if evaluations.is_dir() else ():
        stored = StageFolder(path).read_config()
        for needed in () if stored is None else stored.needs:
            found.setdefault(needed, []).extend(stage_scores(StageFolder(path)))
    return found
