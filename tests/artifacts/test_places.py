"""Nothing is written, deleted or published through a link, and what a killed process left is removed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from setpoint.artifacts import StageConfig, StageFolder, Workspace, open_for_writing, write_text
from setpoint.artifacts.leftovers import remove_leftovers, temporary_path
from setpoint.artifacts.manifest import Measured
from setpoint.artifacts.places import remove, require_real
from setpoint.errors import InputError

CONFIG = StageConfig("sft", {}, (), 0)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    (folder / "checkpoint-5").mkdir(parents=True)
    (folder / "checkpoint-5" / "precious").write_text("precious")
    (folder / "precious").write_text("precious")
    return folder


@pytest.fixture
def stage(tmp_path: Path) -> StageFolder:
    return Workspace(tmp_path / "work").stage("sft", "abc")


def contents(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def publish(stage: StageFolder) -> None:
    attempt = stage.claim_attempt(CONFIG)
    assert attempt is not None
    attempt.output.mkdir()
    write_text(attempt.output / "adapter" / "weights", "new")
    write_text(attempt.output / "value.txt", "new")
    write_text(stage.take_checkpoints(attempt) / "checkpoint-1" / "state", "state")
    stage.publish(attempt, summary={}, measured=Measured(), provenance={})


@pytest.mark.parametrize("place", ["checkpoints/0000", "checkpoints/0000/checkpoint-5", "adapter", "value.txt"])
def test_a_link_in_a_stage_is_replaced_and_its_target_left_alone(stage: StageFolder, outside: Path, place: str) -> None:
    before = contents(outside)
    link = stage.path / place
    link.parent.mkdir(parents=True)
    link.symlink_to(outside / "precious" if place == "value.txt" else outside)
    publish(stage)
    assert stage.verified() and contents(outside) == before
    assert (outside / "precious").read_text() == "precious"
    assert not link.is_symlink()


@pytest.mark.parametrize("place", ["", "attempts", "attempts/0001", "checkpoints"])
def test_a_stage_whose_folder_is_a_link_is_refused(stage: StageFolder, outside: Path, place: str) -> None:
    before = contents(outside)
    link = stage.path / place if place else stage.path
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with pytest.raises(InputError, match="is a link"):
        publish(stage)
    assert contents(outside) == before


def test_what_a_copied_workspace_has_in_the_next_attempt_is_removed(stage: StageFolder, outside: Path) -> None:
    attempt = stage.attempts_folder / "0001"
    attempt.mkdir(parents=True)
    for name in ("stdout.log", "metrics.jsonl", "output", "failure.json"):
        (attempt / name).symlink_to(outside / "precious")
    publish(stage)
    assert (outside / "precious").read_text() == "precious"


@pytest.mark.parametrize("link", ["value.txt", "adapter"])
def test_a_published_file_behind_a_link_is_not_finished(stage: StageFolder, link: str) -> None:
    publish(stage)
    assert stage.finished()
    moved = stage.path.parent / "moved"
    (stage.path / link).rename(moved)
    (stage.path / link).symlink_to(moved)
    assert not stage.finished()
    assert stage.damaged_files() == [name for name in ("adapter/weights", "value.txt") if name.startswith(link)]


@pytest.mark.parametrize("place", ["experiments", "experiments/e", "experiments/e/reports", "experiments/e/a/b/c"])
def test_an_experiment_with_a_link_is_not_written(tmp_path: Path, outside: Path, place: str) -> None:
    root = tmp_path / "work"
    (root / place).parent.mkdir(parents=True)
    (root / place).symlink_to(outside)
    with pytest.raises(InputError, match="is a link"):
        open_for_writing(Workspace(root).experiment("e"))


def test_the_workspace_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real" / "experiments" / "e").mkdir(parents=True)
    (tmp_path / "work").symlink_to("real")
    open_for_writing(Workspace(tmp_path / "work").experiment("e"))
    require_real(tmp_path / "work" / "models" / "not" / "yet", tmp_path / "work")


def test_removing_a_link_leaves_its_target(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "link").symlink_to(outside)
    remove(tmp_path / "link")
    remove(tmp_path / "link")
    assert (outside / "precious").exists() and not os.path.lexists(tmp_path / "link")


def test_leftovers_of_ended_processes_are_removed_and_those_of_others_kept(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from setpoint.artifacts.leftovers import temporary_path\n"
        "temporary_path(pathlib.Path(sys.argv[1], 'g')).mkdir()\n"
        "temporary_path(pathlib.Path(sys.argv[1], 'sub', 'report.md')).touch()\n"
    )
    (tmp_path / "sub").mkdir()
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    kept = [temporary_path(tmp_path / "mine"), tmp_path / ".hidden", tmp_path / ".g.0123-4-5"]
    for path in kept:
        path.touch()
    assert len(contents(tmp_path)) == 6
    remove_leftovers(tmp_path)
    assert len(list((tmp_path / "sub").iterdir())) == 1
    remove_leftovers(tmp_path, below=True)
    assert contents(tmp_path) == sorted([*(path.name for path in kept), "sub"])
