"""What a comprehensive evaluation saw is shown beside the ranking, and changes nothing of it."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest

from setpoint.analysis.data.conditions import read_conditions
from setpoint.analysis.data.reading import read_experiment
from setpoint.artifacts import StageKind
from setpoint.episodes import condition_folder, write_episodes
from setpoint.records.plan import read_plan, write_plan
from setpoint.reports import write_reports
from setpoint.reports.conditions import NOTE
from support.synthetic_experiment import Synthetic

SYSTEM = "double_integrator"
ERRORS = {"noise": 0.04, "mismatch": 0.2}


def standard(root: Path) -> Path:
    effects = {4: 0.1, 8: 0.05}
    sweep = Synthetic(
        root, factors={"lora_rank": (4, 8)}, log_error=lambda levels: math.log(effects[levels["lora_rank"]])
    )
    return sweep.write()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The same with episodes under two conditions, each in two modes."""
    experiment = standard(tmp_path / "comprehensive")
    sweep = Synthetic(tmp_path)
    plan = read_plan(experiment)
    assert plan is not None
    for name, stage in plan.stages.items():
        if not stage.kind.trains:
            stage.config["conditions"] = [{"name": condition} for condition in (*ERRORS, "held_out")]
            controllers = ("llm",) if stage.kind is StageKind.EVALUATE else ("optimum", "lqr", "zero")
            for condition, error in ERRORS.items():
                rows = [row for each in controllers for row in sweep._episodes(SYSTEM, each, math.log(error), 5)]
                rows += [replace(row, mode="replan_1", replan_interval=1) for row in rows]
                place = condition_folder(experiment.parents[1] / "stages" / stage.kind / name, condition)
                place.mkdir(parents=True)
                write_episodes(place / "episodes.parquet", rows)
    write_plan(experiment, plan)
    return experiment


def test_every_condition_and_mode_is_read_for_runs_and_references(folder: Path) -> None:
    found = read_conditions(read_experiment(folder))
    assert {(each.condition, each.mode) for each in found} == {
        ("nominal", "open_loop"),
        *((condition, mode) for condition in ERRORS for mode in ("open_loop", "replan_1")),
    }
    assert {each.controller for each in found if each.run is None} == {"optimum", "lqr", "zero", "base"}
    assert len({each.run.name for each in found if each.run is not None}) == 6
    noisy = next(each for each in found if each.condition == "noise" and each.run is not None)
    assert noisy.metrics["final_error"] == pytest.approx(ERRORS["noise"])


def test_the_report_shows_them_and_ranks_by_the_nominal_cases(folder: Path, tmp_path: Path) -> None:
    report = write_reports(folder).read_text()
    table = report.partition(f"{SYSTEM} by condition and mode:\n")[2].splitlines()
    assert table[0].split() == [
        "condition",
        "mode",
        "cases",
        "trained",
        "base",
        "optimum",
        "clipped",
        "LQR",
        "zero",
        "control",
    ]
    assert [line.split()[0] for line in table[1:6]] == ["nominal", "noise", "noise", "mismatch", "mismatch"]
    assert table[6] == NOTE
    markdown = (folder / "reports" / "report.md").read_text()
    assert "### double\\_integrator by condition and mode" in markdown
    assert f"{SYSTEM} by condition and mode." in (folder / "reports" / "report.html").read_text()
    rows = list(csv.DictReader((folder / "reports" / "conditions.csv").open()))
    assert len(rows) == 5 * (6 + 4)
    assert {row["condition"] for row in rows} == {"nominal", *ERRORS}
    plain = standard(tmp_path / "standard")
    write_reports(plain)
    for name in ("results.csv", "claims.json"):
        assert (plain / "reports" / name).read_text() == (folder / "reports" / name).read_text()
    assert not (plain / "reports" / "conditions.csv").exists()
