"""Designs: which combinations become configurations, and what is refused."""

from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from setpoint.analysis.data.design import Obstacle, factorial
from setpoint.analysis.data.experiment import ExperimentData
from setpoint.analysis.data.reading import read_experiment
from setpoint.analysis.overview import experiment_claims
from setpoint.errors import InputError
from setpoint.experiments.planning import designs
from setpoint.experiments.planning.canonical import canonical_spec
from setpoint.experiments.planning.designs import configurations
from setpoint.experiments.planning.spec import ExperimentSpec, make_spec
from support.sweeps import make_plan
from support.synthetic_experiment import Synthetic

TWO = {
    "lora_rank": [4, 8],
    "learning_rate": [1e-4, 2e-4],
    "grpo.temperature": [0.7, 1.0],
    "sft.steps": [10, 20],
    "grpo.steps": [5, 6],
    "lora_dropout": [0.0, 0.1],
}
RATE = {"learning_rate": {"min": 1e-5, "max": 1e-3, "scale": "log"}}


def spec_of(**fields: Any) -> ExperimentSpec:
    return canonical_spec(make_spec({"systems": "di", **fields}))


def points(**fields: Any) -> list[dict[str, Any]]:
    return configurations(spec_of(**fields), "both")


def test_an_unknown_condition_is_answered_with_the_nearest() -> None:
    conditions = {"grpo.temperature": {"training_typ": "both"}}
    with pytest.raises(InputError, match=r"unknown condition 'training_typ'\. Did you mean 'training_type'"):
        spec_of(parameters={"grpo.temperature": [0.7, 1.0]}, conditions=conditions)


def test_conditions_that_wait_for_each_other_are_refused() -> None:
    conditions = {
        "lora_rank": {"learning_rate": [1e-4]},
        "learning_rate": {"sft.steps": [10]},
        "sft.steps": {"lora_rank": [4]},
    }
    with pytest.raises(InputError, match=r"circular conditions: lora_rank depends on learning_rate depends on"):
        spec_of(parameters={name: TWO[name] for name in conditions}, conditions=conditions)


def test_zipped_parameters_are_one_axis_and_one_factor() -> None:
    fields = {"parameters": {"rank": [4, 8], "learning_rate": [2e-4, 1e-4], "grpo.beta": [0.0, 0.1]}}
    found = points(**fields, zipped=[["lora_rank", "learning_rate"]])
    assert [tuple(point.values()) for point in found] == [
        (4, 2e-4, 0.0),
        (4, 2e-4, 0.1),
        (8, 1e-4, 0.0),
        (8, 1e-4, 0.1),
    ]
    plan = make_plan(systems="di", **fields, zipped=[["lora_rank", "learning_rate"]])
    assert plan.analysis.factors == ("grpo.beta", "lora_rank+learning_rate")
    assert plan.runs[0].factors["lora_rank+learning_rate"] == "4+0.0002"
    assert plan.runs[0].resolved["lora"]["rank"] == 4


def test_a_conditional_parameter_is_swept_only_where_its_condition_holds() -> None:
    parameters = {"lora_rank": [4, 8], "grpo.temperature": [0.7, 1.0], "grpo.beta": [0.0, 0.1]}
    found = points(parameters=parameters, conditions={"temperature": {"rank": "8"}, "beta": {"temperature": [1.0]}})
    assert [tuple(point.values()) for point in found] == [(4,), (8, 0.7), (8, 1.0, 0.0), (8, 1.0, 0.1)]
    by_type = {"parameters": {"lora_rank": [4, 8]}, "conditions": {"lora_rank": {"training_type": "both"}}}
    plan = make_plan(systems="di", training_types=["sft", "both"], **by_type)
    assert [run.factors for run in plan.runs] == [
        {"training_type": "sft"},
        {"training_type": "both", "lora_rank": 4},
        {"training_type": "both", "lora_rank": 8},
    ]


@pytest.mark.parametrize(("largest", "count", "resolution"), [(None, 8, 3), (16, 16, 4), (40, 32, 6), (64, 64, None)])
def test_a_fraction_is_balanced_and_orthogonal(largest: int | None, count: int, resolution: int | None) -> None:
    spec = spec_of(parameters=TWO, design="fractional", configurations=largest)
    found = configurations(spec, "both")
    assert len(found) == count
    assert designs.resolution(spec) == resolution
    for names in combinations(TWO, 2):  # every pair of levels of every two parameters, equally often
        assert set(Counter(tuple(point[name] for name in names) for point in found).values()) == {count // 4}


def test_a_fraction_of_three_levels() -> None:
    parameters = {name: [*values, values[1] + 2 * (values[1] - values[0])] for name, values in list(TWO.items())[:4]}
    spec = spec_of(parameters=parameters, design="fractional")
    found = configurations(spec, "both")
    assert (len(found), designs.resolution(spec)) == (9, 3)
    for one, other in combinations(parameters, 2):
        assert len({(point[one], point[other]) for point in found}) == 9


def test_points_are_drawn_from_ranges_and_lists_whatever_the_seed() -> None:
    for design in ("random", "sobol"):
        fields = {"parameters": {"lora_rank": [4, 8]}, "ranges": RATE, "design": design, "configurations": 64}
        found = points(**fields)
        assert found == points(**fields, seed=5, replicates=3)
        assert len(found) == 64
        assert Counter(point["lora_rank"] for point in found)[4] in range(20, 45)
        assert all(1e-5 <= point["learning_rate"] <= 1e-3 for point in found)
        low = sum(point["learning_rate"] < 1e-4 for point in found)
        assert low == 32 if design == "sobol" else low in range(20, 45)


def test_numbers_that_must_be_whole_are_drawn_whole() -> None:
    found = points(ranges={"sft.steps": {"min": 5, "max": 9}}, design="random", configurations=50)
    assert {type(point["sft.steps"]) for point in found} == {int}
    assert {point["sft.steps"] for point in found} == {5, 6, 7, 8, 9}


def test_training_types_meet_the_same_points() -> None:
    ranges = {**RATE, "grpo.temperature": {"min": 0.5, "max": 1.5}}
    spec = spec_of(training_types=["sft", "both"], ranges=ranges, design="sobol", configurations=4)
    rates = [[point["learning_rate"] for point in configurations(spec, kind)] for kind in ("sft", "both")]
    assert rates[0] == rates[1]
    assert all("grpo.temperature" not in point for point in configurations(spec, "sft"))


def test_a_declared_trend_is_part_of_the_plan_and_of_nothing_else() -> None:
    fields: dict[str, Any] = {"systems": "di", "parameters": {"lora.rank": [4, 8, 16], "sft.steps": [10, 20]}}
    plain, trend = make_plan(**fields), make_plan(**fields, trend="lora.rank")
    assert trend.analysis.trends == ("lora_rank",) and plain.analysis.trends == ()
    assert trend.spec_digest != plain.spec_digest and trend.stages.keys() == plain.stages.keys()
    assert "trends" not in plain.to_json()["analysis"] and trend.to_json()["analysis"]["trends"] == ["lora_rank"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"zipped": [["lora_rank", "grpo.beta"]]}, "not grpo.beta"),
        ({"zipped": [["lora_rank", "sft.steps"]]}, "lora_rank has 2, sft.steps has 3"),
        ({"zipped": [["lora_rank", "lora.rank"]]}, "lora_rank is zipped twice"),
        ({"conditions": {"grpo.beta": {"lora_rank": 4}}}, "grpo.beta has a condition but only one value"),
        ({"conditions": {"sft.steps": {"grpo.beta": 0.1}}}, "sft.steps cannot depend on grpo.beta"),
        ({"conditions": {"sft.steps": {"lora_rank": 16}}}, "lora_rank is never 16"),
        ({"ranges": RATE}, "--design random or sobol"),
        ({"design": "sobol"}, "--configurations"),
        ({"configurations": 4}, "no effect in a full design"),
        ({"design": "fractional"}, "lora_rank: 2; sft.steps: 3"),
        (
            {"design": "sobol", "configurations": 4, "ranges": {"lora_rank": {"min": 2, "max": 4}}},
            "is set twice",
        ),
        ({"design": "sobol", "configurations": 4, "ranges": {"grpo.loss": {"min": 2, "max": 4}}}, "grpo.loss"),
        (
            {"design": "sobol", "configurations": 4, "ranges": {"grpo.beta": {"min": 4, "max": 2}}},
            r"min must be smaller than max \(got 4.0, 2.0\)",
        ),
        ({"design": "latin"}, "design"),
        ({"design": "fractional", "zipped": [["lora_rank", "sft.steps"]]}, "Make the lists equally long"),
        ({"design": "fractional", "zipped": [["lora_rank", "grpo.beta"]]}, "not grpo.beta"),
        ({"zipped": [["lora_rank"]]}, "a zip needs two or more parameters, got lora_rank"),
        ({"trend": ["lora_rank"]}, "a trend needs at least 3 levels, but lora_rank has 2"),
        ({"trend": ["grpo.beta"]}, "listed values that is not zipped, got grpo.beta"),
        ({"trend": ["rank"]}, "rank"),
    ],
)
def test_what_cannot_be_designed_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        spec_of(parameters={"lora_rank": [4, 8], "sft.steps": [10, 20, 30]}, **fields)


def test_a_design_that_leaves_cells_empty_is_not_taken_for_a_factorial(tmp_path: Path) -> None:
    data = read_experiment(Synthetic(tmp_path).write())
    assert not isinstance(factorial(data, "final_error").cells, Obstacle)
    diagonal = {(4, 1e-4), (8, 2e-4)}
    runs = tuple(run for run in data.runs if (run.level("lora_rank"), run.level("learning_rate")) in diagonal)
    assert len(runs) == 6
    check_sparse(replace(data, runs=runs, plan=data.plan.model_copy(update={"spec": {"design": "sobol"}})))


@pytest.mark.parametrize("design", ["fractional", "sobol"])
def test_a_sparse_design_of_which_single_levels_are_left_is_not_taken_for_a_factorial(
    tmp_path: Path, design: str
) -> None:
    factors = {"lora_rank": (4, 8), "learning_rate": (1e-4, 2e-4), "batch_size": (8, 16)}
    data = read_experiment(Synthetic(tmp_path, factors=factors, replicates=2).write())
    half = tuple(run for run in data.runs if sum(run.level(name) == levels[0] for name, levels in factors.items()) % 2)
    assert len(half) == 8
    check_sparse(replace(data, runs=half, plan=data.plan.model_copy(update={"spec": {"design": design}})))


def check_sparse(data: ExperimentData) -> None:
    words = f"a {data.plan.design} design has no runs for some combinations"
    obstacle = factorial(data, "final_error").cells
    assert isinstance(obstacle, Obstacle)
    assert obstacle.reason.startswith(words)
    assert any(words in claim.statement for claim in experiment_claims(data))
