"""Without a terminal, the progress of running stages is printed when nothing else happens."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from setpoint.artifacts import StageKind, Workspace
from setpoint.cli import progress as shown
from setpoint.records.journal import StageStarted
from support.sweeps import make_plan


def test_a_running_stage_is_never_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shown, "QUIET_S", 0.05)
    plan, workspace = make_plan(), Workspace(tmp_path)
    name = next(name for name, stage in plan.stages.items() if stage.kind == "evaluate")
    attempt = workspace.stage("evaluate", name).path / "attempts" / "0001"
    attempt.mkdir(parents=True)
    text = "double_integrator, plans of step 5 of 50: 32 of 300 cases"
    (attempt / "metrics.jsonl").write_text(f'{{"stage": "evaluate", "progress": "{text}"}}\n')
    (attempt / "claim.json").write_text("{}")
    with shown.progress(plan, workspace, quiet=False) as listener:
        listener(StageStarted(name, StageKind.EVALUATE, at=datetime.now(UTC)))
        printed, ends = "", time.monotonic() + 20
        while text not in printed and time.monotonic() < ends:
            time.sleep(0.02)
            printed += capsys.readouterr().err
    assert text in printed


def test_quiet_is_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = make_plan()
    name = next(iter(plan.stages))
    with shown.progress(plan, Workspace(tmp_path), quiet=True) as listener:
        listener(StageStarted(name, StageKind.REFERENCE, at=datetime.now(UTC)))
    assert capsys.readouterr().err == ""
