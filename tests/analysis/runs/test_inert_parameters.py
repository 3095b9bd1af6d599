"""Axes along which nothing changes are told, before and after."""

import dataclasses
from pathlib import Path

from setpoint.analysis.data.experiment import ExperimentData
from setpoint.analysis.data.reading import read_experiment
from setpoint.analysis.runs.inert_parameters import inert_parameter_claims
from setpoint.experiments.planning.suggestions import inert_parameters
from support.sweeps import make_plan
from support.synthetic_experiment import Synthetic


def with_weights(data: ExperimentData, *factors: str) -> ExperimentData:
    """The experiment with weights that depend on the seed and on these factors alone."""
    runs = [
        dataclasses.replace(
            run, outputs={**run.outputs, "weights": str([run.seed, *(run.level(name) for name in factors)])}
        )
        for run in data.runs
    ]
    return dataclasses.replace(data, runs=tuple(runs))


def test_runs_that_differ_on_paper_alone_are_named_in_the_report(tmp_path: Path) -> None:
    data = read_experiment(Synthetic(tmp_path).write())
    assert all(set(run.outputs) == {"episodes"} for run in data.runs)
    assert inert_parameter_claims(data) == []
    assert inert_parameter_claims(with_weights(data, "lora_rank", "learning_rate")) == []
    (claim,) = inert_parameter_claims(with_weights(data, "learning_rate"))
    assert claim.id == "inert_parameters:lora_rank"
    assert claim.statement.startswith("lora_rank: 18 pairs of runs that differ there alone trained the same weights")
    assert claim.n_runs == 18
    assert "lora_rank had no effect in some runs" in claim.caveats[0]


def test_configurations_that_are_the_same_stages_are_named_in_the_plan() -> None:
    assert inert_parameters(make_plan(systems="di", parameters={"lora_rank": [4, 8]})) == []
    ablation = {"type": "training_ablation", "systems": "di", "equal_compute_control": True}
    (text,) = inert_parameters(make_plan(**ablation, parameters={"grpo.temperature": [0.7, 1.0]}))
    assert text.startswith("grpo.temperature has no effect between sft_equal_compute_grpo.temperature=0.7")
