"""Calibration: short runs of an experiment's own stages that measure their cost."""

import os
from collections.abc import Callable, Sequence

from setpoint.artifacts import StageKind, Workspace
from setpoint.errors import InputError
from setpoint.execution import Executor, LocalExecutor, gpus, planned_task
from setpoint.experiments.cost.estimate import CALIBRATION, observations, work_of
from setpoint.experiments.planning.build import stage_id
from setpoint.experiments.planning.stages import PRELOAD, STAGES
from setpoint.records.plan import Plan, PlannedStage

LENGTHS = {
    StageKind.SFT: (4, 24),
    StageKind.DAGGER: (4, 24),
    StageKind.GRPO: (2, 6),
    StageKind.EVALUATE: (8, 40),
    StageKind.REFERENCE: (8, 40),
}
"""Stage kind -> the two lengths (steps or cases) to run."""


def calibrate(
    workspace: Workspace,
    plan: Plan,
    kinds: Sequence[StageKind],
    notify: Callable[[str], None],
    *,
    executor: Executor | None = None,
) -> None:
    """Run one stage of each of `kinds` at two short lengths, preferably a stage without comparable observations.

    Two lengths separate the start-up cost from the cost per unit. Finished calibration runs are reused.

    Raises:
        InputError: a calibration run failed; the experiment would fail too.
    """
    place = Workspace(workspace.root / CALIBRATION)
    place.root.mkdir(parents=True, exist_ok=True)
    if workspace.datasets.is_dir() and not place.datasets.exists():
        place.datasets.symlink_to(os.path.relpath(workspace.datasets, place.root))
    executor = executor or LocalExecutor(preload=PRELOAD, devices=gpus())
    run = _Runs(place, executor, notify)
    known = {(found.work.kind, found.work.task) for found in observations(workspace)}
    for kind in kinds:
        stages = [stage for stage in plan.stages.values() if stage.kind == kind]
        new = [stage for stage in stages if (kind, work_of(kind, stage.config).task) not in known]
        for stage in (new or stages)[:1]:
            for length in LENGTHS[kind]:
                run.stage(_shortened(stage, length), plan)


class _Runs:
    """Runs shortened stages sequentially."""

    def __init__(self, place: Workspace, executor: Executor, notify: Callable[[str], None]) -> None:
        self._place = place
        self._executor = executor
        self._notify = notify
        self._stages: dict[str, PlannedStage] = {}

    def stage(self, stage: PlannedStage, plan: Plan) -> str:
        """Run the stage unless it is finished, and return its id."""
        needs = {}
        if stage.kind is StageKind.EVALUATE:
            reference = plan.stages[stage.needs["reference"]]
            needs = {"reference": self.stage(_shortened(reference, stage.fields().whole("cases", least=1)), plan)}
        stage = stage.model_copy(update={"needs": needs})
        name = stage_id(stage)
        self._stages[name] = stage
        folder = self._place.stage(stage.kind, name)
        if not folder.finished():
            self._notify(f"calibrating {stage.kind} stages")
            task = planned_task(self._place, self._stages, name, STAGES[stage.kind].target)
            outcome = self._executor.submit(task).wait()
            if outcome is None or outcome.state != "finished":
                reason = outcome.failure.message if outcome and outcome.failure else None
                reason = reason or "another process is computing it"
                raise InputError(f"the calibration of {stage.kind} stages failed: {reason}.")
        return name


def _shortened(stage: PlannedStage, length: int) -> PlannedStage:
    config = dict(stage.config)
    if stage.kind.trains:
        config[stage.kind.value] = {**config[stage.kind], "steps": length}
        if stage.kind is StageKind.DAGGER:
            # With the expert's plans executed, an untrained model cannot leave the region of states with labels.
            config[stage.kind.value] |= {"episodes": length, "expert_share": 1.0}
    else:
        config["cases"] = length
    return stage.model_copy(update={"config": config})
