"""Reports against an independent recomputation, their fixed headings, and experiments that went wrong."""

import csv
import io
import json
import math
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure

from setpoint import reports
from setpoint.analysis.data.reading import read_experiment
from setpoint.cli.main import main
from setpoint.errors import InputError
from setpoint.experiments.running.lease import lease
from setpoint.formatting import number_text, percent_text, share_text
from setpoint.records.estimate import EstimateRecord, StageEstimate, TotalEstimate, write_estimate
from setpoint.records.failure import FailureClass
from setpoint.records.journal import Finished, Journal, StageFailed
from setpoint.records.plan import read_plan, write_plan
from setpoint.records.state import ExperimentState, ExperimentStatus, RunState, RunStatus, write_state
from setpoint.reports import MEASUREMENT_COLUMNS, MEASUREMENT_LINES, write_reports
from setpoint.reports.charts import seeds, trajectories
from setpoint.reports.content import Report, build_report, curve_labels, curve_names, stages_of
from setpoint.reports.curve_charts import learning_curves
from setpoint.reports.figures import COLOURS, draw_figures
from setpoint.reports.map_charts import maps
from setpoint.reports.markdown import code_block, escape
from setpoint.reports.results import csv_text
from setpoint.reports.scales import Reference, place_references, ticks
from setpoint.reports.svg import axis_over
from setpoint.reports.usage import duration_text
from setpoint.seeding import generator
from setpoint.truth.planted import as_data
from setpoint.truth.worlds import Arms
from support import TESTS
from support.synthetic_experiment import MEASURED, Synthetic

RECOMPUTE = TESTS / "support" / "recompute.py"
SECTIONS = (
    "Experiment Report: sweep",
    "Results Summary",
    "Top Performing Configurations",
    "Statistical Analysis",
    "Resource Usage",
    "Recommendations",
    "Files Generated",
)
LINES = (
    "Date: ",
    "Experiment Type: hyperparameter_sweep",
    "Systems Tested: double_integrator",
    "Parameter Space: lora_rank: 4, 8, 16; learning_rate: 1e-4, 2e-4",
    "Total Experiments: ",
    "Successful Runs: ",
    "Failed Runs: ",
    "- Most impactful parameter: ",
    "- Optimal LoRA rank: ",
    "- Best learning rate: ",
    "- Total GPU hours: ",
    "- Average training time: ",
    "- Peak memory usage: ",
    "- Models: ",
    "- Plots: ",
    "- Raw results: ",
    "- Detailed logs: ",
)


@pytest.fixture
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if matplotlib were not installed, which also saves the time that figures take."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "setpoint.reports.figures", raising=False)


def effect(levels: Mapping[str, Any]) -> float:
    return math.log(0.05) + (0.0 if levels["learning_rate"] == 1e-4 else -1.0)


def rows_of(report: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(report.with_name("results.csv").read_text())))


def check_form(text: str) -> None:
    """Every heading and line of the contract is there, in order, and no number is missing in prose."""
    headings = re.findall(r"^=== (.*) ===$", text, re.MULTILINE)
    assert tuple(headings) == SECTIONS
    starts = [re.search(f"^{re.escape(line)}", text, re.MULTILINE) for line in LINES]
    positions = [match.start() for match in starts if match is not None]
    assert len(positions) == len(LINES)
    assert positions == sorted(positions)
    assert re.search(r"\b(nan|inf|None)\b", text) is None


def value_after(label: str, text: str) -> str:
    found = re.search(f"^{re.escape(label)}(.*)$", text, re.MULTILINE)
    assert found is not None
    return found[1]


def test_figures_agree_with_an_independent_recomputation(tmp_path: Path) -> None:
    failed = {"lora_rank=16_learning_rate=0.0002_double_integrator_s1": "diverged"}
    folder = Synthetic(tmp_path, log_error=effect, failed=failed).write()
    report = write_reports(folder)
    done = subprocess.run([sys.executable, RECOMPUTE, folder], capture_output=True, text=True, check=True)
    expected = json.loads(done.stdout)
    text = report.read_text()
    check_form(text)
    assert value_after("Total Experiments: ", text) == str(expected["total"]) == "18"
    assert value_after("Successful Runs: ", text) == str(expected["successful"]) == "17"
    assert value_after("Failed Runs: ", text) == str(expected["failed"]) == "1"
    rows = rows_of(report)
    assert {row["run"]: float(row["final_error"]) for row in rows if row["final_error"]} == pytest.approx(
        expected["errors"]
    )
    printed = [float(value) for value in re.findall(r"^\d+\. System: .* -> Error: (\S+)", text, re.MULTILINE)]
    assert printed == pytest.approx(sorted(expected["configurations"].values()), rel=1e-3)
    average = value_after("- Average training time: ", text)
    assert float(average.split()[0]) == pytest.approx(expected["training_time_s"], abs=0.06)
    hours = re.match(r"(\S+) \(CPU: (\S+) core-hours\)", value_after("- Total GPU hours: ", text))
    assert hours is not None
    assert float(hours[1]) == expected["gpu_hours"] == 0.0
    assert float(hours[2]) == pytest.approx(expected["cpu_core_hours"], abs=0.006)
    assert float(value_after("- Peak memory usage: ", text).split()[0]) == expected["peak_memory_gb"]


def test_attempts_that_were_killed_count_as_far_as_they_were_measured(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path, log_error=effect).write()
    (before, *_), plan = read_experiment(folder).runs, json.loads((folder / "plan.json").read_text())
    for stage in (name for name, planned in plan["stages"].items() if planned["kind"] == "sft"):
        attempts = tmp_path / "stages" / "sft" / stage / "attempts"
        for number in ("0002", "0003"):
            shutil.copytree(attempts / "0001", attempts / number)
            (attempts / number / "resources.json").unlink()
        so_far = json.dumps({"schema": 1, "wall_s": 1000.0, "cpu_s": 3600.0})
        (attempts / "0003" / "resources_so_far.json").write_text(so_far)
    data = read_experiment(folder)
    after, stages = data.runs[0], sum(planned["kind"] == "sft" for planned in plan["stages"].values())
    assert before.training_time_s is not None
    assert after.training_time_s == pytest.approx(before.training_time_s + 1000.0)
    assert after.cost.cpu_core_hours == pytest.approx((before.cost.cpu_core_hours or 0.0) + 1.0)
    assert data.unmeasured_attempts == stages
    text = write_reports(folder).read_text()
    for label in ("- Total GPU hours: ", "- Average training time: ", "- Pareto front: "):
        assert f"; {stages} attempts not measured" in value_after(label, text)
    assert re.search(r"; \d+ attempts not measured\)", value_after("- Cheapest of the best: ", text))


def test_everything_is_written_and_parquet_equals_csv(tmp_path: Path) -> None:
    report = write_reports(Synthetic(tmp_path, log_error=effect, systems=("double_integrator", "pendulum")).write())
    names = {path.relative_to(report.parent).as_posix() for path in report.parent.rglob("*") if path.is_file()}
    figures = {
        f"figures/{kind}_{system}.png"
        for kind in ("errors", "learning_curves", "trajectories")
        for system in ("double_integrator", "pendulum")
    }
    assert (
        names == {"report.txt", "report.md", "report.html", "results.csv", "results.parquet", "claims.json"} | figures
    )
    table = pq.read_table(report.with_name("results.parquet")).to_pylist()
    for stored, read in zip(table, rows_of(report), strict=True):
        assert {name: "" if value is None else str(value) for name, value in stored.items()} == read
    claims = json.loads(report.with_name("claims.json").read_text())
    assert claims["schema"] == 1
    assert {"id", "status", "statement", "interval", "method"} <= set(claims["claims"][0])


def test_writing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path, log_error=effect).write()
    report = write_reports(folder)
    files = sorted(path for path in report.parent.rglob("*") if path.is_file())
    first = [path.read_bytes() for path in files]
    write_reports(folder)
    assert [path.read_bytes() for path in files] == first


@pytest.mark.usefixtures("without_matplotlib")
def test_only_what_is_declared_a_measurement_depends_on_the_clock(tmp_path: Path) -> None:
    slower = {**MEASURED, "wall_s": 400.0, "cpu_s": 380.0, "peak_rss_gb": 3.5, "gpu_hours": 0.5, "peak_gpu_gb": 20.0}
    fast, slow = (
        write_reports(Synthetic(tmp_path / name, log_error=effect, measured=measured).write())
        for name, measured in (("fast", MEASURED), ("slow", slower))
    )

    def text_without_measurements(report: Path) -> list[str]:
        return [line for line in report.read_text().splitlines() if not line.startswith(MEASUREMENT_LINES)]

    def rows_without_measurements(report: Path) -> list[dict[str, str]]:
        return [{k: v for k, v in row.items() if k not in MEASUREMENT_COLUMNS} for row in rows_of(report)]

    assert text_without_measurements(fast) == text_without_measurements(slow)
    assert rows_without_measurements(fast) == rows_without_measurements(slow)
    assert fast.with_name("claims.json").read_bytes() == slow.with_name("claims.json").read_bytes()
    assert "20.00 GB on one GPU" in slow.read_text()


@pytest.mark.usefixtures("without_matplotlib")
def test_failures_are_explained(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path, failed={"lora_rank=16": "diverged"}, log_error=effect).write()
    failures = write_reports(folder).with_name("failures.md").read_text()
    assert failures.count("\n## ") == 6
    for words in ("Class: diverged", '"loss": "nan"', "last line <b>&</b>", "setpoint experiment retry sweep", "5e-5"):
        assert words in failures
    assert "&lt;NaN&gt;" in failures


@pytest.mark.usefixtures("without_matplotlib")
def test_a_failed_run_can_be_repeated_alone_under_the_limit_that_ended_it(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path, failed={"lora_rank=16_learning_rate=0.0002": "host_oom"}).write()
    plan = read_plan(folder)
    assert plan is not None
    runs = tuple(run.model_copy(update={"command": f"setpoint train --run-id r{run.index}"}) for run in plan.runs)
    write_plan(folder, plan.model_copy(update={"runs": runs}))
    limited = next(tmp_path.glob("stages/*/*/attempts/*/failure.json"))
    evidence = {"rss_gb": 2.1, "memory_limit_gb": 1.5, "stall_limit_s": 90}
    limited.write_text(json.dumps({**json.loads(limited.read_text()), "evidence": evidence}))
    failures = write_reports(folder).with_name("failures.md").read_text()
    commands = sorted(line for line in failures.splitlines() if line.startswith("setpoint train"))
    (changed,) = [line for line in commands if "limit" in line]
    assert changed.endswith(" --again --memory-limit-gb 1.5 --stall-limit-min 1.5")
    assert len(commands) == failures.count("\n## ")
    assert all(line.endswith(" --again") for line in commands if line != changed)


@pytest.mark.usefixtures("without_matplotlib")
def test_the_page_is_small_and_needs_nothing(tmp_path: Path) -> None:
    factors = {"lora_rank": (4, 8, 16, 32, 64), "learning_rate": (1e-4, 2e-4, 4e-4, 8e-4, 1e-3)}
    synthetic = Synthetic(tmp_path, factors=factors, replicates=20, cases=2, log_error=effect)
    page = write_reports(synthetic.write()).with_name("report.html")
    text = page.read_text()
    assert page.stat().st_size < 500_000
    assert "default-src 'none'" in text
    assert not re.search(r"src=|href=[\"'](?!#|data:|\.\./\.\./\.\./)", text)
    assert re.search(r">\s*(nan|inf|None)\s*<", text) is None


@pytest.mark.usefixtures("without_matplotlib")
def test_recommendations_give_the_command_that_confirms(tmp_path: Path) -> None:
    text = write_reports(Synthetic(tmp_path, log_error=effect, replicates=4).write()).read_text()
    command = re.search(r"whose numbers alone are unbiased: (setpoint experiment confirm .*)$", text, re.MULTILINE)
    assert command is not None
    assert re.fullmatch(r"setpoint experiment confirm sweep --top [1-6] --seeds 5", command[1])


@pytest.mark.usefixtures("without_matplotlib")
def test_failures_of_an_earlier_state_go_away(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path).write()
    (folder / "reports").mkdir()
    (folder / "reports" / "failures.md").write_text("old")
    assert not write_reports(folder).with_name("failures.md").exists()


@pytest.mark.usefixtures("without_matplotlib")
def test_all_runs_failed(tmp_path: Path) -> None:
    text = write_reports(Synthetic(tmp_path, failed={"": "gpu_oom"}).write()).read_text()
    check_form(text)
    assert value_after("Successful Runs: ", text) == "0"
    assert value_after("Failed Runs: ", text) == "18"
    assert "gpu_oom: 18" in text
    assert value_after("- Average training time: ", text).startswith("not measured")
    assert "certified optimum" in text


@pytest.mark.usefixtures("without_matplotlib")
def test_more_seeds_are_advised_only_where_they_would_settle_something(tmp_path: Path) -> None:
    def rank_8_is_better(levels: Mapping[str, Any]) -> float:
        return math.log(0.05) - 0.5 * (levels["lora_rank"] == 8)

    folder = Synthetic(tmp_path, replicates=2, log_error=rank_8_is_better).write()
    text, resolution = advice_and_resolution(folder)
    rank, rate = resolution["lora_rank"], resolution["learning_rate"]
    enough = min(int(seeds) for seeds, smallest in rank["by_seeds"].items() if smallest <= rank["observed"])
    assert rank["by_seeds"]["2"] > rank["observed"]
    # What was seen of the learning rate no number of seeds would show; but the interval allows more than was seen.
    assert min(rate["by_seeds"].values()) > rate["observed"]
    possible = min(int(n) for n, least in rate["by_seeds"].items() if n != "2" and least <= rate["allowed"])
    assert f"Run the same design with --replicates {max(enough, possible)}: as seen, the best LoRA rank and" in text
    assert f"but by up to {rate['allowed_in_words']} as far as the intervals say" in text
    assert "Do not expect" not in text


@pytest.mark.usefixtures("without_matplotlib")
def test_more_seeds_are_called_useless_only_where_the_interval_excludes_what_they_would_show(tmp_path: Path) -> None:
    factors = {"lora_rank": (4, 8)}
    few = Synthetic(tmp_path / "few", factors=factors, replicates=3, cases=2)
    text, resolution = advice_and_resolution(few.write())
    assert min(resolution["lora_rank"]["by_seeds"].values()) > resolution["lora_rank"]["observed"]
    assert "Do not expect" not in text and "Run the same design with --replicates" in text
    many = Synthetic(tmp_path / "many", factors=factors, replicates=20, cases=2)
    text, resolution = advice_and_resolution(many.write())
    assert f"the intervals exclude more than {resolution['lora_rank']['allowed_in_words']}" in text
    assert "Do not expect more seeds to settle LoRA rank" in text and "Run the same design" not in text


def advice_and_resolution(folder: Path) -> tuple[str, dict[str, Any]]:
    """The report's text, and by parameter which differences its design shows."""
    text = write_reports(folder).read_text()
    claims = json.loads((folder / "reports" / "claims.json").read_text())["claims"]
    (details,) = [claim["details"] for claim in claims if claim["id"] == "resolution"]
    return text, details["parameters"]


@pytest.mark.usefixtures("without_matplotlib")
def test_nothing_has_started(tmp_path: Path) -> None:
    report = write_reports(Synthetic(tmp_path, unstarted=("",)).write())
    text = report.read_text()
    check_form(text)
    assert "Not Finished: 18 planned; this report is interim" in text
    for name in ("report.md", "report.html"):
        assert "18 planned; this report is interim" in report.with_name(name).read_text()


@pytest.mark.usefixtures("without_matplotlib")
def test_an_unfinished_report_says_so_before_anything_else(tmp_path: Path) -> None:
    started = Synthetic(tmp_path / "a", unstarted=("lora_rank=4",))
    report = write_reports(started.write())
    words = "INTERIM: 6 of 18 runs have no result yet."
    assert report.read_text().splitlines()[1].startswith(f"!! {words}")
    assert words in report.with_name("report.md").read_text().splitlines()[2]
    page = report.with_name("report.html").read_text()
    assert 0 < page.index(words) < page.index("<dl")
    finished = write_reports(Synthetic(tmp_path / "b").write())
    assert all("INTERIM" not in finished.with_name(f"report.{kind}").read_text() for kind in ("txt", "md", "html"))


@pytest.mark.usefixtures("without_matplotlib")
def test_before_the_end_nothing_statistical_is_recommended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Synthetic(tmp_path, factors={"lora_rank": (4, 8)}, unstarted=("lora_rank=8",)).write()
    command = ["report", "sweep", "--workspace", str(tmp_path), "--no-figures"]

    def recommended() -> list[str]:
        assert main(command) == 0
        return re.findall(r"^\d\. (?!System)(.*)$", capsys.readouterr().out, re.MULTILINE)

    (resume,) = recommended()
    assert "3 of 6 runs without a result yet: setpoint experiment resume sweep" in resume
    with lease(folder):
        (wait,) = recommended()
        assert wait.startswith("Wait: the experiment is running, with 3 of 6 runs without a result yet.")
        assert "and the experiment is running" in (folder / "reports" / "report.txt").read_text().splitlines()[1]


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
        assert "best run: the smallest final error of all runs" in text
        assert best in text
    assert "worst run: the largest final error of all runs" in charts[1].caption
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
    [(60, 5, "SFT: loss (dashed: validation)"), (8, 1, "SFT: loss (cross: validation)"), (8, 0, "SFT: loss")],
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
    assert ("running mean" in figure.get_suptitle()) is (steps == 60)
    assert figure.axes[0].get_title(loc="left") == title


@pytest.mark.usefixtures("without_matplotlib")
def test_stage_folders_are_gone(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path).write()
    (tmp_path / "stages").rename(tmp_path / "elsewhere")
    names = [run["name"] for run in json.loads((folder / "plan.json").read_text())["runs"]]
    write_state(
        folder, ExperimentState("sweep", ExperimentStatus.FINISHED, dict.fromkeys(names, RunState(RunStatus.OK)))
    )
    text = write_reports(folder).read_text()
    check_form(text)
    assert value_after("Failed Runs: ", text) == "0"
    assert "18 waiting (18 finished before, but with files that are missing or damaged now); this" in text
    assert "setpoint experiment resume sweep" in text
    assert value_after("- Total GPU hours: ", text) == "not measured"
    assert value_after("- Peak memory usage: ", text) == "not measured"


@pytest.mark.usefixtures("without_matplotlib")
def test_a_damaged_evaluation_is_a_failed_run(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path).write()
    run = json.loads((folder / "plan.json").read_text())["runs"][0]
    episodes = tmp_path / "stages" / "evaluate" / run["stages"]["evaluate"] / "episodes.parquet"
    episodes.write_bytes(b"x" * episodes.stat().st_size)
    report = write_reports(folder)
    check_form(report.read_text())
    assert "data: 1" in report.read_text()
    assert "Failures by" not in report.read_text(), "a damaged file says nothing about the run's configuration"
    assert "must be a Parquet file" in report.with_name("failures.md").read_text()


@pytest.mark.usefixtures("without_matplotlib")
def test_files_of_other_versions_are_named_and_nothing_breaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Synthetic(tmp_path, log_error=effect, replicates=4).write()
    plan = json.loads((folder / "plan.json").read_text())
    manifest, episodes = (
        tmp_path / "stages" / "evaluate" / plan["runs"][k]["stages"]["evaluate"] / name
        for k, name in ((0, "manifest.json"), (1, "episodes.parquet"))
    )
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "schema": 2}))
    table = pq.read_table(episodes)
    size = episodes.stat().st_size
    position = table.schema.get_field_index("schema_version")
    newer = table.set_column(position, "schema_version", pa.array([9] * len(table), pa.int8()))
    pq.write_table(newer, episodes)
    record = episodes.with_name("manifest.json")
    record.write_text(record.read_text().replace(f'"bytes": {size}', f'"bytes": {episodes.stat().st_size}', 1))
    (folder / "estimate.json").write_text(json.dumps({"schema": 7, "stages": "other"}))
    report = write_reports(folder)
    check_form(report.read_text())
    assert value_after("Failed Runs: ", report.read_text()) == "2"
    failures = report.with_name("failures.md").read_text().replace("\\", "")
    assert "must have schema 1, but has 2" in failures and "must have schema version 1, but has [9]" in failures
    (folder / "plan.json").write_text(json.dumps({**plan, "schema": 2}))
    assert main(["report", "sweep", "--workspace", str(tmp_path)]) == 3
    assert "must have schema 1, but has 2" in capsys.readouterr().err


@pytest.mark.usefixtures("without_matplotlib")
def test_a_single_run(tmp_path: Path) -> None:
    text = write_reports(Synthetic(tmp_path, factors={}, replicates=1, title="single").write()).read_text()
    assert re.search(r"^1\. System: double_integrator, LoRA: 8, LR: 1e-4 -> Error: 0\.0", text, re.MULTILINE)
    assert value_after("- Most impactful parameter: ", text) == "not resolved: no parameter was swept"
    assert value_after("- Optimal LoRA rank: ", text) == "not resolved: one run, with lora_rank 8"
    assert value_after("- Best learning rate: ", text) == "not resolved: one run, with learning_rate 1e-4"
    (row,) = rows_of(tmp_path / "experiments" / "sweep" / "reports" / "report.txt")
    assert (row["lora_rank"], row["sft.learning_rate"], row["sft.steps"]) == ("8", "0.0001", "40")
    for about_several in ("Which configuration is best", "by cell", "Pareto", "Cheapest", "over seeds"):
        assert about_several not in text


@pytest.mark.usefixtures("without_matplotlib")
def test_printed_paths_are_there_and_those_on_disk_are_below_the_workspace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Synthetic(tmp_path / "work", factors={"lora_rank": (4, 8)}, replicates=1).write()
    monkeypatch.chdir(tmp_path)
    assert main(["report", "sweep", "--workspace", "work"]) == 0
    printed, kept = capsys.readouterr().out, (folder / "reports" / "report.txt").read_text()
    for text, root in ((printed, tmp_path), (kept, tmp_path / "work")):
        (best,) = [run for run in json.loads((folder / "plan.json").read_text())["runs"] if is_best(run, folder)]
        assert value_after("- Best adapter: ", text).endswith(f"stages/grpo/{best['stages']['grpo']}")
        for label in ("Models", "Best adapter", "Raw results"):
            assert all((root / place).exists() for place in value_after(f"- {label}: ", text).split(", "))
    assert "Paths are relative to the workspace." in kept and "relative" not in printed
    page = folder / "reports" / "report.html"
    links = re.findall(r'href="(\.\./[^"]*)"', page.read_text())
    assert len(links) == 4
    assert all((page.parent / link).exists() for link in links)


def is_best(run: Mapping[str, Any], folder: Path) -> bool:
    rows = rows_of(folder / "reports" / "report.txt")
    return bool(run["name"] == min(rows, key=lambda row: float(row["final_error"]))["run"])


@pytest.mark.usefixtures("without_matplotlib")
def test_the_date_is_that_of_the_experiment_where_its_stages_are_older(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path, factors={}, replicates=1, failed={"": "diverged"}).write()
    plan = read_plan(folder)
    assert plan is not None
    write_plan(folder, plan.model_copy(update={"created_at": "2036-01-01T00:00:00+00:00"}))
    assert value_after("Date: ", write_reports(folder).read_text()) == "2036-01-01T00:00:00+00:00"
    journal = Journal(folder, "0001-a")
    failed_at = datetime(2036, 1, 1, 0, 2, 0, 250_000, tzinfo=UTC)
    journal.record(StageFailed("a1", FailureClass.DIVERGED, "the loss is nan", retry=False, at=failed_at))
    journal.record(Finished(at=datetime(2036, 1, 3, tzinfo=UTC)))
    assert value_after("Date: ", write_reports(folder).read_text()) == "2036-01-01T00:02:00+00:00"


@pytest.mark.usefixtures("without_matplotlib")
@pytest.mark.parametrize(("failure_class", "helps"), [("diverged", False), ("timeout", True)])
def test_a_retry_is_advised_only_where_it_can_help(tmp_path: Path, failure_class: str, helps: bool) -> None:
    for name, failed in (("some", "lora_rank=8"), ("all", "")):
        synthetic = Synthetic(tmp_path / name, factors={"lora_rank": (4, 8)}, failed={failed: failure_class})
        report = write_reports(synthetic.write())
        advice = report.read_text().partition("=== Recommendations ===")[2].partition("=== Files")[0]
        assert ("Start a new experiment" in advice) is not helps
        assert ("would fail again" in report.with_name("failures.md").read_text()) is not helps


@pytest.mark.usefixtures("without_matplotlib")
def test_cells_that_were_not_tested_are_not_counted_as_open(tmp_path: Path) -> None:
    one = write_reports(Synthetic(tmp_path / "a", factors={"lora_rank": (4, 8)}, replicates=1).write()).read_text()
    assert "by cell: none of 2 can be tested alone (one run shows no spread" in one
    four = write_reports(Synthetic(tmp_path / "b", factors={"lora_rank": (4, 8)}, replicates=4).write()).read_text()
    assert re.search(r"SFT against the base.*; by cell: helps in 2, harms in 0, open in 0, of 2$", four, re.MULTILINE)


@pytest.mark.usefixtures("without_matplotlib")
def test_the_front_of_error_and_cost_has_units(tmp_path: Path) -> None:
    text = write_reports(Synthetic(tmp_path, factors={"lora_rank": (4, 8)}).write()).read_text()
    front = value_after("- Pareto front: ", text)
    assert re.match(r"double_integrator: LoRA rank \d, final error \S+ at \S+ CPU core-hours per run", front)


@pytest.mark.usefixtures("without_matplotlib")
def test_every_swept_parameter_is_shown(tmp_path: Path) -> None:
    factors = {"lora_rank": (4, 8), "batch_size": (2, 4), "training_type": ("both",)}
    text = write_reports(Synthetic(tmp_path, factors=factors, replicates=2).write()).read_text()
    assert re.search(r"System: double_integrator, LoRA: \d, LR: 1e-4, batch_size: \d, training_type: both -> E", text)


def test_names_cannot_break_a_report(tmp_path: Path) -> None:
    evil = '=HYPERLINK("http://x")\n<script>|`"\x1b[31m\u202e\x07'
    folder = Synthetic(tmp_path, factors={"schedule": (evil, "linear")}, failed={"": "crash"}).write()
    for number, record in enumerate(sorted(tmp_path.rglob("failure.json"))):
        change = {"message": evil} if number % 2 else {"failure_class": "=1+1"}
        record.write_text(json.dumps({**json.loads(record.read_text()), **change}))
    report = write_reports(folder)
    text = report.read_text()
    assert "\n<script>" not in text
    for row in rows_of(report):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())
        assert "\n" not in row["schedule"]
    for path in (path for path in report.parent.iterdir() if path.suffix in {".txt", ".md", ".html", ".csv"}):
        assert not {"\x1b", "\u202e", "\x07"} & set(path.read_text()), path.name
    markdown = report.with_name("report.md").read_text() + report.with_name("failures.md").read_text()
    assert "<script>" not in re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)


@pytest.mark.parametrize("reach", [1.05, 1.3, 2.0, 5.0, 30.0, 1e3, 1e7])
@pytest.mark.parametrize("low", [0.0829, 3e-7, 4.1e5])
def test_an_axis_has_ticks_to_read_a_value_by(low: float, reach: float) -> None:
    for logarithmic in (False, True):
        axis = axis_over([low, low * reach], 0.0, 300.0, logarithmic=logarithmic)
        ticks = axis.ticks()
        assert 3 <= len(ticks) <= 14
        assert ticks == sorted(ticks) and axis.low <= ticks[0] and ticks[-1] <= axis.high
        assert len({number_text(tick) for tick in ticks}) == len(ticks)


def test_csv_cells_are_inert() -> None:
    text = csv_text([{"a": "=1+1", "b": "-x", "c": -1.5, "d": "two\nlines", "e": None}])
    assert text.splitlines()[1] == "'=1+1,'-x,-1.5,two lines,"


def test_markdown_is_escaped() -> None:
    assert escape("a|b\n<i>_x_") == "a\\|b &lt;i&gt;\\_x\\_"
    assert code_block("```\nx").startswith("````\n")


@pytest.mark.usefixtures("without_matplotlib")
@pytest.mark.parametrize(
    ("failure_class", "change"),
    [
        ("gpu_oom", "a smaller batch_size or lora_rank=4 instead of 8"),
        ("host_oom", "fewer --workers"),
        ("diverged", "sft.learning_rate=5e-5 instead of 1e-4"),
        ("no_learning_signal", "a higher grpo.temperature"),
        ("timeout", "--time-limit-min"),
        ("storage", "free space"),
        ("lost", "more memory"),
        ("corrupt_artifact", "check the disk"),
    ],
)
def test_every_class_of_failures_has_its_change(tmp_path: Path, failure_class: str, change: str) -> None:
    """Also where the stage that failed had nothing to say."""
    folder = Synthetic(tmp_path, failed={"lora_rank=16": failure_class}, log_error=effect).write()
    for record in tmp_path.rglob("failure.json"):
        record.write_text(json.dumps({**json.loads(record.read_text()), "suggestion": ""}))
    report = write_reports(folder)
    assert change in report.read_text()
    assert change in report.with_name("failures.md").read_text().replace("\\", "")


@pytest.mark.usefixtures("without_matplotlib")
def test_predicted_and_actual_cost_are_compared(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path, log_error=effect).write()
    assert "- Predicted and actual: nothing was predicted" in write_reports(folder).read_text()
    stages = json.loads((folder / "plan.json").read_text())["stages"]
    count = len(stages)
    used = {name: read_measured(folder, stage["kind"], name) for name, stage in stages.items()}
    total = sum(used.values())
    expected = {name: stage_estimate(0.8 * s, (0.5 * s, 2.0 * s)) for name, s in used.items()}
    missed = next(iter(expected))
    expected[missed] = stage_estimate(0.8 * used[missed], (0.5 * used[missed], 0.9 * used[missed]))
    write_estimate(folder, estimate_of(expected, (60.0, 90.0)))
    report = write_reports(folder)
    line = value_after("- Predicted and actual: ", report.read_text())
    assert line == (
        f"{duration_text(0.8 * total)} of one core (90 %: 60.0 s to 90.0 s) predicted; {duration_text(total)} used, "
        f"1.25 times that, by {count} of {count} predicted stages; {count - 1} of {count} within their 90 % intervals"
    )
    assert line in report.with_name("report.md").read_text()
    assert "measured against predicted" in report.with_name("report.html").read_text()


@pytest.mark.usefixtures("without_matplotlib")
def test_the_prediction_of_some_stages_counts_only_those_that_finished(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path, failed={"lora_rank=16": "diverged"}, log_error=effect).write()
    stages = json.loads((folder / "plan.json").read_text())["stages"]
    finished = sum((tmp_path / "stages" / s["kind"] / name / "manifest.json").exists() for name, s in stages.items())
    assert 0 < finished < len(stages)
    record = estimate_of({name: stage_estimate(20.0, (1e-6, 1e6), gpu_hours=0.5) for name in stages}, (1.0, 2.0))
    write_estimate(folder, record)
    line = value_after("- Predicted and actual: ", write_reports(folder).read_text())
    assert f"by {finished} of {len(stages)} predicted stages; {finished} of {finished} within" in line
    assert f"of one core and {0.5 * finished:.2f} GPU hours predicted" in line  # no interval of a part
    (folder / "estimate.json").write_text(json.dumps({**record.to_json(), "schema": 2}))
    assert "- Predicted and actual: nothing was predicted" in write_reports(folder).read_text()


def stage_estimate(cpu_s: float, interval: tuple[float, float], gpu_hours: float = 0.0) -> StageEstimate:
    return StageEstimate(cpu_s, interval, wall_s=cpu_s, memory_gb=1.0, gpu_hours=gpu_hours)


def estimate_of(stages: dict[str, StageEstimate], interval: tuple[float, float]) -> EstimateRecord:
    total = TotalEstimate(75.0, interval, 75.0, workers=1, memory_gb_per_worker=1.0, gpu_hours=0.0, gpu_memory_gb=0.0)
    return EstimateRecord(total, 0.9, {}, (), stages)


def read_measured(folder: Path, kind: str, name: str) -> float:
    manifest = json.loads((folder.parents[1] / "stages" / kind / name / "manifest.json").read_text())
    return float(manifest["measured"]["cpu_s"])


def test_a_folder_without_a_plan(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"plan\.json"):
        write_reports(tmp_path / "experiments" / "none")


@pytest.mark.usefixtures("without_matplotlib")
def test_without_matplotlib_the_rest_is_written(tmp_path: Path) -> None:
    text = write_reports(Synthetic(tmp_path).write()).read_text()
    assert "matplotlib is not installed" in value_after("- Plots: ", text)


@pytest.mark.usefixtures("without_matplotlib")
def test_the_command_prints_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Synthetic(tmp_path, log_error=effect).write()
    assert main(["report", "sweep", "--workspace", str(tmp_path)]) == 0
    check_form(capsys.readouterr().out)
    assert main(["report", "sweep", "--workspace", str(tmp_path), "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("# Experiment Report: sweep")
    assert main(["report", "sweep", "--workspace", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["experiment"] == "sweep"
    assert main(["report", "missing", "--workspace", str(tmp_path)]) == 3
    assert "plan.json" in capsys.readouterr().err


def test_the_recomputation_imports_nothing_of_the_package() -> None:
    assert "setpoint" not in RECOMPUTE.read_text()
    assert "recompute" in runpy.run_path(str(RECOMPUTE))


def test_measured_shares_have_three_digits_and_no_round_off() -> None:
    shares = (0.3433, 0.35, 49.3094, 1176.97174, 1e5, 9.108e-4, -3e-12, -1e-4, 299 / 300, 0.99999, 1.0)
    texts = ["34.3 %", "35 %", "4930 %", "118000 %", "1e7 %", "0.0911 %", "0 %", "-0.01 %", "99.7 %", "99.9 %", "100 %"]
    assert [share_text(share) for share in shares] == texts


@pytest.mark.usefixtures("without_matplotlib")
def test_every_format_shows_all_that_is_known_of_the_references(tmp_path: Path) -> None:
    report = write_reports(Synthetic(tmp_path, factors={"lora_rank": (4, 8)}, replicates=1).write())
    cells = ("zero control", "1.2", "0 %", "11.2", "12.7 %")
    for name in ("report.txt", "report.md", "report.html"):
        lines = re.split(r"\n|<tr>", report.with_name(name).read_text())
        assert any(re.search(".*".join(map(re.escape, cells)), line) for line in lines), name


def test_a_share_that_is_not_all_is_not_rounded_to_all() -> None:
    assert [percent_text(share) for share in (1.0, 299 / 300, 0.99999, 0.994)] == ["100 %", "99.7 %", "99.9 %", "99 %"]


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


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Synthetic(tmp_path, replicates=1).write()
    (folder / "reports").write_text("a file")
    assert main(["report", "sweep", "--workspace", str(tmp_path), "--no-figures"]) == 3
    said = capsys.readouterr().err
    assert "reports" in said and "Mend that place, then give the same command again" in said
