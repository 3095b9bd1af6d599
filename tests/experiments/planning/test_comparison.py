"""Arms of training: which experiments they are, what they share, and the table of all systems."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from setpoint.analysis.data.evaluations import Arm, ArmScores
from setpoint.artifacts import Workspace
from setpoint.cli.main import main
from setpoint.errors import InputError
from setpoint.experiments.planning import comparison as arms
from setpoint.experiments.planning.build import Inputs, build_plan
from setpoint.experiments.planning.canonical import canonical_spec
from setpoint.experiments.planning.spec import ExperimentSpec
from setpoint.records.plan import NamedDigest, Plan
from setpoint.reports.arms import render_arms
from support.sweeps import BASE

SETTINGS = arms.ArmSettings(("double_integrator", "attitude_mrp"), replicates=2, parts=(arms.SFT_ALONE,))


def specs(settings: arms.ArmSettings, tmp_path: Path) -> dict[str, ExperimentSpec]:
    def planned(part: str) -> Plan:
        raise AssertionError(f"{part} was not to be run")

    return dict(arms.specifications(settings, Workspace(tmp_path), planned))


def stages(spec: ExperimentSpec, kind: str) -> set[str]:
    data = {system: NamedDigest(name=f"arms_{system}", digest="d0") for system in spec.systems}
    plan = build_plan(canonical_spec(spec), "arms", Inputs(BASE, data))
    return {run.stages[kind] for run in plan.runs}


def test_sft_alone_trains_the_very_stages_of_the_optimal_part(tmp_path: Path) -> None:
    (alone,) = specs(SETTINGS, tmp_path).values()
    whole = specs(replace(SETTINGS, parts=(arms.OPTIMAL,)), tmp_path)[arms.OPTIMAL]
    assert alone.training_types == ("sft",)
    assert len(stages(alone, "sft")) == 4
    assert stages(alone, "sft") == stages(whole, "sft")


def test_values_that_are_set_reach_the_parts_that_read_them(tmp_path: Path) -> None:
    wanted = replace(
        SETTINGS,
        parts=(arms.OPTIMAL, arms.UNIVERSAL),
        evaluation="standard",
        fixed={"sft_steps": "7", "grpo.steps": "3"},
    )
    found = specs(wanted, tmp_path)
    assert list(found) == [arms.OPTIMAL, arms.UNIVERSAL]
    assert (found[arms.OPTIMAL].fixed["sft.steps"], found[arms.OPTIMAL].fixed["grpo.steps"]) == (7, 3)
    assert found[arms.UNIVERSAL].fixed["sft.steps"] == 7
    assert "grpo.steps" not in found[arms.UNIVERSAL].fixed
    assert {spec.evaluation for spec in found.values()} == {"standard"}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"parts": ("sftt",)}, "unknown part 'sftt'"),
        ({"parts": (arms.UNIVERSAL,), "systems": ("duffing",)}, "at least two systems"),
        ({"rows": 3}, "at least 6 rows"),
        ({"rows": 10**11}, "at most 1000000 rows"),
        ({"replicates": 1001}, "replicates must be at least 1 and at most 1000"),
        ({"cases": 10**11}, "evaluation_cases must be at least 1 and at most 100000"),
        ({"evaluation": "thorough"}, "unknown evaluation 'thorough'"),
        ({"fixed": {"grpo.steps": 3}}, "has no effect with training type sft"),
        ({"fixed": {"sft.step": 3}}, "unknown parameter 'sft.step'"),
    ],
)
def test_what_cannot_be_compared_is_refused_at_once(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        replace(SETTINGS, **fields)


def test_a_mistake_on_the_command_line_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["arms", "--workspace", str(tmp_path), "--systems", "di", "--parts", "sft", "--retries", "crash=x", "--yes"]
    assert main(words) == 3
    assert "retries of crash must be an integer" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def arm(system: str, mode: str, name: str, *successes: float) -> Arm:
    scores = {seed: ArmScores(0.9, success, 0.25, 2.0, 0.1, 0.2, 20) for seed, success in enumerate(successes)}
    return Arm(system, mode, name, scores, dict.fromkeys(scores, 3.0) if name == "SFT" else {})


def test_the_table_of_all_systems_has_each_in_the_mode_that_it_is_judged_in() -> None:
    found = [
        arm("cart_pole", "replan_5", "optimum", 1.0),
        arm("cart_pole", "replan_5", "SFT", 0.25, 0.75),
        arm("attitude_mrp", "open_loop", "optimum", 0.875),
        arm("attitude_mrp", "open_loop", "SFT", 0.125),
        arm("attitude_mrp", "replan_5", "SFT", 0.999),
    ]
    lines = render_arms(found).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == ["system", "mode", "SFT", "optimum"]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[4:6]]
    assert rows == [
        ["cart_pole", "closed loop", "90 %; 50 %; 25 %", "100 %; 25 %"],
        ["attitude_mrp", "open loop", "90 %; 12.5 %; 25 %", "87.5 %; 25 %"],
    ]
    assert "All systems" not in render_arms(found[:2])


def test_the_table_says_which_error_is_a_mean_and_which_a_median() -> None:
    lines = render_arms([arm("pendulum", "open_loop", "SFT", 1.0)]).splitlines()
    cells = ([cell.strip() for cell in line.split("|")[1:-1]] for line in (lines[2], lines[4]))
    found = dict(zip(*cells, strict=True))
    assert (found["mean error"], found["median norm. error"]) == ("0.1000", "0.2000")
