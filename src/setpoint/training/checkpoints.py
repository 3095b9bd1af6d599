"""Verified checkpoints: complete, of the same stage, and resumed exactly or not at all.

The trainer writes a checkpoint, which is then sealed: the seal, written last, lists every file with its size and
digest, and the fingerprint of the run. Checkpoints without a matching seal are not used.
"""

import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from setpoint.artifacts import read_json, write_json
from setpoint.errors import StageError
from setpoint.fingerprint import file_digest

SEAL = "seal.json"
_PREFIX = "checkpoint-"
_LONGEST_INTERVAL_S = 300.0


def newest_complete(folder: Path, fingerprint: str) -> Path | None:
    """Return the newest complete checkpoint with this `fingerprint` in `folder`; delete all others."""
    newest: Path | None = None
    for checkpoint in sorted(folder.glob(f"{_PREFIX}*"), key=_step, reverse=True):
        if newest is None and _intact(checkpoint, fingerprint):
            newest = checkpoint
        else:
            shutil.rmtree(checkpoint)
    return newest


def seal(checkpoint: Path, fingerprint: str) -> None:
    """Mark `checkpoint` as complete."""
    files = {
        path.relative_to(checkpoint).as_posix(): {"bytes": path.stat().st_size, "sha256": file_digest(path)}
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file()
    }
    write_json(checkpoint / SEAL, {"schema": 1, "fingerprint": fingerprint, "files": files})


def _intact(checkpoint: Path, fingerprint: str) -> bool:
    content = read_json(checkpoint / SEAL)
    if not isinstance(content, dict) or content.get("fingerprint") != fingerprint:
        return False
    with contextlib.suppress(OSError, KeyError):
        return all(
            (checkpoint / name).stat().st_size == recorded["bytes"]
            and file_digest(checkpoint / name) == recorded["sha256"]
            for name, recorded in content["files"].items()
        )
    return False


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.removeprefix(_PREFIX)
    return int(number) if number.isdigit() else -1


class SealCheckpoints(TrainerCallback):
    """Seals checkpoints, keeps the newest, and requests one at least every five minutes.

    On a shutdown request, a checkpoint is saved at once and the stage ends.

    Checkpoints are taken between optimizer steps. In GRPO, each step generates its own completions, so none are lost.
    """

    def __init__(self, fingerprint: str, must_end: Callable[[], str | None] = lambda: None) -> None:
        """Seal with `fingerprint`; `must_end` returns the reason to shut down now, or None."""
        self._fingerprint = fingerprint
        self._must_end = must_end
        self._last = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Request a checkpoint if the last one is old or the stage must end."""
        old = time.monotonic() - self._last > _LONGEST_INTERVAL_S
        control.should_save |= old or self._must_end() is not None
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Seal the new checkpoint and delete the older ones.

        Raises:
            StageError: the stage must end; the next attempt resumes from this checkpoint.
        """
        folder = Path(str(args.output_dir))
        newest = folder / f"{_PREFIX}{state.global_step}"
        seal(newest, self._fingerprint)
        self._last = time.monotonic()
        for checkpoint in folder.glob(f"{_PREFIX}*"):
            if checkpoint != newest:
                shutil.rmtree(checkpoint)
        reason = self._must_end()
        if reason is not None and state.global_step < state.max_steps:
            raise StageError(
                "preempted",
                f"{reason}, after saving step {state.global_step} of {state.max_steps}",
                evidence={"step": state.global_step},
                suggestion="resume the experiment; the stage continues from its checkpoint",
            )
