"""Designs within a budget: what is offered, what it costs, what it can detect, and whose choice it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from setpoint.artifacts import Workspace, write_json
from setpoint.cli.main import main
from setpoint.demonstrations import Recipe, create
from setpoint.errors import InputError
from setpoint.experiments.cost.budget import Budget, Offer, offers
from setpoint.experiments.planning.build import Inputs, build_plan
from setpoint.experiments.planning.canonical import canonical_spec
from setpoint.experiments.planning.spec import ExperimentSpec, make_spec
from setpoint.records.plan import NamedDigest, Plan
from support.sweeps import BASE, make_plan, run_plan

SWEEP = {"systems": "di", "parameters": {"lora_rank": [4, 8, 16], "learning_rate": [1e-4, 2e-4, 5e-4]}}


def plan(spec: ExperimentSpec) -> Plan:
    return build_plan(
        spec, "sweep", Inputs(BASE, {system: NamedDigest(name=system, digest="d0") for system in spec.systems})
    )


def found(budget: str, **fields: Any) -> list[Offer]:
    spec = canonical_spec(make_spec(fields or SWEEP))
    return offers(spec, Budget.parse(budget), plan, lambda made: float(len(made.runs)))


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("12runs", (12, "runs")), ("40 GPUh", (40, "gpu-hours")), ("0.5core-hours", (0.5, "core-hours"))],
)
def test_a_budget_is_a_number_with_a_unit(text: str, parsed: tuple[float, str]) -> None:
    assert Budget.parse(text) == Budget(*parsed)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["12", "runs", "-3runs", "0runs", "3 days"])
def test_another_budget_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="12runs, 8core-hours"):
        Budget.parse(text)


def test_what_is_offered_fits_and_uses_the_budget() -> None:
    offered = found("30runs")
    assert all(offer.runs <= 30 for offer in offered)
    asked, ends = offered[:2]
    assert (asked.configurations, asked.spec.replicates, asked.runs_per_level, asked.levels) == (9, 3, 9, 3)
    assert (ends.configurations, ends.spec.replicates, ends.runs_per_level, ends.levels) == (4, 7, 14, 2)


def test_a_small_budget_recommends_fewer_levels() -> None:
    best, *others = found("12runs")
    assert (best.name, best.spec.replicates) == ("lowest and highest values only", 3)
    assert (others[0].name, others[0].spec.replicates) == ("as specified", 1)
    with pytest.raises(InputError, match="the smallest needs 4 runs"):
        found("3runs")


def test_hours_of_a_gpu_that_nothing_uses_are_no_budget() -> None:
    spec = canonical_spec(make_spec(SWEEP))
    with pytest.raises(InputError, match="Use core-hours or runs"):
        offers(spec, Budget.parse("2gpu-hours"), plan, lambda _: 0.0)


def test_many_parameters_are_offered_as_a_fraction() -> None:
    parameters = {"lora_rank": [4, 8], "learning_rate": [1e-4, 2e-4], "grpo.beta": [0.0, 0.1], "sft.steps": [50, 100]}
    offered = {offer.name: offer for offer in found("30runs", systems="di", parameters=parameters)}
    fraction = offered["fractional design of the lowest and highest values"]
    assert (fraction.configurations, fraction.spec.replicates, fraction.runs_per_level) == (8, 3, 12)
    screen = offered["screening design with one seed, to be confirmed"]
    assert (screen.configurations, screen.spec.replicates, screen.runs_per_level) == (8, 1, 0)


def test_chosen_configurations_are_offered_with_more_seeds_and_nothing_else() -> None:
    (offer,) = found("10runs", **SWEEP, only=[{"lora_rank": 8, "learning_rate": 2e-4}, {"lora_rank": 16}])
    assert (offer.name, offer.configurations, offer.spec.replicates) == ("as specified", 4, 2)


def test_an_ablation_is_offered_with_as_many_seeds_as_fit() -> None:
    (offer,) = found("10runs", type="training_ablation", systems="di")
    assert (offer.configurations, offer.spec.replicates) == (3, 3)


def test_beside_a_design_that_is_alone_the_same_is_offered_with_half_of_the_seeds() -> None:
    all_seeds, half = found("30runs", type="training_ablation", systems="di")
    assert (all_seeds.spec.replicates, half.spec.replicates) == (10, 5)
    assert half.name == "as specified, half the seeds"
    assert half.spent == 15


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr("setpoint.experiments.request.resolve_base", lambda _name: BASE)
    create(Workspace(tmp_path), "small", Recipe(systems=("double_integrator",), total_samples=8), workers=1)
    line = ["--systems", "di", "--dataset-name", "small", "--workspace", str(tmp_path)]
    return [*line, "--lora-ranks", "4,8,16", "--learning-rates", "1e-4,2e-4,5e-4"]


def test_the_plan_shows_what_each_design_detects(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "plan", *command, "--budget", "30runs"]) == 0
    text = capsys.readouterr().out
    assert "1. as specified: 9 configurations x 3 replicates = 27 runs\n" in text
    assert "minimum detectable difference between levels: 2.0 × seed SD; between configurations: 9.3 × seed SD" in text
    assert main(["experiment", "plan", *command, "--budget", "30runs", "--json"]) == 0
    offered = json.loads(capsys.readouterr().out)
    assert offered[1]["detectable_seed_deviations"] == pytest.approx(1.331, abs=0.001)
    assert main(["experiment", "plan", *command, "--budget", "30runs", "--choose", "2"]) == 0
    assert "Runs: 4 configurations x 7 replicates = 28" in capsys.readouterr().out


def test_somebody_must_choose(command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["experiment", "run", *command, "--budget", "30runs"]) == 3
    assert "Choose one from 1 to 3 with --choose, or the first with --yes." in capsys.readouterr().err.splitlines()[-1]
    assert main(["experiment", "run", *command, "--budget", "30runs", "--choose", "9"]) == 3
    assert not (tmp_path / "experiments").exists()


def test_hours_need_to_know_what_stages_cost(
    command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["experiment", "plan", *command, "--budget", "1coreh"]) == 3
    assert "--calibrate" in capsys.readouterr().err
    assert run_plan(tmp_path, make_plan(systems="di")).counts == {"ok": 1}
    assert main(["experiment", "plan", *command, "--budget", "1coreh", "--json"]) == 0
    offered = json.loads(capsys.readouterr().out)
    assert all(0 < offer["spent"] <= 1 for offer in offered)


def test_the_same_command_goes_on_with_the_design_that_was_chosen(
    command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = ["experiment", "plan", *command, "--budget", "30runs", "--choose", "2", "--experiment-id", "e", "--json"]
    assert main(line) == 0
    chosen = json.loads(capsys.readouterr().out)["spec"]
    spec = make_spec(chosen)
    frozen = build_plan(spec, "e", Inputs(BASE, {"double_integrator": NamedDigest(name="small", digest="d0")}))
    write_json(tmp_path / "experiments" / "e" / "plan.json", frozen.to_file())
    for budget in ("30runs", "1coreh"):
        line[line.index("--budget") + 1] = budget
        assert main(line) == 0
        assert json.loads(capsys.readouterr().out)["spec"] == chosen
    assert main([*line, "--seed", "4"]) == 3
    assert "seed was 0, now 4" in capsys.readouterr().err
