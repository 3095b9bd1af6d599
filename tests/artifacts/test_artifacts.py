"""Files that are whole or absent, locks, and what makes a stage finished."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.artifacts import (
    Attempt,
    Lock,
    Measured,
    StageConfig,
    StageFolder,
    Workspace,
    check_identifier,
    create_json,
    read_json,
    read_lock,
    write_json,
    write_text,
)
from setpoint.errors import InputError, SetpointError

ASKED = StageConfig("sft", {"rank": 4}, (), 0)


@pytest.fixture
def stage(tmp_path: Path) -> StageFolder:
    return Workspace(tmp_path).stage("sft", "a1b2")


def claim_attempt(stage: StageFolder) -> Attempt:
    attempt = stage.claim_attempt(ASKED)
    assert attempt is not None
    attempt.output.mkdir()
    return attempt


def publish(stage: StageFolder, content: str = "weights") -> Attempt:
    attempt = claim_attempt(stage)
    write_text(attempt.output / "adapter" / "weights.bin", content)
    stage.publish(attempt, summary={"loss": 0.5}, measured=Measured(), provenance={})
    return attempt


def abandon(attempt: Attempt) -> None:
    """Make the attempt that of a process that is no more."""
    lock = read_lock(attempt.lock)
    assert lock is not None
    write_json(attempt.lock, dataclasses.replace(lock, started="1").to_json())


@pytest.mark.parametrize("bad", ["", "-x", "../x", "a/b", ".hidden", "a b", "a\n", "ä", "x" * 121, "a=b", "/etc"])
def test_an_identifier_cannot_leave_its_folder(tmp_path: Path, bad: str) -> None:
    with pytest.raises(InputError, match="letters, digits"):
        Workspace(tmp_path).experiment(bad)
    with pytest.raises(InputError):
        Workspace(tmp_path).stage("sft", bad)


@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,30}", fullmatch=True))
def test_good_identifiers_stay_inside(identifier: str) -> None:
    root = Path("/w")
    assert Workspace(root).experiment(check_identifier("an id", identifier)).parent == root / "experiments"


@given(st.text(max_size=40))
def test_any_text_is_a_folder_name_or_refused_with_one_that_is(identifier: str) -> None:
    try:
        assert check_identifier("an id", identifier) == identifier
    except InputError as error:
        check_identifier("an id", str(error).rsplit("Try '", 1)[1].removesuffix("'."))


def test_writing_replaces_in_one_step_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write_json(path, {"x": 1})
    write_json(path, {"x": 2})
    assert read_json(path) == {"x": 2}
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"x": float("nan")})
    assert read_json(path) == {"x": 1}


def test_the_first_to_create_wins(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert create_json(path, 1)
    assert not create_json(path, 2)
    assert read_json(path) == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_damaged_json_reads_as_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert read_json(path) is None
    assert read_json(tmp_path / "missing.json") is None


def test_a_workspace_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--workspace"):
        Workspace(tmp_path / "file" / "below").require_writable()


@pytest.mark.parametrize("place", ["file", "file/below", "dangling"])
def test_a_workspace_that_is_no_folder_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"must be a folder, but.*--workspace"):
        Workspace(tmp_path / place).require_folder()
    Workspace(tmp_path / "new" / "below").require_folder()


@pytest.mark.parametrize("name", ["datasets", "stages", "experiments", "models"])
def test_a_workspace_with_a_file_for_a_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(InputError, match=name):
        Workspace(tmp_path).require_writable()


def test_making_folders_in_words_touches_nothing(tmp_path: Path) -> None:
    folder = Workspace(tmp_path / "w").stage("sft", "a1b2")
    assert not folder.finished()
    assert folder.attempts() == []
    assert not (tmp_path / "w").exists()


def test_a_lock_is_alive_as_long_as_its_process() -> None:
    lock = Lock.of_this_process()
    assert lock.alive()
    assert not dataclasses.replace(lock, started="1").alive()
    assert not dataclasses.replace(lock, boot_id="another boot").alive()
    assert not dataclasses.replace(lock, pid=2**22 + 1).alive()
    assert dataclasses.replace(lock, host="elsewhere", pid=1).alive()


def test_a_published_stage_is_finished(stage: StageFolder) -> None:
    assert not stage.finished()
    publish(stage)
    assert stage.finished()
    assert stage.verified()
    manifest = stage.read_manifest()
    assert manifest is not None
    assert list(manifest.files) == ["adapter/weights.bin"]
    assert manifest.attempt == 1
    assert stage.read_config() == ASKED
    assert stage.claim_attempt(ASKED) is None


def test_only_one_attempt_runs_at_a_time(stage: StageFolder) -> None:
    first = claim_attempt(stage)
    assert stage.claim_attempt(ASKED) is None
    abandon(first)
    assert claim_attempt(stage).number == 2


def test_an_attempt_that_has_ended_makes_room(stage: StageFolder) -> None:
    write_json(claim_attempt(stage).failure, {})
    write_json(claim_attempt(stage).resources, {})
    assert claim_attempt(stage).number == 3


def test_an_attempt_that_was_taken_over_cannot_publish(stage: StageFolder) -> None:
    old = claim_attempt(stage)
    abandon(old)
    claim_attempt(stage)
    with pytest.raises(SetpointError, match="superseded by a newer one"):
        stage.publish(old, summary={}, measured=Measured(), provenance={})
    assert not stage.finished()


@pytest.mark.parametrize("damage", ["truncated", "missing", "manifest"])
def test_a_damaged_stage_is_not_finished_and_can_be_made_again(stage: StageFolder, damage: str) -> None:
    publish(stage)
    if damage == "truncated":
        (stage.path / "adapter" / "weights.bin").write_text("")
    elif damage == "missing":
        (stage.path / "adapter" / "weights.bin").unlink()
    else:
        stage.manifest.write_text("{")
    assert not stage.finished()
    write_json(stage.attempts()[0].resources, {})
    assert publish(stage, "weights again").number == 2
    assert stage.verified()


def test_changed_content_of_the_same_size_is_found_by_verifying(stage: StageFolder) -> None:
    publish(stage, "weights")
    (stage.path / "adapter" / "weights.bin").write_text("WEIGHTS")
    assert stage.finished()
    assert not stage.verified()


def test_checkpoints_outlive_an_attempt_but_not_the_stage(stage: StageFolder) -> None:
    first = claim_attempt(stage)
    write_text(stage.take_checkpoints(first) / "step-10", "state")
    abandon(first)
    second = claim_attempt(stage)
    assert (stage.take_checkpoints(second) / "step-10").read_text() == "state"
    abandon(second)
    publish(stage)
    assert not stage.checkpoints.exists()


def test_the_output_of_a_dead_attempt_goes_when_the_stage_is_finished_and_its_logs_stay(stage: StageFolder) -> None:
    dead = claim_attempt(stage)
    write_text(dead.output / "adapter" / "weights.bin", "half of the weights")
    write_text(dead.stderr, "killed")
    abandon(dead)
    second = claim_attempt(stage)
    assert (dead.output / "adapter").is_dir()  # as long as nothing has taken its place
    abandon(second)
    publish(stage)
    assert [path.name for path in stage.attempts_folder.glob("*/output")] == []
    assert dead.stderr.read_text() == "killed"
    assert stage.verified()


def test_an_attempt_that_was_taken_over_writes_to_checkpoints_of_its_own(stage: StageFolder) -> None:
    first = claim_attempt(stage)
    lost = stage.take_checkpoints(first)
    write_text(lost / "step-10" / "state", "10")
    abandon(first)
    second = claim_attempt(stage)
    current = stage.take_checkpoints(second)
    write_text(lost / "step-20" / "state", "20")  # it does not know yet that it is over
    assert [path.name for path in current.iterdir()] == ["step-10"]
    abandon(second)
    abandon(claim_attempt(stage))  # this one ended before it could take anything
    assert [path.name for path in stage.take_checkpoints(claim_attempt(stage)).iterdir()] == ["step-10"]


def test_what_an_interrupted_publication_left_behind_is_replaced(stage: StageFolder) -> None:
    write_text(stage.path / "adapter" / "half.bin", "half")
    publish(stage)
    assert [path.name for path in (stage.path / "adapter").iterdir()] == ["weights.bin"]
