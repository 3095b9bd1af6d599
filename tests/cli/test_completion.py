"""Completion scripts name every verb and option, and a shell takes them."""

import shutil
import subprocess

import pytest

from setpoint.cli.completion import SHELLS
from setpoint.cli.main import VERBS, main


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_names_every_verb(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert [verb for verb in VERBS if verb not in script] == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_verbs_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", "bash"])
    script = capsys.readouterr().out
    for words, expected in (("exp", "experiment"), ("experiment run --repl", "--replicates")):
        given = ["setpoint", *words.split()]
        ask = f"COMP_WORDS=({' '.join(given)}); COMP_CWORD={len(given) - 1}; _shtab_setpoint; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True)
        assert expected in done.stdout.split()
