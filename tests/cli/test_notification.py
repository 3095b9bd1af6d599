"""`--notify` tells how an experiment ended, and never changes how it ends."""

import shlex
import sys
from pathlib import Path

import pytest

from setpoint.cli.main import main
from support.command_line import setpoint

RUN = ["experiment", "run", "--systems", "di", "--dataset-name", "small", "--experiment-id", "mine"]
TOLD = """\
import os, sys
names = ("EXPERIMENT", "ENDING", "EXIT_CODE", "FOLDER")
told = [*(os.environ[f"SETPOINT_{name}"] for name in names), sys.stdin.read().strip()]
open(sys.argv[1], "w").write("|".join(told))
"""


def test_the_command_hears_how_it_ended(root: Path, tmp_path: Path) -> None:
    (tmp_path / "tell.py").write_text(TOLD)
    told = tmp_path / "told; not a shell"
    notify = shlex.join([sys.executable, str(tmp_path / "tell.py"), str(told)])
    (root / "fail-grpo").write_text("")
    assert setpoint(root, *RUN, "--notify", notify).returncode == 5
    sentence = "setpoint: experiment mine: finished, all runs failed"
    assert told.read_text().strip() == f"mine|finished, all runs failed|5|{root.resolve()}|{sentence}"
    (root / "fail-grpo").unlink()
    done = setpoint(root, "experiment", "retry", "mine", "--notify", f"{notify} ", "--quiet")
    assert done.returncode == 0
    assert told.read_text().split("|")[1:3] == ["finished", "0"]


def test_a_command_that_fails_changes_nothing(root: Path) -> None:
    done = setpoint(root, *RUN, "--notify", "false", "--quiet")
    assert done.returncode == 0
    assert done.stderr == "setpoint: --notify: false exited with code 1\n"


@pytest.mark.parametrize("text", ["", "no-such-program --loud", "echo 'open"])
def test_a_command_that_cannot_run_is_refused_first(text: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "--workspace", str(root), "--notify", text]) == 3
    assert "--notify must" in capsys.readouterr().err
    assert not (root / "experiments").exists()
