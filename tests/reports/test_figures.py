"""Figures: curves, references, axes, maps and trajectories, the same in page and images."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from setpoint import reports
from setpoint.analysis.data.reading import read_experiment
from setpoint.formatting import number_text
from setpoint.reports.charts import seeds, trajectories
from setpoint.reports.content import Report, build_report, curve_labels, curve_names, stages_of
from setpoint.reports.curve_charts import learning_curves
from setpoint.reports.figures import COLOURS, draw_figures
from setpoint.reports.map_charts import maps
from setpoint.reports.scales import Reference, place_references, ticks
from setpoint.reports.svg import axis_over
from setpoint.seeding import generator
from setpoint.truth.planted import as_data
from setpoint.truth.worlds import Arms
from support.synthetic_experiment import Synthetic


def test_learning_curves_name_every_parameter_that_their_stage_read(tmp_path: Path) -> None:
    factors = {"lora_rank": (4, 8, 16, 32), "learning_rate": (1e-4, 2e-4), "beta": (0.0, 0.1)}
    synthetic = Synthetic(tmp_path, factors=factors, replicates=1, sft_factors=("lora_rank", "learning_rate"))
    report = build_report(read_experiment(synthetic.write()))
    sft, grpo = learning_curves(report, "double_integrator")
    for chart, names in ((sft, 8), (grpo, 16)):
        assert len(set(re.findall(r">(LoRA rank [^<]*)<", chart.body))) == names
        looks = re.findall(r'<line [^>]*class="line (c\d d\d)"', chart.body)
        assert len(looks) == len(set(looks)) == names
    assert ">LoRA rank 32, learning rate 2e-4<" in sft.body
    assert ">LoRA rank 32, learning rate 2e-4, beta 0.1<" in grpo.body


def drawn_figures(report: Report, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figures of a report by the beginning of their names, not saved."""
    drawn: dict[str, Figure] = {}
    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda self, path, **_: drawn.update({path.name.split("_")[0]: self}))
        draw_figures(report, folder)
    return drawn


def test_the_best_run_is_the_same_in_page_and_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = build_report(read_experiment(Synthetic(tmp_path, factors={"lora_rank": (4, 8)}).write()))
    (ranked,) = report.ranked
    errors = {run.name: (run.outcomes[ranked.system].final or {})["final_error"] or 0.0 for run in report.data.runs}
    best = min(errors, key=lambda name: errors[name])
    assert best not in {run.name for run in ranked.with_result[0].runs}, "else the test cannot tell the two apart"
    title = drawn_figures(report, tmp_path, monkeypatch)["trajectories"].get_suptitle()
    charts = trajectories(report, ranked)
    for text in (title, charts[0].caption):
        assert "best run by final error" in text
        assert best in text
    assert "worst run by final error" in charts[1].caption
    assert max(errors, key=lambda name: errors[name]) in charts[1].caption


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


@pytest.mark.parametrize(("low", "high"), [(0.078, 0.21), (0.09, 0.11), (0.001, 7.0), (0.4, 31.0), (1e-9, 1e9)])
def test_a_logarithmic_axis_has_three_ticks_or_more(low: float, high: float) -> None:
    found = ticks(low, high, logarithmic=True)
    assert 3 <= len(found) <= 9
    assert all(low <= tick <= high for tick in found) and found == sorted(found)


def test_images_and_pages_show_references_scale_and_colours_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthetic = Synthetic(tmp_path, factors={"lora_rank": (4, 8)}, log_error=lambda levels: math.log(0.5))
    report = build_report(read_experiment(synthetic.write()))
    (ranked,) = report.ranked
    drawn = drawn_figures(report, tmp_path, monkeypatch)
    (axes,) = drawn["errors"].axes
    values = [value for result in ranked.configurations for value in result.values]
    low, high = axes.get_xlim()
    assert math.log(max(values) / min(values)) > 0.2 * math.log(high / low)
    beyond = [text.get_text() for text in axes.texts if text.get_text()]
    assert beyond == ["\u2190 certified optimum: 0.002, clipped LQR: 0.01"]
    chart = seeds(report, ranked)
    assert chart is not None
    assert "final error (log scale)" in chart.body and axes.get_xlabel().endswith("(log scale)")
    assert "\u2190 certified optimum 0.002, clipped LQR 0.01" in chart.body
    assert "base, zero-shot 0.9" in chart.body and "zero control 1.2" in chart.body
    assert "interval" in chart.caption and all(result.interval for result in ranked.configurations)
    style = (Path(reports.__file__).parent / "assets" / "report.css").read_text()
    names = curve_names(report.data, "double_integrator")
    assert len(names) == 2
    for place, name in enumerate(names):
        assert f"svg .c{place} {{ stroke: {COLOURS[place].lower()}; }}" in style
        for page in learning_curves(report, "double_integrator"):
            assert re.search(rf'class="line c{place} d0"/><text [^>]*>{name}<', page.body)


@pytest.mark.parametrize(
    ("steps", "validations", "title"),
    [(60, 5, "SFT loss (dashed: validation)"), (8, 1, "SFT loss (cross: validation)"), (8, 0, "SFT loss")],
)
def test_titles_of_learning_curves_announce_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, validations: int, title: str
) -> None:
    folder = Synthetic(tmp_path, factors={}, replicates=1).write()
    for curve in tmp_path.rglob("metrics.jsonl"):
        records = [json.loads(line) for line in curve.read_text().splitlines()]
        kept = [record for record in records if record["step"] <= steps]
        kept += [{**records[-1], "step": step} for step in range(42, steps + 1, 2)]
        if not validations:
            kept = [{k: v for k, v in record.items() if k != "validation_loss"} for record in kept]
        curve.write_text("".join(json.dumps(record) + "\n" for record in kept))
    report = build_report(read_experiment(folder))
    figure = drawn_figures(report, tmp_path, monkeypatch)["learning"]
    assert ("moving average" in figure.get_suptitle()) is (steps == 60)
    assert figure.axes[0].get_title(loc="left") == title


@pytest.mark.parametrize("reach", [1.05, 1.3, 2.0, 5.0, 30.0, 1e3, 1e7])
@pytest.mark.parametrize("low", [0.0829, 3e-7, 4.1e5])
def test_an_axis_has_ticks_to_read_a_value_by(low: float, reach: float) -> None:
    for logarithmic in (False, True):
        axis = axis_over([low, low * reach], 0.0, 300.0, logarithmic=logarithmic)
        ticks = axis.ticks()
        assert 3 <= len(ticks) <= 14
        assert ticks == sorted(ticks) and axis.low <= ticks[0] and ticks[-1] <= axis.high
        assert len({number_text(tick) for tick in ticks}) == len(ticks)


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


def test_every_system_has_a_map_of_its_own(tmp_path: Path) -> None:
    systems = ("double_integrator", "van_der_pol")
    report = build_report(read_experiment(Synthetic(tmp_path, systems=systems, replicates=3).write()))
    for system in systems:
        (chart,) = [chart for chart in maps(report) if f" on {system} by " in chart.caption]
        cells = {(run.level("lora_rank"), run.level("learning_rate")) for run in report.data.runs}
        assert chart.body.count("n=3") == len(cells)
