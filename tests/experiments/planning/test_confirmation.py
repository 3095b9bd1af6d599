"""Confirming what a sweep chose: fresh seeds, the chosen configurations alone, and scores that are called unbiased."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from setpoint.analysis.data.claim import Claim, Status
from setpoint.analysis.data.evidence import LevelEvidence
from setpoint.analysis.data.reading import read_experiment
from setpoint.analysis.overview import experiment_claims
from setpoint.artifacts import Workspace
from setpoint.cli.main import main
from setpoint.errors import InputError
from setpoint.experiments.planning.build import Inputs, build_plan
from setpoint.experiments.planning.confirmation import confirmation
from setpoint.experiments.planning.suggestions import suggestions
from setpoint.records.plan import NamedDigest, Plan
from support.claims import evidence_of
from support.sweeps import BASE, make_plan, save_plan
from support.synthetic_experiment import Synthetic

SWEEP: dict[str, Any] = {
    "systems": "di",
    "parameters": {"lora_rank": [4, 8, 16], "learning_rate": [1e-4, 2e-4]},
    "training_types": ["sft"],
    "replicates": 2,
}
CHOSEN = [
    {"lora_rank": 8, "learning_rate": 2e-4, "system": "double_integrator"},
    {"lora_rank": 16, "learning_rate": 1e-4, "system": "double_integrator"},
]


def confirming(seeds: int = 4) -> Plan:
    spec = confirmation(make_plan(**SWEEP), CHOSEN, seeds)
    return build_plan(spec, "confirm", Inputs(BASE, {"double_integrator": NamedDigest(name="di", digest="d0")}))


def finish(root: Path, plan: Plan) -> None:
    """Results for every stage: rank 8 with the larger rate is best, rank 16 with the smaller one second."""
    save_plan(root, plan)
    writer = Synthetic(root)
    for run in plan.runs:
        level = {(8, 2e-4): -4.0, (16, 1e-4): -3.5}.get((run.factors["lora_rank"], run.factors["learning_rate"]), -2.0)
        for role, stage in run.stages.items():
            error = level + 0.05 * math.sin(37.0 * run.index)
            episodes = writer._episodes("double_integrator", "llm", error, run.index) if role == "evaluate" else []
            writer._stage(plan, stage, episodes, role)


def claims_of(root: Path, name: str) -> dict[str, Claim]:
    return {c.id: c for c in experiment_claims(read_experiment(root / "experiments" / name))}


def test_more_seeds_of_a_confirmation_are_suggested_by_its_own_option() -> None:
    told = suggestions(confirming(seeds=2))
    assert told[0].startswith("--seeds 3 would add 2 runs")
    assert not any("third value" in text for text in told)


def test_a_confirmation_runs_the_chosen_with_fresh_seeds() -> None:
    sweep, plan = make_plan(**SWEEP), confirming()
    assert {run.seed for run in plan.runs} == {2, 3, 4, 5}
    assert {run.seed for run in plan.runs}.isdisjoint({run.seed for run in sweep.runs})
    assert {(run.factors["lora_rank"], run.factors["learning_rate"]) for run in plan.runs} == {(8, 2e-4), (16, 1e-4)}
    assert len(plan.runs) == 8 and plan.spec["confirms"] == "sweep"
    assert plan.analysis.factors == ("candidate",)
    assert plan.stages.keys() & sweep.stages.keys() == set(plan.shared.reference.values()) | set(
        plan.shared.evaluate_base.values()
    )


def test_a_confirmed_score_is_called_unbiased_and_no_other(tmp_path: Path) -> None:
    finish(tmp_path, make_plan(**SWEEP))
    assert not [name for name in claims_of(tmp_path, "sweep") if name.startswith("confirmation:")]
    finish(tmp_path, confirming())
    found = claims_of(tmp_path, "confirm")
    confirmed = [claim for name, claim in found.items() if name.startswith("confirmation:")]
    assert len(confirmed) == 2
    assert all(c.status is Status.SUPPORTED and "unbiased" in c.statement and c.n_runs == 4 for c in confirmed)
    best = found["optimal_level:candidate"]
    assert evidence_of(best, LevelEvidence).observed_best == "lora_rank=8, learning_rate=0.0002"
    assert best.status is Status.SUPPORTED


def test_one_fresh_seed_confirms_nothing(tmp_path: Path) -> None:
    finish(tmp_path, confirming(seeds=1))
    found = claims_of(tmp_path, "confirm")
    assert {c.status for name, c in found.items() if name.startswith("confirmation:")} == {Status.NOT_TESTABLE}


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr("setpoint.experiments.request.resolve_base", lambda name: BASE)
    return ["experiment", "confirm", "sweep", "--workspace", str(tmp_path), "--dry-run"]


def test_the_command_plans_the_top(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    finish(tmp_path, make_plan(**SWEEP))
    assert main([*command, "--top", "2", "--seeds", "3", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert len(plan["runs"]) == 6
    assert main([*command, "--top", "1", "--seeds", "3"]) == 0
    assert "lora_rank=8" in capsys.readouterr().out
    assert not list((tmp_path / "experiments").glob("hyperparameter*"))


def test_the_command_refuses_what_cannot_be_confirmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    plan = make_plan(**SWEEP)
    save_plan(tmp_path, plan)
    assert main(command) == 3
    assert "12 of 12 runs of 'sweep' are not finished" in capsys.readouterr().err
    finish(tmp_path, plan)
    assert main([*command, "--top", "0"]) == 3
    assert "--top must be an integer of at least 1, got '0'." in capsys.readouterr().err
    missing = ["experiment", "confirm", "none", "--workspace", str(tmp_path)]
    assert main(missing) == 3
    ablation = make_plan(type="training_ablation", systems="di")
    with pytest.raises(InputError, match="--seed 1"):
        confirmation(ablation, CHOSEN, 3)
    with pytest.raises(InputError, match="no configuration of the sweep has lora_rank=5"):
        confirmation(plan, [{"lora_rank": 5}], 3)


def test_a_confirmation_can_be_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(tmp_path, confirming())
    monkeypatch.setattr("setpoint.experiments.request.resolve_base", lambda name: BASE)
    assert main(["experiment", "confirm", "confirm", "--top", "1", "--workspace", str(tmp_path), "--dry-run"]) == 0
    assert Workspace(tmp_path).experiment("confirm").exists()


@pytest.mark.parametrize(
    "design",
    [
        {
            "parameters": {"lora_rank": [4, 8], "learning_rate": [1e-4, 2e-4]},
            "zipped": [["lora_rank", "learning_rate"]],
        },
        {
            "parameters": {"lora_rank": [4, 8]},
            "ranges": {"learning_rate": {"min": 1e-4, "max": 4e-4, "scale": "log"}},
            "design": "sobol",
            "configurations": 4,
        },
        {
            "parameters": {"lora_rank": [4, 8], "learning_rate": [1e-4, 2e-4]},
            "conditions": {"learning_rate": {"lora_rank": [8]}},
        },
    ],
)
def test_configurations_of_every_design_can_be_confirmed(design: dict[str, Any]) -> None:
    sweep = make_plan(systems="di", training_types=["sft"], replicates=2, **design)
    for run in sweep.runs:
        spec = confirmation(sweep, [{**run.factors, "system": "double_integrator"}], 3)
        plan = build_plan(spec, "confirm", Inputs(BASE, {"double_integrator": NamedDigest(name="di", digest="d0")}))
        assert len(plan.runs) == 3
        assert all(again.settings == run.settings for again in plan.runs)
