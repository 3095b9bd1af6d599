"""Full disks, read-only folders, files that vanish, odd names: refused clearly or recovered from, with nothing lost."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from setpoint.artifacts import Workspace
from setpoint.demonstrations import Recipe, create
from setpoint.records.plan import Plan, read_plan
from support import TESTS
from support.sweeps import executions

RUN = ["experiment", "run", "--systems", "di", "--dataset-name", "small", "--lora-ranks", "4,8", "--experiment-id", "e"]


def setpoint(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")])),
        "SETPOINT_WORKSPACE": str(root),
        "NO_COLOR": "1",
    }
    line = [sys.executable, "-P", "-m", "support.cheap_setpoint", *words]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=180)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of stderr of a command that must have ended without a traceback."""
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr.splitlines()[-1]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    create(Workspace(root), "small", Recipe(systems=("double_integrator",), total_samples=8), workers=1)
    return root / "datasets"


@pytest.fixture
def root(data: Path, tmp_path: Path) -> Path:
    (tmp_path / "datasets").symlink_to(data)
    return tmp_path


@pytest.fixture
def disk(data: Path, tmp_path: Path) -> Iterator[Path]:
    """A workspace on a file system of its own, of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting needs root")
    shutil.copytree(data, folder / "datasets")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """A file that leaves so many bytes of the disk."""
    filler = disk / "filler"
    filler.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - leave)))
    return filler


def plan_of(root: Path) -> Plan:
    plan = read_plan(Workspace(root).experiment("e"))
    assert plan is not None
    return plan


@pytest.mark.parametrize("leave", [0, 60_000, 150_000])
def test_a_full_disk_stops_the_experiment_which_goes_on_when_there_is_room(disk: Path, leave: int) -> None:
    """Full before it starts, or filled by its own stages."""
    filler = fill(disk, leave)
    done = setpoint(disk, *RUN)
    assert done.returncode != 0
    assert "space" in done.stderr.lower(), done.stderr
    said(done)
    before = executions(disk)
    finished = {path.parent.name for path in disk.glob("stages/*/*/manifest.json")}
    filler.unlink()
    again = setpoint(disk, *RUN)
    assert again.returncode == 0, again.stderr
    assert not finished & set(executions(disk)[len(before) :])
    assert all(Workspace(disk).stage(s.kind, name).verified() for name, s in plan_of(disk).stages.items())


def test_a_read_only_workspace_can_be_read_and_is_not_run_in(disk: Path) -> None:
    assert setpoint(disk, *RUN).returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert "2 ok" in setpoint(disk, "experiment", "status", "e").stdout
    assert setpoint(disk, "experiment", "recover", "e", "--dry-run").returncode == 0
    refused = setpoint(disk, *RUN[:-1], "other")
    assert refused.returncode == 3
    assert "Read-only file system" in said(refused)
    assert setpoint(disk, "experiment", "resume", "e").returncode == 3
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert setpoint(disk, *RUN).returncode == 0


def test_deleted_stage_files_are_computed_again_and_nothing_else(root: Path) -> None:
    assert setpoint(root, *RUN).returncode == 0
    plan, workspace = plan_of(root), Workspace(root)
    names = [name for name, stage in plan.stages.items() if stage.kind == "sft"]
    grpo = next(name for name, stage in plan.stages.items() if stage.kind == "grpo")
    (workspace.stage("sft", names[0]).path / "manifest.json").unlink()
    (workspace.stage("sft", names[1]).path / "value.txt").unlink()
    shutil.rmtree(workspace.stage("grpo", grpo).path)
    before = executions(root)
    text = setpoint(root, "experiment", "recover", "e", "--dry-run").stdout
    assert all(name in text for name in (*names, grpo))
    assert setpoint(root, *RUN).returncode == 0
    assert sorted(executions(root)[len(before) :]) == sorted([*names, grpo])
    shutil.rmtree(root / "stages")
    assert setpoint(root, *RUN).returncode == 0
    assert sorted(executions(root)[len(before) + 3 :]) == sorted(plan.stages)


def test_a_plan_edited_by_hand_is_refused_and_fresh_reuses_its_stages(root: Path) -> None:
    assert setpoint(root, *RUN).returncode == 0
    path = root / "experiments" / "e" / "plan.json"
    original, before = path.read_text(), executions(root)
    plan = json.loads(original)
    plan["runs"][0]["factors"]["lora_rank"] = 16
    path.write_text(json.dumps(plan))
    for words in (RUN, ["experiment", "resume", "e"], ["experiment", "status", "e", "--check"]):
        done = setpoint(root, *words)
        assert done.returncode == 3
        assert "changed after it was frozen" in said(done)
    assert setpoint(root, *RUN, "--fresh").returncode == 0
    path.write_text(original)
    assert setpoint(root, *RUN).returncode == 0
    assert executions(root) == before


def test_of_two_coordinators_the_second_is_refused(root: Path) -> None:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")])),
        "SETPOINT_WORKSPACE": str(root),
    }
    first = subprocess.Popen(
        [sys.executable, "-P", "-m", "support.cheap_setpoint", *RUN, "--replicates", "4", "--workers", "1"],
        env=environment,
    )
    while not executions(root):
        assert first.poll() is None
        time.sleep(0.01)
    second = setpoint(root, *RUN, "--replicates", "4")
    assert first.wait(60) == 0
    assert second.returncode == 3
    assert f"process {first.pid} on" in said(second)
    assert sorted(executions(root)) == sorted(plan_of(root).stages)


def test_a_workspace_with_an_odd_name_works(data: Path, tmp_path: Path) -> None:
    root = tmp_path / 'it\'s a "work" $HOME space\nof ; two lines'
    root.mkdir()
    (root / "datasets").symlink_to(data)
    assert setpoint(root, *RUN).returncode == 0
    assert sorted(executions(root)) == sorted(plan_of(root).stages)
    commands = setpoint(root, *[word if word != "run" else "plan" for word in RUN], "--commands").stdout
    assert shlex.split(commands).count(str(root)) == 2


@pytest.mark.parametrize(
    "name", ["../e", "a/b", "a b", "it's", 'a"b', "a\nb", ".hidden", "-x y", "e\0"[:1] + "\t", "ä"]
)
def test_an_id_that_is_no_folder_name_is_refused_with_one_that_is(root: Path, name: str) -> None:
    before = sorted(root.iterdir())
    for words in ([*RUN[:-2], f"--experiment-id={name}"], ["experiment", "status", "--", name]):
        done = setpoint(root, *words)
        assert done.returncode == 3
        assert "Try '" in said(done)
    assert sorted(root.iterdir()) == before


def test_files_in_the_current_folder_do_not_stand_in_for_modules(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    for module in ("random", "numpy", "setpoint"):
        (root / f"{module}.py").write_text("raise SystemExit('the wrong module')\n")
    assert setpoint(root, *RUN).returncode == 0


def test_a_command_that_is_ended_while_it_reports_says_how_to_go_on(root: Path) -> None:
    (root / "end-report").touch()
    done = setpoint(root, *RUN)
    assert done.returncode == 130
    assert said(done).endswith(f"write it with: setpoint report e --workspace {shlex.quote(str(root))}")
