"""Figures: one specification for page and files, with what the claims and the table say, and nothing clipped."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from setpoint.analysis.data.claim import Status
from setpoint.analysis.data.reading import read_experiment
from setpoint.errors import InputError
from setpoint.reports import write_reports
from setpoint.reports.content import Report, build_report, curve_labels, run_at, stages_of
from setpoint.reports.figures import Figure
from setpoint.reports.figures.curves import learning_curves
from setpoint.reports.figures.report_figures import report_figures, save_all
from setpoint.reports.figures.scores import seeds
from setpoint.reports.figures.spec import FILE_WIDTH
from setpoint.reports.modes import mode_table
from setpoint.reports.scales import Reference, place_references
from setpoint.seeding import generator
from setpoint.truth.planted import as_data
from setpoint.truth.worlds import Arms
from support.reports import effect
from support.synthetic_experiment import Synthetic


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    synthetic = Synthetic(
        tmp_path_factory.mktemp("figures"),
        factors={"lora_rank": (4, 8), "learning_rate": (1e-4, 2e-4)},
        systems=("double_integrator", "pendulum"),
        replicates=4,
        log_error=effect,
        both_modes=True,
    )
    return synthetic.write()


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return build_report(read_experiment(folder))


def named(report: Report) -> dict[str, Figure]:
    return {figure.name: figure for figure in report_figures(report).all}


def layers(figure: Figure) -> Iterator[dict[str, Any]]:
    panels = figure.spec.get("vconcat", [figure.spec])
    return (layer for panel in panels for layer in panel["layer"])


def rows(figure: Figure, *fields: str) -> list[dict[str, Any]]:
    """The rows of the first layer that has these fields."""
    return next(
        values for layer in layers(figure) if (values := layer["data"]["values"]) and set(fields) <= set(values[0])
    )


def test_every_figure_has_its_own_name_mode_and_caption(report: Report) -> None:
    figures = report_figures(report).all
    names = [figure.name for figure in figures]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"\w+", name) for name in names)
    for system in ("double_integrator", "pendulum"):
        of_system = [figure for figure in figures if system in figure.name and "curves" not in figure.name]
        assert all(re.search(r"open loop|replanning every 5 steps", figure.caption) for figure in of_system), [
            figure.caption for figure in of_system
        ]


def test_plants_with_other_primary_modes_share_no_axis(report: Report) -> None:
    for figure in report_figures(report).all:
        text = json.dumps(figure.spec) + figure.caption
        if "all_plants" not in figure.name:
            assert not ("double_integrator" in text and "pendulum" in text), figure.name


def test_both_modes_are_drawn_with_the_numbers_of_the_table(report: Report) -> None:
    figures = named(report)
    for ranked in report.ranked:
        table = mode_table(report, ranked)
        assert table is not None and set(table.modes) == {"open_loop", "replan_5"}
        for mode in table.modes:
            drawn = rows(figures[f"errors_{ranked.system}_{mode}"], "mean", "label")
            for row, line in zip(drawn, table.rows[:3], strict=False):
                assert row["label"].startswith(line.label)
                assert row["mean"] == line.by_mode[mode]["final_error"]


def test_effects_are_ratios_with_the_status_of_their_claims(report: Report) -> None:
    figure = named(report)["effects_double_integrator"]
    found = {row["label"].removesuffix(" (mean of all)"): row for row in rows(figure, "low", "high", "status")}
    claims = {claim.heading: claim for claim in report.claims}
    for label, row in found.items():
        assert 0.0 < row["low"] <= row["value"] <= row["high"]
        if label in claims:
            claim = claims[label]
            assert (row["status"] == "significant") is (claim.status is Status.SUPPORTED)
            assert row["value"] == pytest.approx(1.0 - (claim.estimate or 0.0))
            assert row["answer"] == claim.statement
            assert (label in figure.caption.rpartition("Significant: ")[2]) is (row["status"] == "significant")
    scales = {
        layer["encoding"]["x"]["scale"]["type"] for layer in layers(figure) if "scale" in layer["encoding"].get("x", {})
    }
    assert scales == {"log"}


def test_levels_called_near_best_are_those_of_the_claim(tmp_path: Path) -> None:
    report = build_report(read_experiment(Synthetic(tmp_path, log_error=effect, replicates=5).write()))
    for claim in report.claims:
        if claim.kind == "optimal_level":
            figure = named(report)[f"levels_{claim.factor}_double_integrator"]
            marked = [row["label"].partition(" ")[0] for row in rows(figure, "mean") if "near-best" in row["label"]]
            found = [f"{level:g}" for level in claim.evidence.possibly_best]  # type: ignore[union-attr]
            assert sorted(float(text) for text in marked) == sorted(float(text) for text in found)


def test_trajectories_are_those_of_best_median_and_worst_with_bounds_and_target(report: Report) -> None:
    figures = named(report)
    for ranked in report.ranked:
        for mode in (report.data.analysis.mode(ranked.system).episodes,):
            figure = figures[f"trajectories_{ranked.system}_{mode}"]
            who = {row["who"] for layer in layers(figure) for row in layer["data"]["values"] if "who" in row}
            assert who == {"best", "median", "worst", "optimal control"}
            for place in ("best", "median", "worst"):
                run = run_at(report, ranked, place)
                assert run is not None and f"{place}: {run.name}" in figure.caption
            rules = [layer for layer in layers(figure) if layer["mark"]["type"] == "rule"]
            assert any(layer["mark"].get("strokeDash") for layer in rules)
            assert any(layer["encoding"]["y"].get("datum") == 0.0 for layer in rules)


def test_learning_curves_have_the_mean_and_the_range_of_the_seeds(tmp_path: Path) -> None:
    factors = {"lora_rank": (4, 8, 16, 32), "learning_rate": (1e-4, 2e-4), "beta": (0.0, 0.1)}
    synthetic = Synthetic(tmp_path, factors=factors, replicates=2, sft_factors=("lora_rank", "learning_rate"))
    report = build_report(read_experiment(synthetic.write()))
    sft, grpo = learning_curves(report, "double_integrator")
    for figure, count in ((sft, 8), (grpo, 16)):
        drawn = rows(figure, "step", "mean")
        assert len({row["configuration"] for row in drawn}) == count
        assert {row["seeds"] for row in drawn} == {2}
        assert all(row["low"] <= row["mean"] <= row["high"] for row in drawn)
        colours = next(layer for layer in layers(figure) if layer["mark"]["type"] == "line")["encoding"]
        looks = list(
            zip(colours["color"]["scale"]["range"], map(str, colours["strokeDash"]["scale"]["range"]), strict=True)
        )
        assert len(set(looks)) == count
    assert "crosses: validation loss" in sft.caption and "crosses" not in grpo.caption
    assert "LoRA rank 32, learning rate 2e-4, beta 0.1" in {row["configuration"] for row in rows(grpo, "step", "mean")}


def test_a_curve_that_some_arms_share_is_called_by_them() -> None:
    strategies = ("sft_only", "sft_then_grpo", "sft_equal_compute")
    world = Arms("strategy", "training_ablation", ("a",), {name: [0.0] for name in strategies}, 2)
    data = as_data(world.sample(generator("curves")))
    runs = [
        replace(run, stages={"sft": "long" if run.level("strategy") == "sft_equal_compute" else "shared"})
        for run in data.runs
    ]
    labels = curve_labels(replace(data, runs=tuple(runs)), stages_of(runs, "sft"))
    assert labels == {"shared": "strategy sft_only or sft_then_grpo", "long": "strategy sft_equal_compute"}


def test_costs_have_their_ranges(report: Report) -> None:
    for row in rows(named(report)["costs_double_integrator"], "cost_low", "error_high"):
        assert row["cost_low"] <= row["cost"] <= row["cost_high"]
        assert row["error_low"] <= row["error"] <= row["error_high"]


def test_every_system_has_a_map_of_its_own(report: Report) -> None:
    for system in report.data.systems:
        cells = rows(named(report)[f"map_{system}_lora_rank_learning_rate"], "counts")
        assert [cell["counts"] for cell in cells] == ["n=4"] * 4


def test_references_leave_the_data_their_room() -> None:
    references = [
        Reference("optimum", 0.0035),
        Reference("base", 0.2),
        Reference("zero", 2.0),
        Reference("nan", math.nan),
    ]
    placed = place_references([0.08, 0.1], references, logarithmic=True)
    assert [[r.label for r in found] for found in (placed.inside, placed.below, placed.above)] == [
        ["base"],
        ["optimum"],
        ["zero"],
    ]
    wide = place_references([0.002, 1.5], references, logarithmic=True)
    assert [r.label for r in wide.inside] == ["optimum", "base", "zero"]
    linear = place_references([0.0, 0.5], references, logarithmic=False)
    assert [r.label for r in linear.above] == ["zero"]


def test_references_off_the_axis_are_named(tmp_path: Path) -> None:
    synthetic = Synthetic(tmp_path, factors={"lora_rank": (4, 8)}, log_error=lambda levels: math.log(0.5))
    report = build_report(read_experiment(synthetic.write()))
    (figure,) = seeds(report, report.ranked[0])
    assert "Off the axis: certified optimum 0.002, clipped LQR 0.01" in figure.caption
    assert {row["reference"] for row in rows(figure, "reference")} == {"base, zero-shot", "zero control"}


def test_figures_are_saved_in_three_formats_and_unchanged(folder: Path, report: Report, tmp_path: Path) -> None:
    figure = named(report)["effects_double_integrator"]
    svg = figure.save(tmp_path / "a.svg").read_text()
    assert f'width="{FILE_WIDTH}"' in svg and "error after / error before" in svg
    assert figure.save(tmp_path / "b.svg").read_text() == svg
    assert figure.save(tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert figure.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"saved as \.svg, \.pdf, \.png"):
        figure.save(tmp_path / "a.gif")
    assert set(figure._repr_mimebundle_()) == {"image/svg+xml", "text/plain"}


def test_every_figure_is_as_wide_as_a_file(report: Report, tmp_path: Path) -> None:
    for name in save_all(report_figures(report).all, tmp_path, ("svg",)):
        found = re.search(r'<svg [^>]*width="([\d.]+)"', (tmp_path / name).read_text())
        assert found is not None and 0.9 * FILE_WIDTH <= float(found[1]) <= FILE_WIDTH, name


def test_without_the_package_the_rest_is_written(tmp_path: Path, without_figure_files: None) -> None:
    written = write_reports(Synthetic(tmp_path, factors={"lora_rank": (4, 8)}, replicates=2).write())
    assert "vl-convert-python is not installed" in written.read_text()
    assert '"errors_double_integrator_open_loop":{"spec"' in written.with_name("report.html").read_text()


def test_latex_has_tables_and_figures(folder: Path) -> None:
    written = write_reports(folder, figures=("pdf",))
    text = written.with_name("report.tex").read_text()
    for part in (
        r"\toprule",
        r"\multicolumn{3}{c}{open loop (primary)}",
        r"clipped LQR & ",
        r"LoRA rank 8, learning rate",
    ):
        assert part in text
    places = re.findall(r"\\includegraphics\[width=\\linewidth\]\{([^}]*)\}", text)
    assert places and all((written.parent / place).is_file() for place in places)
    plain = text.replace(r"\_", "").replace(r"\%", "").replace("% Experiment", "")
    assert not re.search(r"(?<!\\)[#%]", plain)


def test_levels_of_any_text_are_drawn(tmp_path: Path) -> None:
    def flat(levels: Mapping[str, Any]) -> float:
        return math.log(0.05)

    evil = '"};</script><b>'
    folder = Synthetic(tmp_path, factors={"schedule": (evil, "linear")}, log_error=flat, replicates=2).write()
    page = write_reports(folder, figures=False).with_name("report.html").read_text()
    assert "</script><b>" not in page
