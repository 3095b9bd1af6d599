"""The command line with cheap stages, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from support import TESTS


def command(root: Path, *words: str) -> tuple[list[str], dict[str, str]]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
        "SETPOINT_WORKSPACE": str(root),
        "NO_COLOR": "1",
    }
    return [sys.executable, "-P", "-m", "support.cheap_setpoint", *words], environment


def setpoint(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line, environment = command(root, *words)
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=120)
