"""Resource usage: measured and predicted cost."""

import json
import re
import shutil
from pathlib import Path

import pytest

from setpoint.analysis.data.reading import read_experiment
from setpoint.records.estimate import EstimateRecord, StageEstimate, TotalEstimate, write_estimate
from setpoint.reports import write_reports
from setpoint.reports.usage import duration_text
from support.reports import effect, value_after
from support.synthetic_experiment import Synthetic


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
    assert re.search(r"; \d+ attempts not measured\)", value_after("- Cheapest near-best configuration: ", text))


@pytest.mark.usefixtures("without_figure_files")
def test_the_front_of_error_and_cost_has_units(tmp_path: Path) -> None:
    text = write_reports(Synthetic(tmp_path, factors={"lora_rank": (4, 8)}).write()).read_text()
    front = value_after("- Pareto front: ", text)
    assert re.match(r"double_integrator: LoRA rank \d, final error \S+ at \S+ CPU core-hours per run", front)


@pytest.mark.usefixtures("without_figure_files")
def test_predicted_and_actual_cost_are_compared(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path, log_error=effect).write()
    assert (
        "- Predicted and actual cost: no cost estimate (no comparable earlier runs)"
        in write_reports(folder).read_text()
    )
    stages = json.loads((folder / "plan.json").read_text())["stages"]
    count = len(stages)
    used = {name: read_measured(folder, stage["kind"], name) for name, stage in stages.items()}
    total = sum(used.values())
    expected = {name: stage_estimate(0.8 * s, (0.5 * s, 2.0 * s)) for name, s in used.items()}
    missed = next(iter(expected))
    expected[missed] = stage_estimate(0.8 * used[missed], (0.5 * used[missed], 0.9 * used[missed]))
    write_estimate(folder, estimate_of(expected, (60.0, 90.0)))
    report = write_reports(folder)
    line = value_after("- Predicted and actual cost: ", report.read_text())
    assert line == (
        f"predicted {duration_text(0.8 * total)} of CPU time (90 % interval 60.0 s to 90.0 s); actual "
        f"{duration_text(total)} (1.25 × predicted, {count} of {count} predicted stages); {count - 1} of {count} "
        "within their 90 % intervals"
    )
    assert line in report.with_name("report.md").read_text()
    assert "Measured against predicted CPU time" in report.with_name("report.html").read_text()


@pytest.mark.usefixtures("without_figure_files")
def test_the_prediction_of_some_stages_counts_only_those_that_finished(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path, failed={"lora_rank=16": "diverged"}, log_error=effect).write()
    stages = json.loads((folder / "plan.json").read_text())["stages"]
    finished = sum((tmp_path / "stages" / s["kind"] / name / "manifest.json").exists() for name, s in stages.items())
    assert 0 < finished < len(stages)
    record = estimate_of({name: stage_estimate(20.0, (1e-6, 1e6), gpu_hours=0.5) for name in stages}, (1.0, 2.0))
    write_estimate(folder, record)
    line = value_after("- Predicted and actual cost: ", write_reports(folder).read_text())
    assert f" {finished} of {len(stages)} predicted stages); {finished} of {finished} within" in line
    assert f"of CPU time and {0.5 * finished:.2f} GPU hours; actual" in line  # no interval of a part
    (folder / "estimate.json").write_text(json.dumps({**record.to_json(), "schema": 2}))
    assert (
        "- Predicted and actual cost: no cost estimate (no comparable earlier runs)"
        in write_reports(folder).read_text()
    )


def stage_estimate(cpu_s: float, interval: tuple[float, float], gpu_hours: float = 0.0) -> StageEstimate:
    return StageEstimate(cpu_s, interval, wall_s=cpu_s, memory_gb=1.0, gpu_hours=gpu_hours)


def estimate_of(stages: dict[str, StageEstimate], interval: tuple[float, float]) -> EstimateRecord:
    total = TotalEstimate(75.0, interval, 75.0, workers=1, memory_gb_per_worker=1.0, gpu_hours=0.0, gpu_memory_gb=0.0)
    return EstimateRecord(total, 0.9, {}, (), stages)


def read_measured(folder: Path, kind: str, name: str) -> float:
    manifest = json.loads((folder.parents[1] / "stages" / kind / name / "manifest.json").read_text())
    return float(manifest["measured"]["cpu_s"])
