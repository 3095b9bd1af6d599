"""Provenance of a result: versions, host, interpreter and source code, without importing heavy packages."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from setpoint.fingerprint import digest, file_digest

PACKAGE = Path(__file__).parent

# Packages whose version can change a trained adapter or a solved problem.
REPORTED_PACKAGES = (
    "setpoint",
    "numpy",
    "scipy",
    "casadi",
    "pyarrow",
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
)


def package_versions(names: Iterable[str] = REPORTED_PACKAGES) -> dict[str, str | None]:
    """Return the installed version of each distribution, None if it is not installed."""
    return {name: _version(name) for name in names}


def code_digest(layers: Iterable[str]) -> str:
    """Return a digest of the Python sources of the given layers (modules or folders) of this package."""
    return digest(layer_digests(layers))


def layer_digests(layers: Iterable[str]) -> dict[str, str]:
    """Return the digest of the Python sources of each layer."""
    return {layer: _layer_digest(layer) for layer in sorted(layers)}


def environment_name() -> str:
    """Return the name of the active conda or virtual environment, or of the interpreter's folder."""
    return os.environ.get("CONDA_DEFAULT_ENV") or Path(os.environ.get("VIRTUAL_ENV", sys.prefix)).name


def collect() -> dict[str, Any]:
    """Return the provenance record that is stored with a result."""
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "environment": environment_name(),
        "packages": package_versions(),
        "git": git_state(),
    }


@cache
def git_state() -> dict[str, Any] | None:
    """Return commit and uncommitted changes of the checkout that this package runs from; None outside a checkout."""
    commit = _git("rev-parse", "HEAD")
    if commit is None or _git("ls-files", "--error-unmatch", "provenance.py") is None:
        return None
    return {"commit": commit, "changed": bool(_git("status", "--porcelain", "--", "."))}


def _git(*arguments: str) -> str | None:
    # Without optional locks: a worker killed while `git status` refreshes the index would leave the user's repository
    # locked.
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=PACKAGE,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def _layer_digest(layer: str) -> str:
    module = PACKAGE / f"{layer}.py"
    files = [module] if module.exists() else sorted((PACKAGE / layer).rglob("*.py"))
    return digest([[file.relative_to(PACKAGE).as_posix(), file_digest(file)] for file in files])
