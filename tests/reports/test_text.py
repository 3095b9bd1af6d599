"""The text of a report: the contract's headings, and experiments that are unfinished, failed or damaged."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from setpoint.cli.main import main
from setpoint.errors import InputError
from setpoint.records.failure import FailureClass
from setpoint.records.journal import Finished, Journal, StageFailed
from setpoint.records.plan import read_plan, write_plan
from setpoint.records.state import ExperimentState, ExperimentStatus, RunState, RunStatus, write_state
from setpoint.reports import write_reports
from support.reports import check_form, effect, rows_of, value_after
from support.synthetic_experiment import Synthetic


@pytest.mark.usefixtures("without_figure_files")
def test_all_runs_failed(tmp_path: Path) -> None:
    text = write_reports(Synthetic(tmp_path, failed={"": "gpu_oom"}).write()).read_text()
    check_form(text)
    assert value_after("Successful Runs: ", text) == "0"
    assert value_after("Failed Runs: ", text) == "18"
    assert "gpu_oom: 18" in text
    assert value_after("- Average training time: ", text).startswith("not measured")
    assert "certified optimum" in text


@pytest.mark.usefixtures("without_figure_files")
def test_nothing_has_started(tmp_path: Path) -> None:
    report = write_reports(Synthetic(tmp_path, unstarted=("",)).write())
    text = report.read_text()
    check_form(text)
    assert "Not Finished: 18 planned; this report is interim" in text
    for name in ("report.md", "report.html"):
        assert "18 planned; this report is interim" in report.with_name(name).read_text()


@pytest.mark.usefixtures("without_figure_files")
def test_an_unfinished_report_says_so_before_anything_else(tmp_path: Path) -> None:
    started = Synthetic(tmp_path / "a", unstarted=("lora_rank=4",))
    report = write_reports(started.write())
    words = "INTERIM: 6 of 18 runs not finished."
    assert report.read_text().splitlines()[1].startswith(f"!! {words}")
    assert words in report.with_name("report.md").read_text().splitlines()[2]
    page = report.with_name("report.html").read_text()
    assert 0 < page.index(words) < page.index("<dl")
    finished = write_reports(Synthetic(tmp_path / "b").write())
    assert all("INTERIM" not in finished.with_name(f"report.{kind}").read_text() for kind in ("txt", "md", "html"))


@pytest.mark.usefixtures("without_figure_files")
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
    assert "18 waiting (18 with missing or damaged result files); this" in text
    assert "setpoint experiment resume sweep" in text
    assert value_after("- Total GPU hours: ", text) == "not measured"
    assert value_after("- Peak memory usage: ", text) == "not measured"


@pytest.mark.usefixtures("without_figure_files")
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
    assert "schema must be 1, got 2" in failures and "must have schema version 1, got [9]" in failures
    (folder / "plan.json").write_text(json.dumps({**plan, "schema": 2}))
    assert main(["report", "sweep", "--workspace", str(tmp_path)]) == 3
    assert "schema must be 1, got 2" in capsys.readouterr().err


@pytest.mark.usefixtures("without_figure_files")
def test_a_single_run(tmp_path: Path) -> None:
    text = write_reports(Synthetic(tmp_path, factors={}, replicates=1, title="single").write()).read_text()
    assert re.search(r"^1\. System: double_integrator, LoRA: 8, LR: 1e-4 -> Error: 0\.0", text, re.MULTILINE)
    assert "- One model: no parameter was varied, so nothing is compared." in text
    (row,) = rows_of(tmp_path / "experiments" / "sweep" / "reports" / "report.txt")
    assert (row["lora_rank"], row["sft.learning_rate"], row["sft.steps"]) == ("8", "0.0001", "40")
    for about_several in (
        "Most impactful",
        "Optimal LoRA rank",
        "Best learning rate",
        "which configuration is best",
        " cells",
        "Pareto",
        "Cheapest",
        "over seeds",
    ):
        assert about_several not in text


@pytest.mark.usefixtures("without_figure_files")
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


@pytest.mark.usefixtures("without_figure_files")
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


@pytest.mark.usefixtures("without_figure_files")
def test_cells_that_were_not_tested_are_not_counted_as_open(tmp_path: Path) -> None:
    one = write_reports(Synthetic(tmp_path / "a", factors={"lora_rank": (4, 8)}, replicates=1).write()).read_text()
    assert "; none of 2 cells testable (one run: no variance estimate" in one
    four = write_reports(Synthetic(tmp_path / "b", factors={"lora_rank": (4, 8)}, replicates=4).write()).read_text()
    assert re.search(
        r"SFT against the base.*; of 2 cells: helps in 2, harms in 0, inconclusive in 0$", four, re.MULTILINE
    )


@pytest.mark.usefixtures("without_figure_files")
def test_every_swept_parameter_is_shown(tmp_path: Path) -> None:
    factors = {"lora_rank": (4, 8), "batch_size": (2, 4), "training_type": ("both",)}
    text = write_reports(Synthetic(tmp_path, factors=factors, replicates=2).write()).read_text()
    assert re.search(r"System: double_integrator, LoRA: \d, LR: 1e-4, batch_size: \d, training_type: both -> E", text)


def test_a_folder_without_a_plan(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"plan\.json"):
        write_reports(tmp_path / "experiments" / "none")


@pytest.mark.usefixtures("without_figure_files")
def test_without_figure_files_the_rest_is_written(tmp_path: Path) -> None:
    text = write_reports(Synthetic(tmp_path).write()).read_text()
    assert "vl-convert-python is not installed" in value_after("- Plots: ", text)


@pytest.mark.usefixtures("without_figure_files")
def test_the_command_prints_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Synthetic(tmp_path, log_error=effect).write()
    assert main(["report", "sweep", "--workspace", str(tmp_path)]) == 0
    check_form(capsys.readouterr().out)
    assert main(["report", "sweep", "--workspace", str(tmp_path), "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("# Experiment Report: sweep")
    assert main(["report", "sweep", "--workspace", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["experiment"] == "sweep"
    assert main(["report", "missing", "--workspace", str(tmp_path)]) == 3
    assert "there is no experiment 'missing'" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Synthetic(tmp_path, replicates=1).write()
    (folder / "reports").write_text("a file")
    assert main(["report", "sweep", "--workspace", str(tmp_path), "--no-figures"]) == 3
    said = capsys.readouterr().err
    assert "reports" in said and "Check the path and its permissions, then run the same command again" in said
