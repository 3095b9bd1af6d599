"""Stand-ins for SLURM's commands: each prints a file and notes how it was called. For what no real cluster does."""

import os
from pathlib import Path

import pytest

NAMES = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "sinfo", "sacctmgr")
CONFIG = "AccountingStorageType = accounting_storage/none\nMaxArraySize = 1001\nMinJobAge = 300 sec\n"


class Commands:
    """A folder of stand-ins at the front of PATH."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        self._folder = folder
        for name in NAMES:
            path = folder / name
            path.write_text(
                f'#!/bin/bash\necho "$*" >>{folder}/{name}.calls\n'
                f'[ "$*" != "show config" ] || exec cat {folder}/config.out\n'
                f"cat {folder}/{name}.out\ncat {folder}/{name}.err >&2\nexit $(cat {folder}/{name}.code)\n"
            )
            path.chmod(0o755)
            self.say(name, "")
        (folder / "config.out").write_text(CONFIG)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def say(self, name: str, out: str, *, err: str = "", code: int = 0) -> None:
        """What a command prints from now on, and its exit status."""
        for ending, text in (("out", out), ("err", err), ("code", str(code))):
            (self._folder / f"{name}.{ending}").write_text(text)

    def configure(self, text: str) -> None:
        """What `scontrol show config` prints from now on."""
        (self._folder / "config.out").write_text(text)

    def calls(self, name: str) -> list[str]:
        """The arguments of each call of a command."""
        path = self._folder / f"{name}.calls"
        return path.read_text().splitlines() if path.exists() else []
