"""The scripts hand their arguments to the command line."""

import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT

SCRIPTS = ROOT / "scripts"


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.name)
def test_scripts_hand_over_to_the_command_line(script: Path) -> None:
    done = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: setpoint" in done.stdout


@pytest.mark.parametrize("words", [["--experiment-type", "cross_systm"], ["--experiment-type=cross_systm"]])
def test_a_comparison_across_systems_may_name_its_type(words: list[str]) -> None:
    line = [sys.executable, str(SCRIPTS / "run_cross_system_comparison.py"), "--systems", "di,vdp", *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "Did you mean 'cross_system'?" in done.stderr
