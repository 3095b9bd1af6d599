"""Evaluation: a row for every case whatever became of it, references solved once, stages that check their inputs."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from setpoint import plants, problems
from setpoint.artifacts import StageContext, Workspace
from setpoint.controllers import ClippedLqr, ControlPlan, ZeroControl
from setpoint.controllers.optimal import OptimalController
from setpoint.episodes import condition_folder, read_episodes, read_trajectories
from setpoint.errors import InputError, StageError
from setpoint.evaluation import CONDITION_CASES, OPEN_LOOP, EvaluationConfig, Mode
from setpoint.evaluation import stage as stages
from setpoint.evaluation.optima import OPTIMA, Optima, read_optima, solve_optima, write_optima
from setpoint.evaluation.run import evaluate
from setpoint.evaluation.summary import summarise
from setpoint.language import PromptFormat
from setpoint.problems import COARSE_TO_FINE, MoveBlocking, Problem
from setpoint.trajectory import Termination

DI = problems.get("double_integrator")
CONFIG: dict[str, Any] = {
    "system": DI.name,
    "evaluation": "standard",
    "cases": 8,
    "blocks": list(COARSE_TO_FINE.lengths),
    "dialect": PromptFormat().definition(),
    "generation": {"constrained": False},
}


@pytest.fixture(scope="module")
def optima() -> Optima:
    states = EvaluationConfig.named("standard", DI.name, 8).states()
    return solve_optima(DI, states, COARSE_TO_FINE, OptimalController(DI))


class Unreadable:
    """The regulator, except that every second answer cannot be read."""

    name = "llm"

    def __init__(self, problem: Problem) -> None:
        self._inner = ClippedLqr(problem)

    def plan(self, t: float, x: np.ndarray, steps: int) -> ControlPlan:
        plan = self._inner.plan(t, x, steps)
        readable = np.arange(len(x)) % 2 == 0
        outcomes = [Termination.COMPLETED if each else Termination.TOKEN_LIMIT for each in readable]
        return ControlPlan(plan.controls * readable[:, None, None], tuple(outcomes), np.full(len(x), 24))


def context(root: Path, kind: str, config: Mapping[str, Any], **needs: Path) -> StageContext:
    output = root / kind
    output.mkdir(parents=True)
    (root / "a").mkdir(exist_ok=True)
    return StageContext(Workspace(root), kind, "a1b2", dict(config), 0, needs, output, root / "c", root / "a")


def test_every_plant_has_its_own_track() -> None:
    names = {
        evaluation: {
            system: [mode.name for mode in EvaluationConfig.named(evaluation, system).modes]
            for system in plants.names()
        }
        for evaluation in ("standard", "replanning", "comprehensive")
    }
    assert names["standard"]["double_integrator"] == ["open_loop", "replan_5"]
    assert names["standard"]["pendulum"] == ["replan_5"]
    assert names["comprehensive"]["pendulum"] == names["replanning"]["pendulum"] == ["replan_5", "replan_1"]


def test_an_evaluation_that_means_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown evaluation 'thorough'.*comprehensive, replanning, standard"):
        EvaluationConfig.named("thorough", "di")
    with pytest.raises(InputError, match="at least one case"):
        EvaluationConfig.named("standard", "di", 0)


def test_a_longer_suite_begins_with_the_shorter_one() -> None:
    short, long = (EvaluationConfig.named("standard", "di", cases).states() for cases in (5, 20))
    assert np.array_equal(long[:5], short)


def test_failures_stay_in_every_denominator(optima: Optima) -> None:
    found = evaluate(DI, Unreadable(DI), optima, Mode(5)).episodes
    zero = evaluate(DI, ZeroControl(DI), optima, Mode(5)).episodes
    assert [row.case_id for row in found] == list(range(8))
    for row, nothing in zip(found[1::2], zero[1::2], strict=True):
        assert (row.termination, row.parsed, row.success) == (Termination.TOKEN_LIMIT, False, False)
        assert row.final_state == nothing.final_state
        assert row.control_cost == nothing.control_cost
        assert (row.plans, row.plans_parsed, row.tokens) == (10, 0, 240)
    summary = summarise(found)[DI.name]["replan_5"]["llm"]
    assert (summary["cases"], summary["parse_rate"], summary["success_rate"]) == (8, 0.5, 0.5)
    assert summary["final_error"] == pytest.approx(np.mean([row.final_error for row in found]))


def test_rows_state_cost_and_regret_against_the_certified_optimum(optima: Optima) -> None:
    found = evaluate(DI, OptimalController(DI), optima, OPEN_LOOP)
    for row in found.episodes:
        assert row.regret == pytest.approx(0.0, abs=1e-6)
        assert row.blocked_optimal_cost > row.optimal_cost
        assert row.success
        assert row.initial_state == tuple(optima.states[row.case_id])
    assert len(found.trajectories) == 6
    shown = found.trajectories[0]
    assert (len(shown.states), len(shown.controls)) == (51, 50)
    assert shown.states[-1] == found.episodes[0].final_state


def test_summaries_leave_out_what_is_not_finite(optima: Optima) -> None:
    rows = evaluate(DI, ZeroControl(DI), optima, OPEN_LOOP).episodes
    broken = [replace(rows[0], control_cost=math.inf), *rows[1:]]
    assert "control_cost" not in summarise(broken)[DI.name]["open_loop"]["zero"]
    assert "final_error" in summarise(broken)[DI.name]["open_loop"]["zero"]


def test_optima_survive_the_disk(optima: Optima, tmp_path: Path) -> None:
    write_optima(tmp_path / OPTIMA, optima)
    found = read_optima(tmp_path / OPTIMA)
    assert all(np.array_equal(getattr(found, name), getattr(optima, name)) for name in vars(optima))
    (tmp_path / OPTIMA).write_bytes(b"nonsense")
    with pytest.raises(InputError, match="cannot be read"):
        read_optima(tmp_path / OPTIMA)


def test_the_reference_stage_has_three_controllers_in_every_mode(tmp_path: Path) -> None:
    reference = context(tmp_path, "reference", {**CONFIG, "evaluation": "comprehensive"})
    summary = stages.run_reference(reference)
    assert set(summary[DI.name]) == {"open_loop", "replan_5", "replan_1"}
    assert all(set(controllers) == {"optimum", "lqr", "zero"} for controllers in summary[DI.name].values())
    rows = read_episodes(reference.output / "episodes.parquet")
    assert len(rows) == 3 * 3 * 8
    assert len(read_trajectories(reference.output / "trajectories.parquet")) == 3 * 3 * 6
    assert {row.replan_interval for row in rows if row.mode == "replan_5"} == {5}


@pytest.mark.parametrize("controller", [ClippedLqr, ZeroControl], ids=lambda controller: controller.name)
@pytest.mark.parametrize("name", plants.names())
def test_replanned_references_really_equal_their_open_loop(name: str, controller: type[ClippedLqr]) -> None:
    problem = problems.get(name)
    states = EvaluationConfig.named("standard", name, 4).states()
    ones = Optima(states, np.ones(4), np.ones(4))
    planned, replanned = (evaluate(problem, controller(problem), ones, mode).episodes for mode in (OPEN_LOOP, Mode(5)))
    for one, other in zip(planned, replanned, strict=True):
        assert other.control_cost == pytest.approx(one.control_cost, rel=1e-6)
        assert other.final_state == pytest.approx(one.final_state, rel=1e-6, abs=1e-9)


def test_a_policy_is_evaluated_on_the_optima_of_its_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_load_policy", lambda _: Unreadable)
    reference = context(tmp_path, "reference", CONFIG)
    stages.run_reference(reference)
    policy = context(tmp_path, "evaluate", CONFIG, reference=reference.output)
    summary = stages.run_policy(policy)
    assert set(summary[DI.name]) == {"open_loop", "replan_5"}
    rows = read_episodes(policy.output / "episodes.parquet")
    costs = {row.case_id: row.optimal_cost for row in read_episodes(reference.output / "episodes.parquet")}
    assert all(row.optimal_cost == costs[row.case_id] for row in rows)
    assert {row.controller for row in rows} == {"llm"}


def test_answers_of_a_few_moves_are_evaluated_in_closed_loop_only() -> None:
    config = EvaluationConfig.named("replanning", DI.name)
    assert [mode.name for mode in config.modes] == ["open_loop", "replan_5", "replan_1"]
    short = MoveBlocking(COARSE_TO_FINE.lengths[:4])
    assert [mode.name for mode in config.covered_by(short).modes] == ["replan_5", "replan_1"]
    with pytest.raises(InputError, match="needs at least one mode"):
        EvaluationConfig.named("standard", DI.name).covered_by(MoveBlocking((1, 1)))


def test_comprehensive_tests_every_condition_that_a_system_has() -> None:
    named = {
        system: [condition.name for condition in EvaluationConfig.named("comprehensive", system).conditions]
        for system in plants.names()
    }
    assert named["double_integrator"] == ["tight", "held_out", "noise", "mismatch"]
    assert not EvaluationConfig.named("replanning", "double_integrator").conditions
    assert named["pendulum"] == ["held_out", "noise", "mismatch"]
    assert named["orbit_raising"] == ["noise", "mismatch"]
    assert not EvaluationConfig.named("standard", DI.name).conditions
    config = {**CONFIG, "evaluation": "comprehensive", **EvaluationConfig.named("comprehensive", DI.name).definition()}
    assert EvaluationConfig.of_stage(config) == EvaluationConfig.named("comprehensive", DI.name, 8)
    tight, held_out, noise, mismatch = EvaluationConfig.of_stage(config).conditions
    nominal = EvaluationConfig.named("standard", DI.name, 1000).states()
    assert len(noise.groups(1000)[0].states) == CONDITION_CASES
    assert np.array_equal(noise.groups(8)[0].states, nominal[:8])
    assert [group.problem.name for group in tight.groups(8)] == ["double_integrator_tight"]
    masses = {group.problem.plant.parameters["mass"] for group in held_out.groups(1000)}
    assert len(masses) == len(held_out.groups(1000)) > 1
    assert DI.plant.parameters["mass"] not in masses
    assert mismatch.disturbance.mismatch == 0.1


def test_conditions_have_rows_of_their_own_beside_the_nominal_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "_load_policy", lambda _: Unreadable)
    more = EvaluationConfig.named("comprehensive", DI.name).definition()
    config = {**CONFIG, "cases": 12, "evaluation": "comprehensive", **more}
    reference = context(tmp_path, "reference", config)
    stages.run_reference(reference)
    policy = context(tmp_path, "evaluate", config, reference=reference.output)
    stages.run_policy(policy)
    nominal = read_episodes(policy.output / "episodes.parquet")
    alone = context(tmp_path / "alone", "evaluate", {**CONFIG, "cases": 12}, reference=reference.output)
    stages.run_policy(alone)
    standard = read_episodes(alone.output / "episodes.parquet")
    assert [row for row in nominal if row.mode != "replan_1"] == standard
    for name in ("tight", "held_out", "noise", "mismatch"):
        known = read_episodes(condition_folder(reference.output, name) / "episodes.parquet")
        rows = read_episodes(condition_folder(policy.output, name) / "episodes.parquet")
        assert {row.mode for row in rows} == {"open_loop", "replan_5", "replan_1"}
        starts = {(row.case_id, row.initial_state, row.optimal_cost) for row in known}
        assert {(row.case_id, row.initial_state, row.optimal_cost) for row in rows} == starts
        assert len(rows) == 3 * len(starts) > 0
        finals = {(row.mode, row.case_id): row.final_state for row in nominal}
        assert any(row.final_state != finals[row.mode, row.case_id] for row in rows)


def test_optima_of_a_condition_must_be_of_its_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_load_policy", lambda _: Unreadable)
    more = EvaluationConfig.named("comprehensive", DI.name).definition()
    config = {**CONFIG, "cases": 4, "evaluation": "comprehensive", **more}
    reference = context(tmp_path, "reference", config)
    stages.run_reference(reference)
    optima = read_optima(reference.output / OPTIMA)
    write_optima(condition_folder(reference.output, "held_out") / "optima-00.parquet", optima)
    with pytest.raises(StageError, match=r"held_out.*has other cases than the 4"):
        stages.run_policy(context(tmp_path, "evaluate", config, reference=reference.output))


def test_a_reference_of_other_cases_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_load_policy", lambda _: Unreadable)
    reference = context(tmp_path, "reference", CONFIG)
    stages.run_reference(reference)
    with pytest.raises(StageError, match="other cases than the 9"):
        stages.run_policy(context(tmp_path, "evaluate", {**CONFIG, "cases": 9}, reference=reference.output))
