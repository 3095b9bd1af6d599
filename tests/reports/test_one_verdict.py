"""No figure, badge, table or sentence of a report contradicts another: all are drawn from the same claims."""

import csv
import io
import json
import math
import re
import shutil
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from setpoint.analysis.data.claim import Claim, ClaimKind, Status
from setpoint.analysis.data.evidence import BestSetEvidence
from setpoint.analysis.data.reading import read_experiment
from setpoint.analysis.data.subject import OneCell
from setpoint.artifacts import Workspace
from setpoint.reports import write_reports
from setpoint.reports.content import Report, asked, build_report, one_line, run_at
from setpoint.reports.figures.report_figures import report_figures
from setpoint.reports.files import generated_files
from setpoint.reports.html import render_html
from setpoint.reports.modes import mode_table
from setpoint.reports.recommendations import recommendations
from setpoint.reports.results import result_rows
from setpoint.reports.stage_effects import stage_effects
from setpoint.reports.summary import summary
from setpoint.reports.text import render_text
from setpoint.seeding import generator
from setpoint.truth.consistency import contradictions
from setpoint.truth.folders import write_folder
from setpoint.truth.worlds import World
from support.reports import rows_of
from support.synthetic_experiment import Synthetic

BADGE = re.compile(r'<span class="status (\w+)">[^<]*</span><span><strong>([^<]*):</strong>')
RATES = {"lora_rank": (2, 8), "learning_rate": (1e-4, 5e-4)}


def low_rate_is_best(levels: Mapping[str, Any]) -> float:
    return math.log(0.05) + 0.4 * (levels["learning_rate"] == 5e-4) - 0.3 * (levels["lora_rank"] == 8)


def grpo_harms_the_high_rate(levels: Mapping[str, Any]) -> float:
    """GRPO raises the error by half at the high rate, and changes little at the low one."""
    return -0.4 if levels["learning_rate"] == 5e-4 else 0.02


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    synthetic = Synthetic(
        tmp_path_factory.mktemp("verdict"),
        factors=RATES,
        replicates=4,
        log_error=low_rate_is_best,
        sft_excess=grpo_harms_the_high_rate,
        noise=0.03,
        both_modes=True,
    )
    return synthetic.write()


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return build_report(read_experiment(folder))


@pytest.fixture(scope="module")
def written(folder: Path) -> Path:
    return write_reports(folder, figures=False)


def grpo(report: Report) -> Claim:
    claim = report.claim(ClaimKind.GRPO_AGAINST_SFT, system="double_integrator")
    assert claim is not None
    return claim


def test_where_a_stage_differs_between_cells_they_come_before_the_mean(report: Report) -> None:
    claim = grpo(report)
    assert claim.status is Status.SUGGESTIVE
    assert claim.statement.startswith("not resolved: the effect differs between configurations: worsened by ")
    assert "GRPO harms" not in claim.statement
    assert claim.statement.index("learning rate 5e-4") < claim.statement.index("mean of all: ")
    assert "mean of all cells" not in claim.heading


def test_qualified_claims_contradict_neither_each_other_nor_their_numbers(report: Report) -> None:
    assert contradictions(report.claims, report.data.analysis.alpha) == []


@pytest.mark.parametrize("seed", range(4))
def test_page_figures_tables_and_text_agree_on_random_worlds(seed: int, tmp_path: Path) -> None:
    """Effects, interactions and failures at random: each status and each set is the same wherever it is shown."""
    rng = generator("page", seed)
    levels = {"lora_rank": (4, 8, 16), "learning_rate": (1e-4, 2e-4)}
    effects = {"learning_rate": (0.0, float(rng.normal(0, 3))), "lora_rank": tuple(rng.normal(0, 2, 3).tolist())}
    world = World(levels, int(rng.integers(1, 6)), effects, crossover=float(rng.choice([0.0, 2.0])), missing=0.05)
    data = read_experiment(write_folder(world.sample(rng), Workspace(tmp_path), "page"))
    report = build_report(data)
    assert contradictions(report.claims, data.analysis.alpha) == []
    figures = report_figures(report)
    page = unescape(render_html(report, generated_files(report, "none"), result_rows(data), figures))
    text = render_text(report, generated_files(report, "none"))
    badges = {heading: status for status, heading in BADGE.findall(page)}
    by_heading = {claim.heading: claim for claim in report.claims}
    for claim in asked(report):
        assert badges[claim.heading] == claim.status
        assert one_line(claim.statement) in page and one_line(claim.statement) in text
    for figure in figures.effects:
        for row in figure.spec["layer"][0]["data"]["values"]:
            shown = by_heading.get(row["label"].removesuffix(" (mean of all)"))
            if shown is not None:
                assert (row["status"] == "significant") is (shown.status is Status.SUPPORTED)
    for ranked in report.ranked:
        best = report.claim(ClaimKind.BEST_CONFIGURATIONS, system=ranked.system)
        if best is not None and isinstance(best.evidence, BestSetEvidence):
            marked = {r.configuration for r in ranked.configurations if r.possibly_best}
            assert marked == set(best.evidence.possibly_best)
            assert ranked.with_result[0].configuration == best.evidence.observed_best


def test_the_recommendation_names_the_parameter_and_spares_the_best_configuration(report: Report) -> None:
    (advice,) = [text for text in recommendations(report) if "GRPO" in text]
    assert advice.startswith(
        "Lower the learning rate of GRPO (grpo.learning_rate) on double_integrator at learning rate 5e-4"
    )
    assert "drop" not in advice
    assert "no harm to the best configuration (LoRA rank 8, learning rate 1e-4): keep it there" in advice


def test_a_stage_that_harms_everywhere_is_advised_against(tmp_path: Path) -> None:
    synthetic = Synthetic(tmp_path, factors=RATES, replicates=4, sft_excess=lambda levels: -0.4, noise=0.03)
    report = build_report(read_experiment(synthetic.write()))
    assert grpo(report).status is Status.SUPPORTED
    (advice,) = [text for text in recommendations(report) if "GRPO" in text]
    assert ", or drop the stage" in advice and "keep it" not in advice


def test_levels_are_recommended_only_as_the_best_configuration_has_them(tmp_path: Path) -> None:
    def crossed(levels: Mapping[str, Any]) -> float:
        """Rank 2 is better on average, but the best cell has rank 8."""
        low = levels["learning_rate"] == 1e-4
        return math.log(0.05) + (0.0 if levels["lora_rank"] == 2 else -0.2 if low else 1.5)

    folder = Synthetic(tmp_path, factors=RATES, replicates=6, log_error=crossed, noise=0.02).write()
    report = build_report(read_experiment(folder))
    best = report.ranked[0].with_result[0]
    assert best.levels["lora_rank"] == 8
    assert not [text for text in recommendations(report) if text.startswith(("Use lora_rank = 2", "Sweep lora_rank"))]


def test_badges_sentences_and_tables_show_the_status_of_one_claim(report: Report, written: Path) -> None:
    page = unescape(written.with_name("report.html").read_text())
    stored = json.loads(written.with_name("claims.json").read_text())["claims"]
    by_id = {claim["id"]: claim for claim in stored}
    badges = {heading: status for status, heading in BADGE.findall(page)}
    for claim in asked(report):
        assert badges[claim.heading] == claim.status == by_id[claim.id]["status"]
        assert by_id[claim.id]["statement"] == claim.statement
        assert claim.statement in page and claim.statement in written.read_text()
    (caption,) = re.findall(r"<figcaption>[^<]*Significant: ([^<]*)\.</figcaption>", page)
    drawn = [c for c in report.claims if c.interval is not None and not isinstance(c.subject, OneCell)]
    for claim in drawn:
        if claim.status is not Status.SUPPORTED:
            assert claim.heading not in caption.split("; ")


def test_the_best_adapter_belongs_to_the_first_configuration(report: Report, written: Path) -> None:
    (ranked,) = report.ranked
    best = run_at(report, ranked, "best")
    assert best is not None and best.configuration == ranked.with_result[0].configuration
    assert best.stages["grpo"] in written.read_text().partition("- Best adapter: ")[2].splitlines()[0]


def test_both_modes_stand_side_by_side_everywhere(report: Report, written: Path) -> None:
    (ranked,) = report.ranked
    table = mode_table(report, ranked)
    assert table is not None and table.modes == ("open_loop", "replan_5")
    labels = [row.label for row in table.rows]
    assert labels[-4:] == ["base, zero-shot", "clipped LQR", "certified optimum", "zero control"]
    assert all(set(row.by_mode) == {"open_loop", "replan_5"} for row in table.rows)
    text = written.read_text()
    assert re.search(r"^ +open loop \(primary\) +replanning every 5 steps$", text, re.MULTILINE)
    for kind in ("md", "html"):
        other = written.with_name(f"report.{kind}").read_text()
        assert "open loop (primary)" in other.replace("\\", "") and "replanning every 5 steps" in other
    (row, *_) = rows_of(written)
    assert row["mode"] == "open_loop"
    assert float(row["replan_5_final_error"]) == pytest.approx(float(row["final_error"]) / 10)
    baselines = list(csv.DictReader(io.StringIO(written.with_name("baselines.csv").read_text())))
    assert {(line["controller"], line["mode"]) for line in baselines} >= {
        ("base, zero-shot", "replan_5"),
        ("clipped LQR", "open_loop"),
    }


def test_numbers_of_the_table_are_those_of_the_ranking(report: Report) -> None:
    (ranked,) = report.ranked
    table = mode_table(report, ranked)
    assert table is not None
    for row, result in zip(table.rows[:3], ranked.with_result[:3], strict=True):
        assert row.trained
        assert row.by_mode["open_loop"]["final_error"] == result.mean


def test_the_first_paragraph_says_what_was_asked_what_came_out_and_what_to_do(report: Report, written: Path) -> None:
    parts = dict(summary(report))
    assert parts["Question"].startswith("Which LoRA rank (2, 8) and learning rate (1e-4, 5e-4) gives the lowest final")
    assert "LoRA rank 8, learning rate 1e-4 has the best mean" in parts["Result"]
    assert "Open loop: final error" in parts["Result"] and "Replanning every 5 steps: final error" in parts["Result"]
    assert "untrained base" in parts["Result"] and "LQR" in parts["Result"]
    assert parts["Next"] == recommendations(report)[0]
    page = written.with_name("report.html").read_text()
    order = ["Question.", 'id="results"', 'id="claims"', 'id="statistics"', 'id="usage"', 'id="runs"']
    places = [page.index(mark) for mark in order]
    assert places == sorted(places)
    assert 0 < written.read_text().index("Which LoRA rank") < written.read_text().index("=== Results Summary ===")


def test_what_was_not_asked_is_not_answered(tmp_path: Path) -> None:
    written = write_reports(Synthetic(tmp_path, factors={"lora_rank": (4, 8)}).write(), figures=False)
    page = written.with_name("report.html").read_text()
    assert "Best learning rate" not in page and "Most impactful parameter" not in page.partition('id="statistics"')[0]
    assert "Best learning rate" not in written.with_name("report.md").read_text()
    single = write_reports(Synthetic(tmp_path / "one", factors={}, replicates=1, title="single").write(), figures=False)
    for kind in ("txt", "md", "html"):
        assert "Most impactful" not in single.with_name(f"report.{kind}").read_text()


def test_a_confirmation_puts_the_fresh_score_beside_the_old_one(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path / "a", factors={"lora_rank": (4, 8)}, log_error=lambda levels: math.log(0.04))
    fresh = Synthetic(
        tmp_path / "b",
        factors={"lora_rank": (4, 8), "seeds": ("fresh",)},
        log_error=lambda levels: math.log(0.05),
        experiment="again",
        spec={"confirms": "sweep"},
    )
    shutil.copytree(sweep.write().parents[1], fresh.write().parents[1], dirs_exist_ok=True)
    written = write_reports(fresh.folder, figures=False)
    text = written.read_text()
    assert "Experiment Type: confirmation of sweep" in text
    rows = re.findall(r"^  [48], fresh +(\S+) +(\S+) +\[[^\]]*\] +(\S+) %$", text, re.MULTILINE)
    assert len(rows) == 2
    for old, new, optimism in rows:
        assert float(optimism) == pytest.approx(100 * (float(new) / float(old) - 1), abs=0.2)
    assert "score in the sweep" in written.with_name("report.html").read_text()


def test_effects_of_stages_have_their_cells(report: Report) -> None:
    effects = {effect.stage: effect for effect in stage_effects(report.claims, relative=True)}
    assert len(effects["GRPO"].cells) == 4
    assert effects["GRPO"].differs and not effects["SFT"].differs
    assert effects["GRPO"].parameter() == ("learning_rate", "5e-4")
