"""What an experiment is expected to cost, what would make it say more, and what recovering it would do."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from setpoint.artifacts import Measured, StageKind, Workspace, read_json, write_json
from setpoint.execution import Outcome, Task
from setpoint.execution.slurm import Profile, Resources
from setpoint.execution.slurm.client import ClusterLimits
from setpoint.execution.slurm.profile import read_profile
from setpoint.experiments.cost.calibration import LENGTHS, calibrate
from setpoint.experiments.cost.cluster import estimated_needs
from setpoint.experiments.cost.estimate import StageTiming, compute_ratios, estimate, observations, work_of
from setpoint.experiments.planning.build import Inputs, build_plan
from setpoint.experiments.planning.canonical import canonical_spec
from setpoint.experiments.planning.spec import make_spec
from setpoint.experiments.planning.suggestions import suggestions
from setpoint.experiments.running.recovery import RECOVERABLE, recovery_steps, recovery_text
from setpoint.experiments.slurm import scripts
from setpoint.records.plan import NamedDigest, Plan, PlannedStage
from support.sweeps import BASE, make_plan, run_plan

SWEEP: dict[str, Any] = {"systems": "di", "parameters": {"sft.steps": [40, 80, 160], "batch_size": [8, 32]}}
RATES = {"sft": (2.0, 0.004), "grpo": (3.0, 0.02), "evaluate": (1.0, 0.01), "reference": (0.3, 0.005)}


def cost_s(stage: PlannedStage) -> float:
    """The true cost: start-up and so much per unit."""
    start_s, per_unit_s = RATES[stage.kind]
    return start_s + per_unit_s * work_of(stage.kind, stage.config).units


def seen(plan: Plan, noise: float = 0.05) -> list[StageTiming]:
    """Every stage of `plan` as if it had run."""
    chance = random.Random(3)
    found = []
    for stage in plan.stages.values():
        cpu_s = cost_s(stage) * (1 + noise * chance.gauss(0, 1))
        measured = Measured(cpu_s=cpu_s, wall_s=2 * cpu_s, peak_rss_gb=0.7)
        found.append(StageTiming(work_of(stage.kind, stage.config), measured))
    return found


def test_other_conditions_are_work_too() -> None:
    units = {}
    for evaluation in ("standard", "comprehensive"):
        plan = make_plan(systems="di", evaluation=evaluation, evaluation_cases=300)
        units[evaluation] = {
            work_of(stage.kind, stage.config).units for stage in plan.stages.values() if stage.kind == "evaluate"
        }
    assert units == {"standard": {300.0}, "comprehensive": {300.0 + 3 * 50 + 3 * 50}}


@pytest.mark.parametrize(
    "other",
    [
        {"systems": "di", "parameters": {"lora_rank": [4, 8, 16]}, "replicates": 3},
        {"systems": "di", "training_types": "grpo", "fixed": {"grpo.steps": 200}},
        {"type": "training_ablation", "systems": "di", "evaluation_cases": 1000},
    ],
)
def test_costs_of_other_experiments_follow_from_those_of_one(tmp_path: Path, other: dict[str, Any]) -> None:
    history, plan = seen(make_plan(**SWEEP)), make_plan(**other)
    expected = estimate(plan, Workspace(tmp_path), 2, history)
    truth = sum(map(cost_s, plan.stages.values()))
    assert abs(expected.cpu_s / truth - 1) < 0.15
    assert expected.interval[0] < truth < expected.interval[1]
    assert expected.unknown == ()
    assert expected.memory_gb == 0.7
    assert 2 * truth / 2 * 0.8 < expected.wall_s < 2 * truth
    assert estimate(plan, Workspace(tmp_path), 1, history).wall_s > expected.wall_s


def test_one_observation_is_an_estimate_with_a_wide_interval(tmp_path: Path) -> None:
    plan = make_plan(systems="di", training_types="sft")
    few = estimate(plan, Workspace(tmp_path), 1, seen(plan, noise=0.0))
    assert few.interval[1] / few.interval[0] > 1.5


def test_what_never_ran_is_unknown(tmp_path: Path) -> None:
    plan = make_plan(**SWEEP)
    nothing = estimate(plan, Workspace(tmp_path), 1, [])
    assert set(nothing.unknown) == {"reference", "evaluate", "sft", "grpo"}
    assert nothing.cpu_s == 0.0
    other_base = [
        StageTiming(found.work.__class__(found.work.kind, ("b1",), 1.0), Measured(cpu_s=1.0)) for found in seen(plan)
    ]
    assert "sft" in estimate(plan, Workspace(tmp_path), 1, other_base).unknown


def test_stages_whose_like_has_not_run_are_named_and_calibrated(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    run_plan(tmp_path, make_plan(systems="di", fixed={"grpo.batch_size": 16}))
    plan = make_plan(systems="di", parameters={"grpo.batch_size": [16, 32]})
    expected = estimate(plan, workspace, 1)
    assert (expected.unknown, expected.unlike) == ((), ("grpo",))
    assert estimate(make_plan(systems="di", fixed={"grpo.batch_size": 16}), workspace, 1).unlike == ()
    recorder = Recorder()
    calibrate(workspace, plan, expected.unlike, lambda _: None, executor=recorder)
    assert [task.config["grpo"]["batch_size"] for task in recorder.tasks] == [32, 32]
    assert [task.config["grpo"]["steps"] for task in recorder.tasks] == list(LENGTHS["grpo"])


class Recorder:
    """An executor that runs nothing and calls it finished."""

    poll_s = 0.0
    shares_memory = True

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def submit(self, task: Task) -> Any:
        self.tasks.append(task)
        return SimpleNamespace(wait=lambda: Outcome("finished"))

    def adopt(self, task: Task) -> None:
        raise NotImplementedError


def test_prediction_and_actual_cost_lie_beside_the_plan(tmp_path: Path) -> None:
    run_plan(tmp_path, make_plan())
    assert read_json(tmp_path / "experiments" / "sweep" / "estimate.json")["stages"] == {}
    assert {found.work.kind for found in observations(Workspace(tmp_path))} == {"reference", "evaluate", "sft", "grpo"}
    later = make_plan(systems="di", parameters={"lora_rank": [16, 32]}).model_copy(update={"experiment": "later"})
    run_plan(tmp_path, later)
    record = read_json(tmp_path / "experiments" / "later" / "estimate.json")
    assert record["predicted"]["cpu_s"] > 0
    assert record["actual"]["stages_finished"] == record["actual"]["stages_predicted"] == len(record["stages"]) > 0
    assert record["actual"]["actual_over_predicted"] > 0


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("manifest.json", {"measured": {"cpu_s": ".."}}),
        ("manifest.json", {"measured": []}),
        ("manifest.json", {"files": {"x": "x"}}),
        ("config.json", {"config": {}}),
        ("config.json", {"kind": 1}),
        ("config.json", {"config": {"sft": {"steps": "many", "batch_size": 0}}}),
    ],
)
def test_a_damaged_stage_teaches_nothing_and_the_others_do(tmp_path: Path, name: str, change: dict[str, Any]) -> None:
    run_plan(tmp_path, make_plan())
    before = observations(Workspace(tmp_path))
    path = sorted(tmp_path.glob(f"stages/sft/*/{name}"))[0]
    write_json(path, {**read_json(path), **change})
    after = observations(Workspace(tmp_path))
    assert len(after) == len(before) - 1
    later = make_plan(systems="di", parameters={"lora_rank": [16, 32]})
    assert estimate(later, Workspace(tmp_path), 1, after).unknown == ()


def test_equal_compute_is_counted_from_measured_costs(tmp_path: Path) -> None:
    assert compute_ratios(Workspace(tmp_path), "b0", (StageKind.GRPO,)) is None
    plan = make_plan(type="training_ablation", systems="di", equal_compute_control=True, replicates=2)
    control = [run for run in plan.runs if run.factors["strategy"] == "sft_equal_compute"]
    both = next(run for run in plan.runs if run.factors["strategy"] == "sft_then_grpo").resolved
    rows = both["grpo"]["steps"] * both["grpo"]["batch_size"]
    assert len(control) == 2
    assert control[0].resolved["sft"]["steps"] == both["sft"]["steps"] + round(rows / both["sft"]["batch_size"])
    assert control[0].settings == {"sft.steps": control[0].resolved["sft"]["steps"]}
    assert f"sft.steps={control[0].resolved['sft']['steps']}" in control[0].command


def test_every_longer_strategy_has_a_control_of_its_own_compute(tmp_path: Path) -> None:
    strategies = ["sft_only", "sft_then_grpo", "sft_then_dagger", "dagger_then_grpo"]
    spec = {"type": "training_ablation", "systems": "di", "strategies": strategies, "equal_compute_control": True}
    datasets = {"double_integrator": NamedDigest(name="di", digest="d0")}
    inputs = Inputs(BASE, datasets, compute_ratios={StageKind.GRPO: 2.0, StageKind.DAGGER: 1.5})
    plan = build_plan(canonical_spec(make_spec(spec)), "sweep", inputs)
    assert compute_ratios(Workspace(tmp_path), "b0", (StageKind.DAGGER,)) is None
    by_strategy = {run.factors["strategy"]: run.resolved for run in plan.runs}
    longest = by_strategy["dagger_then_grpo"]
    sft, dagger, grpo = longest["sft"], longest["dagger"], longest["grpo"]
    labels = dagger["rounds"] * dagger["episodes"] * 10
    cost = {
        "": 2.0 * grpo["steps"] * grpo["batch_size"],
        "_dagger": 1.5 * (dagger["steps"] * dagger["batch_size"] + labels),
    }
    cost["_dagger_grpo"] = cost[""] + cost["_dagger"]
    for ending, rows in cost.items():
        steps = by_strategy[f"sft_equal_compute{ending}"]["sft"]["steps"]
        assert steps == sft["steps"] + round(rows / sft["batch_size"])
    # All strategies share one SFT stage, and DAgger is trained once for both of its strategies.
    kinds = [stage.kind for stage in plan.stages.values()]
    assert (kinds.count(StageKind.SFT), kinds.count(StageKind.DAGGER), kinds.count(StageKind.GRPO)) == (4, 1, 2)


ASKED = Resources(gpus=1, mem_mb=32768, time_min=1440)


def test_jobs_ask_for_what_equal_stages_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(**SWEEP)
    assert estimated_needs(Workspace(tmp_path), plan, ASKED, {"gpu"}, warning_s=180) == {}  # nothing is known yet
    monkeypatch.setattr("setpoint.experiments.cost.estimate.observations", lambda _: seen(plan))
    needs = estimated_needs(Workspace(tmp_path), plan, ASKED, {"gpu"}, warning_s=180)
    assert needs.keys() == plan.stages.keys()
    for name, stage in plan.stages.items():
        wall_s = 2 * cost_s(stage)
        assert 2 * wall_s + 180 < 60 * needs[name].time_min < max(20 * wall_s, 10 * 60 + 1)
        assert (needs[name].gpus, needs[name].mem_mb) == (1, 1536)  # half as much again as 0.7 GB, and a step up
    assert len({need.time_min for need in needs.values()}) < 5
    assert {
        need.mem_mb for need in estimated_needs(Workspace(tmp_path), plan, ASKED, {"mem"}, warning_s=180).values()
    } == {32768}
    assert estimated_needs(Workspace(tmp_path), plan, ASKED, {"mem", "time"}, warning_s=180) == {}


def test_an_array_asks_for_what_its_largest_stage_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, workspace = make_plan(**SWEEP), Workspace(tmp_path)
    monkeypatch.setattr("setpoint.experiments.cost.estimate.observations", lambda _: seen(plan))
    cluster = scripts.Cluster(Profile(), ASKED, named=frozenset({"gpu"}))
    generated = scripts.generate(workspace, plan, cluster, ClusterLimits())
    needs = estimated_needs(workspace, plan, ASKED, {"gpu"}, warning_s=180)
    for batch in generated.batches:
        assert batch.resources.time_min == max(needs[name].time_min for name in batch.stages)
        assert f"--time=0-{batch.resources.time_min // 60:02d}" in batch.script.read_text()
        assert batch.resources.gpus == (0 if batch.kind == "reference" else 1)
    kept = read_profile(generated.folder.parent / scripts.PROFILE)
    assert kept.resources == "gpu:1"  # a coordinator that takes the experiment up estimates anew


def test_something_is_always_suggested() -> None:
    for fields, words in (
        ({"systems": "di"}, "--replicates 3"),
        ({"systems": "di"}, "there is nothing to compare yet"),
        ({"systems": "di", "parameters": {"lora_rank": [4, 16]}, "replicates": 3}, "such as 8"),
        ({"systems": "di", "parameters": {"lora_rank": [4, 8]}, "replicates": 2}, "lora_rank, such as 6,"),
        (
            {"systems": "di", "parameters": {"lora_rank": [4, 8]}, "replicates": 2},
            "with 2 seeds per configuration, effects are hard to distinguish",
        ),
        ({"systems": "di", "parameters": {"lora_rank": [4, 5]}, "replicates": 3}, "none needed"),
        ({"systems": "di", "parameters": {"lora_rank": [4, 8, 16]}, "replicates": 3}, "none needed"),
        ({"type": "training_ablation", "systems": "di"}, "--equal-compute-control"),
        ({"type": "single", "systems": "di"}, "nothing to compare with"),
    ):
        assert any(words in text for text in suggestions(make_plan(**fields)))


@pytest.mark.parametrize(
    "fields", [{"zipped": [["lora_rank", "learning_rate", "batch_size"]]}, {"design": "fractional"}]
)
def test_no_values_are_suggested_that_would_be_refused(fields: dict[str, Any]) -> None:
    parameters = {"lora_rank": [4, 8], "learning_rate": [1e-4, 2e-4], "batch_size": [8, 16]}
    assert any("third value" in text for text in suggestions(make_plan(systems="di", parameters=parameters)))
    sparse = make_plan(systems="di", parameters=parameters, **fields)
    assert not any("third value" in text for text in suggestions(sparse))


def test_recovery_says_what_it_would_do_and_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "fail-sft").write_text('"rank": 4')
    plan = make_plan()
    run_plan(tmp_path, plan)
    before = sorted(tmp_path.rglob("*"))
    steps = recovery_steps(Workspace(tmp_path), plan, lambda name: name in RECOVERABLE)
    assert [(step.kind, step.action) for step in steps] == [
        ("sft", "keep"),
        ("evaluate", "blocked"),
        ("grpo", "blocked"),
        ("evaluate", "blocked"),
    ]
    assert "lower learning_rate" in steps[0].why
    retried = recovery_steps(Workspace(tmp_path), plan, lambda _: True)
    assert [step.action for step in retried] == ["retry", "run", "run", "run"]
    assert "stages finished (kept)" in recovery_text(Workspace(tmp_path), plan, lambda _: True)
    assert sorted(tmp_path.rglob("*")) == before
