"""The view of a running experiment: what it shows, and that another process only reads."""

import io
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from setpoint.artifacts import StageKind, Workspace
from setpoint.cli.live import View, follow, live
from setpoint.records.journal import Event, StageStarted
from support import TESTS
from support.sweeps import executions, make_plan, run_plan, save_plan


def drawn(view: View) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(view)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_view_shows_stages_runs_and_the_training_curve(tmp_path: Path) -> None:
    plan, workspace = make_plan(), Workspace(tmp_path)
    view = View(plan, workspace)
    shown: list[str] = []

    def listen(event: Event) -> None:
        view.listen(event)
        shown.append(drawn(view))

    (tmp_path / "fail-grpo").write_text('"rank": 4')
    run_plan(tmp_path, plan, listeners=(listen,))
    total = len(plan.stages)
    assert f"stages: 0 of {total}; 0 of 2 runs done" in shown[0]
    assert any("SFT, double_integrator, LoRA rank 4, seed 0" in text and " 0 s" in text for text in shown)
    assert any(re.search(rf"stages: \d+ of {total}, (less than 1|about \d+) min left", text) for text in shown)
    assert "1 failed, 1 ok" in shown[-1]
    assert "GRPO, double_integrator, LoRA rank 4, seed 0 failed (diverged): the loss is nan" in shown[-1]
    sft = next(name for name, stage in plan.stages.items() if stage.kind == "sft")
    view.listen(StageStarted(sft, StageKind.SFT, at=datetime(2026, 1, 1, tzinfo=UTC)))
    assert "SFT, double_integrator, LoRA rank" in drawn(view)
    assert f"step 1 of {plan.stages[sft].config['sft']['steps']}" in drawn(view)
    assert "loss 0.5" in drawn(view)
    curve = workspace.stage("sft", sft).attempts()[-1].metrics
    curve.write_text(curve.read_text() + '{"step": 2, "lo')  # a line that is just being written
    assert "step 1 of" in drawn(view)


def test_the_view_is_redrawn_on_a_terminal(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    plan = make_plan()
    with live(plan, Workspace(tmp_path), console) as listener:
        run_plan(tmp_path, plan, listeners=(listener,))
    total = len(plan.stages)
    assert f"stages: {total} of {total}; 2 of 2 runs done (2 ok)" in console.file.getvalue()  # type: ignore[attr-defined]


def test_another_process_follows_to_the_end_and_writes_nothing(tmp_path: Path) -> None:
    plan = make_plan(systems="di", parameters={"lora_rank": [4, 8]}, replicates=2)
    save_plan(tmp_path, plan)
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    coordinator = subprocess.Popen([sys.executable, "-P", "-m", "support.sweeps", str(tmp_path)], env=environment)
    while not executions(tmp_path):
        assert coordinator.poll() is None
        time.sleep(0.01)
    heard: list[Event] = []
    follow(plan, Workspace(tmp_path), heard.append)
    assert coordinator.wait(20) == 0
    names = [event.event for event in heard]
    assert (names[0], names[-1]) == ("started", "finished")
    assert names.count("run_finished") == len(plan.runs)
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    follow(plan, Workspace(tmp_path), heard.append)
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before
