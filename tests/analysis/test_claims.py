"""Which sentences an experiment earns: every status is reached, by the situation that calls for it."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from setpoint.analysis.data.claim import Claim, Status, from_json, to_json
from setpoint.analysis.data.evidence import ImpactEvidence, LevelEvidence
from setpoint.analysis.data.reading import read_experiment
from setpoint.analysis.overview import experiment_claims
from setpoint.reports.writer import write_reports
from support.claims import evidence_of
from support.synthetic_experiment import Synthetic


def claims_of(synthetic: Synthetic) -> dict[str, Claim]:
    claims = experiment_claims(read_experiment(synthetic.write()))
    for claim in claims:
        text = json.dumps(to_json(claim), allow_nan=False)
        assert from_json(json.loads(text)) == claim
        assert re.search(r"\b(nan|inf)\b", claim.statement, re.IGNORECASE) is None
    by_id = {claim.id: claim for claim in claims}
    assert len(by_id) == len(claims)
    return by_id


def learning_rate_matters(levels: Mapping[str, Any]) -> float:
    return math.log(0.05) + (0.0 if levels["learning_rate"] == 1e-4 else -1.0)


def test_a_planted_effect_is_found_and_a_missing_one_is_not(tmp_path: Path) -> None:
    claims = claims_of(Synthetic(tmp_path, log_error=learning_rate_matters))
    assert claims["most_impactful"].status is Status.SUPPORTED
    assert evidence_of(claims["most_impactful"], ImpactEvidence).parameter == "learning_rate"
    best = claims["optimal_level:learning_rate"]
    assert best.status is Status.SUPPORTED
    assert evidence_of(best, LevelEvidence).observed_best == 2e-4
    assert best.interval is not None and best.interval[0] < 1 - math.exp(-1) < best.interval[1]
    assert best.statement.startswith("2e-4 (statistical significance: p<0.05")
    rank = claims["optimal_level:lora_rank"]
    assert rank.status is Status.UNRESOLVED
    assert rank.statement.startswith("not resolved: ")
    assert rank.p_adjusted is not None and rank.p_adjusted > 0.05
    assert "3 seeds" in rank.statement and "p=" in rank.statement
    assert "failures:lora_rank" not in claims


def test_a_best_level_at_the_edge_of_the_sweep_says_so(tmp_path: Path) -> None:
    for k, (best, edge) in enumerate(((4, "the smallest tried"), (8, ""), (16, "the largest tried"))):
        synthetic = Synthetic(tmp_path / str(k), log_error=lambda levels, b=best: -1.0 - (levels["lora_rank"] == b))
        statement = claims_of(synthetic)["optimal_level:lora_rank"].statement
        assert statement.startswith(f"{best} (avg improvement: ")
        assert re.findall(r"the (?:smallest|largest) tried", statement) == ([edge] if edge else [])


def test_one_size_of_what_a_design_resolves_is_said_once_and_of_what_it_is(tmp_path: Path) -> None:
    statement = claims_of(Synthetic(tmp_path))["resolution"].statement
    assert re.match(
        r"\d+ % between levels of LoRA rank and \d+ % between levels of learning rate with 3 seeds; ", statement
    )


def test_nothing_is_named_where_nothing_matters(tmp_path: Path) -> None:
    claims = claims_of(Synthetic(tmp_path))
    assert claims["most_impactful"].status is Status.UNRESOLVED
    assert claims["optimal_level:learning_rate"].status is Status.UNRESOLVED


def test_two_equal_effects_are_suggestive(tmp_path: Path) -> None:
    def both(levels: Mapping[str, Any]) -> float:
        return learning_rate_matters(levels) + (0.0 if levels["lora_rank"] == 4 else -1.0)

    factors = {"lora_rank": (4, 8), "learning_rate": (1e-4, 2e-4)}
    claim = claims_of(Synthetic(tmp_path, factors=factors, log_error=both))["most_impactful"]
    assert claim.status is Status.SUGGESTIVE
    assert "P(top)" in claim.reason


def test_an_interaction_keeps_a_level_from_being_recommended(tmp_path: Path) -> None:
    def crossing(levels: Mapping[str, Any]) -> float:
        gain = {4: -2.0, 8: -2.0, 16: 0.7}[levels["lora_rank"]]
        return math.log(0.05) + (gain if levels["learning_rate"] == 2e-4 else 0.0)

    claims = claims_of(Synthetic(tmp_path, log_error=crossing))
    assert claims["interaction:lora_rank:learning_rate"].status is Status.SUPPORTED
    assert claims["optimal_level:learning_rate"].status is Status.SUGGESTIVE
    assert "depends on lora_rank" in claims["optimal_level:learning_rate"].reason


def test_an_interaction_that_leaves_the_best_level_alone_is_not_said_to_move_it(tmp_path: Path) -> None:
    def steeper(levels: Mapping[str, Any]) -> float:
        gain = {4: -0.7, 8: -2.0, 16: -3.0}[levels["lora_rank"]]
        return math.log(0.05) + (gain if levels["learning_rate"] == 2e-4 else 0.0)

    claims = claims_of(Synthetic(tmp_path, log_error=steeper))
    assert "best LoRA rank by learning_rate: " in claims["interaction:lora_rank:learning_rate"].statement
    assert claims["optimal_level:learning_rate"].status is Status.SUGGESTIVE
    reason = claims["optimal_level:learning_rate"].reason
    assert "the size of its effect depends on lora_rank (observed best for every lora_rank: 2e-4)" in reason


def test_unfinished_runs_make_every_claim_interim(tmp_path: Path) -> None:
    synthetic = Synthetic(tmp_path, log_error=learning_rate_matters, unstarted=("lora_rank=16",))
    claims = claims_of(synthetic)
    assert claims["optimal_level:learning_rate"].status is Status.SUGGESTIVE
    assert "interim: 6 runs of 18" in claims["optimal_level:learning_rate"].reason


def test_one_seed_without_error_df_is_not_testable(tmp_path: Path) -> None:
    claims = claims_of(Synthetic(tmp_path, replicates=1, log_error=learning_rate_matters))
    about_recipes = {name: claim for name, claim in claims.items() if not name.startswith("checkpoints:")}
    assert {claim.status for claim in about_recipes.values()} == {Status.NOT_TESTABLE}
    assert "about these checkpoints" in claims["checkpoints:double_integrator"].statement
    assert "2e-4 observed best" in claims["optimal_level:learning_rate"].statement


def test_one_seed_in_a_large_factorial_tests_main_effects_only(tmp_path: Path) -> None:
    factors = {"lora_rank": (4, 8, 16), "learning_rate": (1e-4, 2e-4, 5e-4)}
    claims = claims_of(Synthetic(tmp_path, factors=factors, replicates=1, log_error=lambda x: 3e3 * x["learning_rate"]))
    assert claims["main_effect:learning_rate"].status is Status.SUPPORTED
    assert not [name for name in claims if name.startswith("interaction:")]


def test_one_seed_with_shared_parents_is_not_testable(tmp_path: Path) -> None:
    factors = {"lora_rank": (4, 8, 16), "grpo.temperature": (0.7, 1.0, 1.3)}
    synthetic = Synthetic(tmp_path, factors=factors, replicates=1, sft_factors=("lora_rank",))
    claim = claims_of(synthetic)["most_impactful"]
    assert claim.status is Status.NOT_TESTABLE
    assert "shared SFT parents" in claim.reason


def test_shared_parents_are_one_observation_of_sft(tmp_path: Path) -> None:
    factors = {"lora_rank": (4, 8), "grpo.temperature": (0.7, 1.0)}
    claims = claims_of(Synthetic(tmp_path, factors=factors, replicates=4, sft_factors=("lora_rank",)))
    assert claims["sft_against_base:double_integrator:lora_rank=4"].n_runs == 4
    assert claims["grpo_against_sft:double_integrator:lora_rank=4, grpo.temperature=0.7"].n_runs == 4


def test_zero_has_no_logarithm(tmp_path: Path) -> None:
    claims = claims_of(Synthetic(tmp_path, metric="success_rate", log_error=lambda _: math.log(2.0)))
    assert claims["most_impactful"].status is Status.REFUSED
    assert "no logarithm" in claims["most_impactful"].reason


def test_rates_are_compared_as_they_are(tmp_path: Path) -> None:
    claims = claims_of(Synthetic(tmp_path, metric="success_rate", scale="linear", log_error=learning_rate_matters))
    best = claims["optimal_level:learning_rate"]
    assert evidence_of(best, LevelEvidence).observed_best == 2e-4
    assert best.estimate is not None and best.estimate > 0


def test_a_metric_that_was_not_measured(tmp_path: Path) -> None:
    claim = claims_of(Synthetic(tmp_path, metric="gpu_hours"))["most_impactful"]
    assert claim.status is Status.NOT_TESTABLE
    assert "gpu_hours was not measured" in claim.statement


def test_metrics_that_are_not_numbers_are_left_out(tmp_path: Path) -> None:
    claims = claims_of(Synthetic(tmp_path, log_error=lambda x: math.nan if x["lora_rank"] == 16 else math.log(0.05)))
    assert claims["most_impactful"].status is Status.UNRESOLVED
    assert "16 could not be compared" in claims["optimal_level:lora_rank"].statement


def test_a_constant_metric(tmp_path: Path) -> None:
    claim = claims_of(Synthetic(tmp_path, noise=0.0))["most_impactful"]
    assert claim.status is Status.NOT_TESTABLE
    assert "does not vary" in claim.reason


def test_a_single_run_that_failed_has_a_report(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path, factors={}, replicates=1, failed={"": "config"}).write()
    write_reports(folder)
    assert "config" in (folder / "reports" / "failures.md").read_text()


def test_all_runs_failed(tmp_path: Path) -> None:
    claims = claims_of(Synthetic(tmp_path, failed={"": "gpu_oom"}))
    assert {claim.status for claim in claims.values()} == {Status.NOT_TESTABLE}


def test_a_level_whose_runs_all_fail(tmp_path: Path) -> None:
    claims = claims_of(Synthetic(tmp_path, failed={"lora_rank=16": "diverged"}, log_error=learning_rate_matters))
    assert claims["failures:lora_rank"].status is Status.SUPPORTED
    assert claims["failures:learning_rate"].status is Status.UNRESOLVED
    assert claims["optimal_level:learning_rate"].status is Status.SUPPORTED


def test_survivors_do_not_win_over_runs_that_live(tmp_path: Path) -> None:
    """The best level of the survivors is not recommended where ranking failed runs worst names another."""
    failed = {f"learning_rate=0.0002_double_integrator_s{seed}": "diverged" for seed in range(2, 6)}
    factors = {"learning_rate": (1e-4, 2e-4)}
    synthetic = Synthetic(tmp_path, factors=factors, replicates=6, failed=failed, log_error=learning_rate_matters)
    claim = claims_of(synthetic)["optimal_level:learning_rate"]
    assert claim.status is not Status.SUPPORTED
    assert "failed runs ranked worst, 1e-4 is best" in claim.reason


def test_two_systems_become_a_factor(tmp_path: Path) -> None:
    claims = claims_of(
        Synthetic(tmp_path, systems=("double_integrator", "van_der_pol"), log_error=learning_rate_matters)
    )
    assert evidence_of(claims["most_impactful"], ImpactEvidence).parameter == "learning_rate"
    assert "interaction:learning_rate:system" in claims
    assert "optimal_level:system" not in claims


def test_a_single_run_is_not_compared(tmp_path: Path) -> None:
    claim = claims_of(Synthetic(tmp_path, factors={}, replicates=1))["most_impactful"]
    assert claim.status is Status.NOT_TESTABLE
    assert "no parameter has several values" in claim.reason


def test_claims_repeat(tmp_path: Path) -> None:
    first, again = (Synthetic(tmp_path / name, log_error=learning_rate_matters) for name in ("a", "b"))
    assert claims_of(first) == claims_of(again)
