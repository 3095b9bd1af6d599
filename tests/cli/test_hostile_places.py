"""Full disks, read-only folders, files that vanish, odd names: refused clearly or recovered from, with nothing lost."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from setpoint.artifacts import Workspace
from setpoint.cli.main import main
from setpoint.demonstrations import Recipe, create
from setpoint.records.plan import Plan, read_plan
from support import TESTS
from support.sweeps import executions
from support.synthetic_experiment import Synthetic

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


def test_a_report_on_a_read_only_disk_gives_the_true_reason(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Synthetic(disk, experiment="base", factors={"lora_rank": (4, 8)}, replicates=1, cases=2).write()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for words in (["report", "base", "--no-figures"], ["report", "base", "--no-figures", "--json"]):
        assert main([*words, "--workspace", str(disk)]) == 3
        assert "Read-only file system" in capsys.readouterr().err
    assert not list(disk.glob("experiments/base/reports/report.txt"))


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


def everything(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


HOSTILE = (
    "stages/sft/STAGE/checkpoints/0000",
    "stages/sft/STAGE/checkpoints",
    "stages/sft/STAGE/attempts/0002",
    "stages/sft/STAGE/attempts",
    "stages/sft/STAGE/value.txt",
    "stages/sft/STAGE",
    "stages/sft",
    "models/single_system/double_integrator/sft",
    "models/single_system",
    "models",
    "experiments/e/journal",
    "experiments/e/leases",
    "experiments/e/reports",
    "experiments/e/state.json",
    "experiments/e",
)
"""Places of a workspace that lead out of it."""


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    shutil.copytree(data, root / "datasets")
    assert setpoint(root, *RUN).returncode == 0
    return root


@pytest.mark.parametrize(
    "place", [place if place in HOSTILE[:2] else pytest.param(place, marks=pytest.mark.slow) for place in HOSTILE]
)
def test_a_workspace_with_links_is_read_and_resumed_without_effect_outside(
    finished: Path, tmp_path: Path, place: str
) -> None:
    root = shutil.copytree(finished, tmp_path / "work", symlinks=True)
    stage = next(name for name, each in plan_of(root).stages.items() if each.kind == "sft")
    (root / "stages" / "sft" / stage / "manifest.json").unlink()
    link = root / place.replace("STAGE", stage)
    outside = tmp_path / "outside"
    if link.is_dir() and not link.is_symlink():
        link.rename(outside)
    else:
        outside.mkdir()
        link.unlink(missing_ok=True)
    for name in ("checkpoint-5/state", "precious.txt", ".g.0123"):
        (outside / name).parent.mkdir(exist_ok=True)
        (outside / name).write_text("precious")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    if os.geteuid() == 0:  # somebody else's files
        subprocess.run(["chown", "-R", "-h", "65534:65534", str(root)], check=True)
    before = everything(outside)
    for words in ("experiment list", "experiment status e --check", "models list", "data list", "report e"):
        assert main([*words.split(), "--workspace", str(root)]) in {0, 3}
    done = setpoint(root, "experiment", "resume", "e")
    assert done.returncode in {0, 3}
    if done.returncode == 3:
        assert "is a link" in said(done)
    assert everything(outside) == before


def test_texts_of_a_hostile_workspace_do_not_reach_the_terminal(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = shutil.copytree(finished, tmp_path / "work", symlinks=True)
    evil = "\x1b]0;owned\x07\x1b[2J\nsetpoint: all is well\u202e" + "x" * 5000
    stage = next(name for name, each in plan_of(root).stages.items() if each.kind == "sft")
    folder = root / "stages" / "sft" / stage
    (folder / "manifest.json").unlink()
    failure = {"schema": 1, "failure_class": "crash", "message": evil, "suggestion": evil, "evidence": {"a": evil}}
    (next(folder.glob("attempts/*")) / "failure.json").write_text(json.dumps(failure))
    (root / "experiments" / "e" / "state.json").unlink()
    for words in ("experiment status e --check", "experiment recover e --dry-run", "experiment list", "slurm status e"):
        assert main([*words.split(), "--workspace", str(root)]) in {0, 3}
        text = "".join(capsys.readouterr())
        assert not set("\x1b\x07\u202e") & set(text) and "\nsetpoint: all is well" not in text
        assert max(map(len, text.splitlines())) < 1500


def test_leftovers_of_a_killed_command_are_removed_by_the_next(finished: Path, tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from setpoint.artifacts.leftovers import temporary_path\n"
        "for path in map(pathlib.Path, sys.argv[1:]): temporary_path(path).mkdir(parents=True)\n"
    )
    work = shutil.copytree(finished, tmp_path / "own", symlinks=True)
    places = [work / "experiments/e/reports/report.md", work / "models/x/latest", work / "datasets/small"]
    subprocess.run([sys.executable, "-c", script, *map(str, places)], check=True)
    assert len(list(work.rglob(".*-*"))) == 3
    assert setpoint(work, "experiment", "resume", "e").returncode == 0
    command = ["data", "generate", "--systems", "di", "--dataset-name", "small", "--total-samples", "8"]
    assert main([*command, "--workspace", str(work)]) == 0
    assert list(work.rglob(".*-*")) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_every_signal_that_ends_a_command_ends_it_as_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-P", "-m", "setpoint", "data", "generate", "--systems", "di", "--workers", "2"]
    generating = subprocess.Popen(
        [*command, "--total-samples", "4000", "--workspace", str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not psutil.Process(generating.pid).children():
        assert generating.poll() is None
        time.sleep(0.05)
    os.killpg(generating.pid, number)  # as a terminal does
    _, messages = generating.communicate(timeout=60)
    assert (generating.returncode, messages) == (130, "setpoint: interrupted\n")


@pytest.mark.parametrize("pause_s", [0.0, 0.01, 0.3])
def test_a_second_signal_does_not_cut_the_end_short(tmp_path: Path, pause_s: float) -> None:
    """`timeout` and schedulers send SIGTERM more than once; without an orderly end, semaphores would leak."""
    command = [sys.executable, "-P", "-m", "setpoint", "data", "generate", "--systems", "di", "--workers", "2"]
    generating = subprocess.Popen(
        [*command, "--total-samples", "4000", "--workspace", str(tmp_path)], stderr=subprocess.PIPE, text=True
    )
    while not psutil.Process(generating.pid).children():
        assert generating.poll() is None
        time.sleep(0.05)
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):
        generating.send_signal(number)
        time.sleep(pause_s)
    _, messages = generating.communicate(timeout=60)
    assert (generating.returncode, messages) == (130, "setpoint: interrupted\n")


def test_a_closed_terminal_is_ignored_under_nohup(tmp_path: Path) -> None:
    script = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from setpoint.cli.main import main; from setpoint.cli import systems\n"
        "run = systems.run\n"
        "systems.run = lambda arguments: (os.kill(os.getpid(), signal.SIGHUP), run(arguments))[1]\n"
        "raise SystemExit(main(['systems']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "double_integrator" in done.stdout


@pytest.mark.parametrize(("closed", "code"), [("systems >&-", 0), ("systems --nope 2>&-", 2), ("systems <&- | cat", 0)])
def test_a_closed_stream_is_no_traceback(tmp_path: Path, closed: str, code: int) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{shlex.quote(sys.executable)} -P -m setpoint {closed}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr + done.stdout and "error" not in done.stdout


@pytest.mark.parametrize("option", ["--workspace", "--model-path", "--save-plots"])
@pytest.mark.parametrize("path", ["x" * 300, "~nobody1/x", "", "a\0b", "/".join(["x" * 200] * 30)])
def test_a_path_that_cannot_be_is_refused(option: str, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--controller", "lqr", "--system", "di", f"{option}={path}"]) == 3
    assert f"{option} must be a path" in capsys.readouterr().err


def test_a_long_folder_for_temporary_files_stops_no_worker(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root / ("x" * 90)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    assert setpoint(root, *RUN).returncode == 0


def test_a_negative_number_with_an_exponent_is_a_value() -> None:
    words = ("evaluate", "--controller", "lqr", "--system", "di", "--initial-state", "-0.5", "-1e-3", "--quiet")
    assert main(words) == 0
