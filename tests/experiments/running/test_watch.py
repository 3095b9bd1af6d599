"""What an observer of a run sees: names, reused stages, the time left, values, and scores so far."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from setpoint.artifacts import StageKind, Workspace
from setpoint.experiments.running.messages import progress_text
from setpoint.experiments.running.scores import adapter_scores, best_so_far
from setpoint.experiments.running.stage_names import stage_names
from setpoint.experiments.running.watch import Watch
from setpoint.records.estimate import EstimateRecord, StageEstimate, TotalEstimate, write_estimate
from setpoint.records.journal import StageFinished, StageReused, StageStarted, Started
from setpoint.records.plan import read_plan
from support.sweeps import make_plan
from support.synthetic_experiment import Synthetic

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_stages_are_named_by_what_they_train() -> None:
    plan = make_plan(systems=["double_integrator"], parameters={"lora_rank": [4, 8]}, replicates=2)
    names = stage_names(plan)
    assert len(set(names.values())) == len(plan.stages)
    assert "GRPO, double_integrator, LoRA rank 8, seed 1" in names.values()
    assert "evaluate after SFT, double_integrator, LoRA rank 4, seed 0" in names.values()
    assert "references, double_integrator" in names.values()
    assert "evaluate the base, double_integrator" in names.values()
    assert not any(stage in name for stage, name in names.items())


def test_reused_stages_are_counted_and_the_time_left_follows_the_estimate(tmp_path: Path) -> None:
    plan = make_plan(systems=["double_integrator"], parameters={"lora_rank": [4, 8]}, replicates=1)
    stages = list(plan.stages)
    cost = StageEstimate(cpu_s=60.0, cpu_s_interval=(50.0, 70.0), wall_s=60.0, memory_gb=1.0, gpu_hours=0.0)
    total = TotalEstimate(600.0, (500.0, 700.0), 600.0, 1, 1.0, 0.0, 0.0)
    folder = Workspace(tmp_path).experiment(plan.experiment)
    folder.mkdir(parents=True)
    write_estimate(folder, EstimateRecord(total, 0.9, {}, (), dict.fromkeys(stages, cost)))
    watch = Watch(plan, Workspace(tmp_path))
    watch.listen(Started(len(stages), len(plan.runs), at=NOW))
    assert watch.remaining_s(NOW) == 60.0 * len(stages)
    watch.listen(StageReused(stages[0], at=NOW))
    assert watch.reused == {stages[0]}
    kind = plan.stages[stages[1]].kind
    watch.listen(StageStarted(stages[1], kind, at=NOW))
    assert watch.position(NOW + timedelta(seconds=30)).startswith(f"1 of {len(stages)}, about ")
    line = progress_text(watch, StageFinished(stages[1], kind, at=NOW + timedelta(seconds=120)))
    # It took twice as long as predicted, and so will the others.
    assert watch.remaining_s(NOW + timedelta(seconds=120)) == 120.0 * (len(stages) - 2)
    assert line is not None and line.startswith(
        f"2 of {len(stages)}, about {2 * (len(stages) - 2)} min left (1 reused): "
    )
    assert line.endswith(f"{watch.names[stages[1]]}: finished")


def test_grpo_shows_its_reward_and_an_evaluation_its_cases(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path, factors={"lora_rank": (4, 8)}, replicates=1).write()
    plan = read_plan(folder)
    assert plan is not None
    watch = Watch(plan, Workspace(tmp_path))
    kinds = {stage.kind: name for name, stage in plan.stages.items()}
    assert watch.value_text(kinds[StageKind.GRPO]).startswith("reward -")
    assert watch.value_text(kinds[StageKind.SFT]).startswith("loss ")
    evaluation = kinds[StageKind.EVALUATE]
    attempt = watch.workspace.stage(StageKind.EVALUATE, evaluation).latest_attempt()
    assert attempt is not None
    attempt.metrics.write_text(json.dumps({"step": 150, "cases": 600}) + "\n")
    assert watch.step_text(evaluation) == "150 of 600 cases"


def test_the_best_so_far_is_known_before_the_report(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path, factors={"lora_rank": (4, 8)}, replicates=2).write()
    plan = read_plan(folder)
    assert plan is not None
    workspace = Workspace(tmp_path)
    assert best_so_far(workspace, plan) == []  # these manifests have no summary
    for number, run in enumerate(plan.runs):
        manifest = workspace.stage(StageKind.EVALUATE, run.stages["evaluate"]).manifest
        metrics = {"final_error": 0.1 / (1 + number), "success_rate": 0.5}
        summary = {"double_integrator": {"open_loop": {"llm": metrics}, "replan_5": {"llm": metrics}}}
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "summary": summary}))
    (best,) = best_so_far(workspace, plan)
    assert (best.run, best.value, best.mode) == (plan.runs[-1].name, 0.025, "open_loop")
    assert best.text == "double_integrator: final error 0.025 in open loop, success 50 %"
    assert replace(best, mode="replan_5").text.endswith("in closed loop (replan 5), success 50 %")
    assert adapter_scores(workspace) == {}  # nor have they a config.json
