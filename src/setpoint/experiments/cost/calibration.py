"""Short runs of an experiment's own stages, to learn what they cost before they are run at length."""

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
    StageKind.GRPO: (2, 6),
    StageKind.EVALUATE: (8, 40),
    StageKind.REFERENCE: (8, 40),
}
"""Kind -> the two lengths (steps or cases) that it is run with."""


def calibrate(
    workspace: Workspace,
    plan: Plan,
    kinds: Sequence[StageKind],
    say: Callable[[str], None],
    *,
    executor: Executor | None = None,
) -> None:
    """Run a stage of each of `kinds` with two short lengths, the first whose like has not run; finished ones stay.

    Raises:
        InputError: such a short stage fails; so would the experiment.
    """
    place = Workspace(workspace.root / CALIBRATION)
    place.root.mkdir(parents=True, exist_ok=True)
    if workspace.datasets.is_dir() and not place.datasets.exists():
        place.datasets.symlink_to(os.path.relpath(workspace.datasets, place.root))
    executor = executor or LocalExecutor(preload=PRELOAD, devices=gpus())
    run = _Runs(place, executor, say)
    known = {(found.work.kind, found.work.task) for found in observations(workspace)}
    for kind in kinds:
        stages = [stage for stage in plan.stages.values() if stage.kind == kind]
        new = [stage for stage in stages if (kind, work_of(kind, stage.config).task) not in known]
        for stage in (new or stages)[:1]:
            for length in LENGTHS[kind]:
                run.stage(_shortened(stage, length), plan)


class _Runs:
    """Runs shortened stages one after the other."""

    def __init__(self, place: Workspace, executor: Executor, say: Callable[[str], None]) -> None:
        self._place = place
        self._executor = executor
        self._say = say
        self._stages: dict[str, PlannedStage] = {}

    def stage(self, stage: PlannedStage, plan: Plan) -> str:
        """The id of the stage, which is finished when this returns."""
        needs = {}
        if stage.kind is StageKind.EVALUATE:
            reference = plan.stages[stage.needs["reference"]]
            needs = {"reference": self.stage(_shortened(reference, stage.config["cases"]), plan)}
        stage = stage.model_copy(update={"needs": needs})
        name = stage_id(stage)
        self._stages[name] = stage
        folder = self._place.stage(stage.kind, name)
        if not folder.finished():
            self._say(f"calibrating {stage.kind} stages")
            task = planned_task(self._place, self._stages, name, STAGES[stage.kind].target)
            outcome = self._executor.submit(task).wait()
            if outcome is None or outcome.state != "finished":
                reason = outcome.failure.message if outcome and outcome.failure else None
                raise InputError(f"the calibration of {stage.kind} stages failed: {reason or 'it was busy'}.")
        return name


def _shortened(stage: PlannedStage, length: int) -> PlannedStage:
    config = dict(stage.config)
    if stage.kind.trains:
        config[stage.kind.value] = {**config[stage.kind], "steps": length}
    else:
        config["cases"] = length
    return stage.model_copy(update={"config": config})
