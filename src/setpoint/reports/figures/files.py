"""Figures as SVG, PDF and PNG files, drawn by vl-convert without a browser or network."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from setpoint.errors import InputError, SetpointError

FORMATS = ("svg", "pdf", "png")
_CONVERTER = Path(__file__).with_name("converter.py")
SCALE = 2
"""Pixels of a PNG per pixel of the figure."""


def can_draw() -> bool:
    """Return whether vl-convert, which saves figures as files, is installed."""
    try:
        return find_spec("vl_convert") is not None
    except ValueError:  # hidden from imports
        return False


def draw(jobs: Sequence[tuple[Mapping[str, Any], Path]]) -> None:
    """Draw complete specifications, each into the file that is named with it, in the format of its suffix.

    Raises:
        InputError: the suffix is none of `FORMATS`, or vl-convert is not installed.
        SetpointError: the library failed.
    """
    for _, path in jobs:
        if path.suffix.removeprefix(".") not in FORMATS:
            raise InputError(f"a figure is saved as .{', .'.join(FORMATS)}, got {str(path)!r}.")
    if not can_draw():
        raise InputError("figures as files need vl-convert-python. Install it with: pip install 'setpoint[report]'")
    for folder in {path.parent for _, path in jobs}:
        folder.mkdir(parents=True, exist_ok=True)
    work = [{"spec": spec, "path": str(path.resolve()), "scale": SCALE} for spec, path in jobs]
    command = [sys.executable, "-I", str(_CONVERTER)]
    done = subprocess.run(command, input=json.dumps(work), text=True, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise SetpointError(f"cannot draw the figures: {lines[-1]}")
