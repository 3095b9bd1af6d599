"""Help texts, and output to terminals and files that cannot take it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from setpoint.cli.main import VERBS, main


def printed(stdout: object = subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess[str]:
    """`setpoint systems van_der_pol` in an environment of its own."""
    line = [sys.executable, "-m", "setpoint", "systems", "van_der_pol"]
    return subprocess.run(
        line, env=os.environ | environment, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
    )


def test_a_character_that_the_terminal_lacks_is_no_traceback() -> None:
    done = printed(PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u2026" in done.stdout
    assert "\u2026" in printed(PYTHONIOENCODING="utf-8").stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_finds_no_room_is_no_internal_error() -> None:
    with Path("/dev/full").open("w") as full:
        done = printed(full)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


def test_help_names_every_verb_and_loads_nothing() -> None:
    code = (
        "import sys\n"
        "from setpoint.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(*sorted({'numpy', 'pydantic', 'torch', 'psutil', 'yaml', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(verb in done.stdout for verb in VERBS)
    assert done.stderr.split() == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    assert f"setpoint {verb}" in capsys.readouterr().out
