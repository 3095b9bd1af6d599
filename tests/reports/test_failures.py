"""The failure report: evidence, commands and suggested changes."""

import json
from pathlib import Path

import pytest

from setpoint.records.plan import read_plan, write_plan
from setpoint.reports import write_reports
from support.reports import check_form, effect
from support.synthetic_experiment import Synthetic


@pytest.mark.usefixtures("without_figure_files")
def test_failures_are_explained(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path, failed={"lora_rank=16": "diverged"}, log_error=effect).write()
    failures = write_reports(folder).with_name("failures.md").read_text()
    assert failures.count("\n## ") == 6
    for words in ("Class: diverged", '"loss": "nan"', "last line <b>&</b>", "setpoint experiment retry sweep", "5e-5"):
        assert words in failures
    assert "&lt;NaN&gt;" in failures


@pytest.mark.usefixtures("without_figure_files")
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


@pytest.mark.usefixtures("without_figure_files")
def test_failures_of_an_earlier_state_go_away(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path).write()
    (folder / "reports").mkdir()
    (folder / "reports" / "failures.md").write_text("old")
    assert not write_reports(folder).with_name("failures.md").exists()


@pytest.mark.usefixtures("without_figure_files")
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


@pytest.mark.usefixtures("without_figure_files")
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
