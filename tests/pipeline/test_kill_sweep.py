"""A real sweep that is killed again and again comes to the same report as one that was left alone."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from setpoint.artifacts import Workspace
from setpoint.records.journal import StageFinished, read_events
from setpoint.reports import MEASUREMENT_COLUMNS, MEASUREMENT_LINES

SWEEP = (
    "experiment", "run", "--systems", "di", "--parameters", "lora_rank:2,4", "--training-type", "both",
    "--set", "sft.steps=20", "grpo.steps=6", "--evaluation-cases", "20", "--experiment-id", "sweep", "--quiet",
)  # fmt: skip


def start(workspace: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "setpoint", *SWEEP, "--workspace", str(workspace)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def run_to_the_end(workspace: Path) -> str:
    process = start(workspace)
    report, messages = process.communicate(timeout=600)
    assert process.returncode == 0, messages
    return report


def comparable_report(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(MEASUREMENT_LINES)]


def comparable_results(workspace: Path) -> list[dict[str, str]]:
    with (workspace / "experiments" / "sweep" / "reports" / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [{name: value for name, value in row.items() if name not in MEASUREMENT_COLUMNS} for row in rows]


def finished_stages(workspace: Path) -> dict[Path, float]:
    """Manifest of every finished stage, and when it was written."""
    return {path: path.stat().st_mtime for path in workspace.glob("stages/*/*/manifest.json")}


@pytest.mark.slow
def test_a_killed_sweep_ends_with_the_report_of_an_undisturbed_one(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    expected = run_to_the_end(undisturbed)
    rng = random.Random(0)
    before: dict[Path, float] = {}
    for _ in range(5):
        process = start(killed)
        time.sleep(rng.uniform(6, 25))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        now = finished_stages(killed)
        assert before.items() <= now.items(), "a finished stage was lost or written again"
        before = now
    found = run_to_the_end(killed)
    assert before.items() <= finished_stages(killed).items()
    events = read_events(Workspace(killed).experiment("sweep"))
    finished = Counter(event.stage for event in events if isinstance(event, StageFinished))
    assert max(finished.values()) == 1
    assert comparable_report(found) == comparable_report(expected)
    assert comparable_results(killed) == comparable_results(undisturbed)
