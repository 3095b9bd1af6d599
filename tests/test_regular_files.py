"""Files are read within bounds: no pipe is waited for, no device is drained, nothing is read through a link."""

import os
from pathlib import Path

import pytest

from setpoint.artifacts import read_json
from setpoint.cli.main import main
from setpoint.fingerprint import file_digest
from setpoint.regular_files import open_regular, read_end, read_regular


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_a_regular_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert read_regular(path, 10) == b"0123456789"
    assert read_end(path, 4) == b"6789"
    assert read_end(path, 40) == b"0123456789"
    with pytest.raises(OSError, match="larger than"):
        read_regular(path, 9)


@pytest.mark.parametrize("path", [Path("/dev/zero"), Path("/dev/null"), Path("/")])
def test_what_is_no_file_is_refused(path: Path) -> None:
    with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
        open_regular(path)
    assert read_json(path) is None


def test_nobody_waits_for_a_pipe(pipe: Path) -> None:
    for read in (open_regular, file_digest, lambda path: read_end(path, 5)):
        with pytest.raises(OSError, match="not a regular file"):
            read(pipe)
    assert read_json(pipe) is None


def test_a_link_is_followed_only_on_request(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text('{"a": 1}')
    (tmp_path / "link.json").symlink_to("file.json")
    assert read_json(tmp_path / "link.json") is None
    assert read_json(tmp_path / "link.json", links=True) == {"a": 1}
    with pytest.raises(OSError, match="a link where a regular file is expected"):
        open_regular(tmp_path / "link.json", links=False)


@pytest.mark.parametrize(
    "words",
    [
        ["experiment", "plan", "--spec", "PIPE"],
        ["experiment", "run", "--systems", "di", "--on", "slurm", "--profile", "PIPE"],
        ["analyze", "PIPE", "--response", "y", "--factors", "a"],
        ["analyze", "/dev/zero", "--response", "y", "--factors", "a"],
    ],
)
def test_commands_refuse_what_is_no_file(
    words: list[str], pipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETPOINT_WORKSPACE", str(tmp_path / "work"))
    assert main([str(pipe) if word == "PIPE" else word for word in words]) == 3
    assert "not a regular file" in capsys.readouterr().err
