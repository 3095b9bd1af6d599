"""Figures as SVG, PDF and PNG files, drawn by vl-convert without a browser or network."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from setpoint.errors import InputError, SetpointError
from setpoint.reports.figures import converter
from setpoint.reports.figures.spec import Figure

FORMATS = ("svg", "pdf", "png")
SCALE = 2
"""Pixels of a PNG per pixel of the figure."""


def can_draw() -> bool:
    """Return whether vl-convert, which saves figures as files, is installed."""
    try:
        return find_spec("vl_convert") is not None
    except ValueError:  # hidden from imports
        return False


def svg_text(figure: Figure) -> str:
    """Return the figure as an SVG document.

    Raises:
        InputError: vl-convert is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        return save(figure, Path(folder) / "figure.svg").read_text(encoding="utf-8")


def save(figure: Figure, path: Path) -> Path:
    """Save the figure in the format of the suffix of `path`.

    Raises:
        InputError: the suffix is none of `FORMATS`, or vl-convert is not installed.
        SetpointError: the library failed.
    """
    if path.suffix.removeprefix(".") not in FORMATS:
        raise InputError(f"a figure is saved as .{', .'.join(FORMATS)}, got {str(path)!r}.")
    _convert([(figure, path)])
    return path


def save_all(figures: Sequence[Figure], folder: Path, formats: Sequence[str]) -> list[str]:
    """Save every figure in every format; return the file names.

    Raises:
        InputError: vl-convert is not installed.
        SetpointError: the library failed.
    """
    jobs = [(each, folder / f"{each.name}.{form}") for each in figures for form in formats]
    _convert(jobs)
    return [path.name for _, path in jobs]


def _convert(jobs: Sequence[tuple[Figure, Path]]) -> None:
    if not can_draw():
        raise InputError("figures as files need vl-convert-python. Install it with: pip install 'setpoint[report]'")
    for folder in {path.parent for _, path in jobs}:
        folder.mkdir(parents=True, exist_ok=True)
    work = [{"spec": each.sized(), "path": str(path.resolve()), "scale": SCALE} for each, path in jobs]
    command = [sys.executable, "-I", converter.__file__]
    done = subprocess.run(command, input=json.dumps(work), text=True, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise SetpointError(f"cannot draw the figures: {lines[-1]}")
