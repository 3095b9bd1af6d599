"""Trainer callbacks: training curve, divergence check and best adapter so far."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from setpoint.errors import StageError
from setpoint.training.adapters import Tensors, trainable_tensors

_NAMES = {"eval_loss": "validation_loss", "num_tokens": "tokens", "completions/mean_length": "completion_tokens"}
_KEPT = {"loss", "learning_rate", "grad_norm", "reward", "reward_std", "frac_reward_zero_std", "entropy", "kl"}
_SCORE_PREFIX = "score/"
"""Prefix of the reward components, which the reward function logs."""


def curve_record(step: int, kind: str, logs: Mapping[str, Any]) -> dict[str, Any]:
    """Return one line of the training curve: the finite values logged at `step`, under Setpoint's names."""
    numbers = {
        _NAMES.get(name, name.removeprefix(_SCORE_PREFIX)): float(value)
        for name, value in logs.items()
        if (name in _KEPT or name in _NAMES or name.startswith(_SCORE_PREFIX))
        and isinstance(value, int | float)
        and math.isfinite(value)
    }
    return {"step": step, "stage": kind, **numbers}


class TrainingCurve(TrainerCallback):
    """Writes the training curve and stops a run whose loss or gradient is not finite."""

    def __init__(self, kind: str, log: Callable[[Mapping[str, Any]], None], first_step: int = 0) -> None:
        """Pass each line to `log`; `first_step` is the number of steps of the stage before this training."""
        self._kind = kind
        self._log = log
        self._first_step = first_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Write one line.

        Raises:
            StageError: the run has diverged.
        """
        logs = logs or {}
        record = curve_record(self._first_step + state.global_step, self._kind, logs)
        if record.keys() > {"step", "stage"}:
            self._log(record)
        for name in ("loss", "grad_norm", "eval_loss"):
            if not math.isfinite(logs.get(name, 0.0)):
                raise diverged(f"{name} is {logs[name]} at step {state.global_step}", state)


def diverged(message: str, state: TrainerState) -> StageError:
    """Return the failure of a diverged run, with its last losses as evidence."""
    losses = [str(entry["loss"]) for entry in state.log_history if "loss" in entry]
    rates = [entry["learning_rate"] for entry in state.log_history if "learning_rate" in entry]
    return StageError(
        "diverged",
        f"training diverged: {message}",
        evidence={
            "step": state.global_step,
            "last_losses": losses[-10:],
            "highest_learning_rate": max(rates, default=None),
        },
        suggestion="use a learning_rate three to ten times lower",
    )


class KeepBest(TrainerCallback):
    """Early stopping: stops after `patience` validations without a new minimum and keeps the best adapter.

    The callback is stateless, so a resumed run needs nothing else: counts come from the trainer's log, which is part of
    checkpoints, and the best adapter is written again if its step is repeated.
    """

    def __init__(self, patience: int, folder: Path) -> None:
        """Store the best adapter in `folder`."""
        self._patience = patience
        self._file = folder / "best.safetensors"

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> TrainerControl:
        """Save the adapter at a new minimum; otherwise stop if patience is exhausted."""
        losses = validation_losses(state)
        since_best = len(losses) - 1 - best_index(losses)
        if since_best == 0:
            save_file(trainable_tensors(model), self._file)
        control.should_training_stop |= since_best >= self._patience
        return control

    def best(self) -> Tensors:
        """Return the best adapter."""
        tensors: Tensors = load_file(self._file)
        return tensors


def validation_losses(state: TrainerState) -> list[tuple[int, float]]:
    """Return (step, validation loss) of all validations so far."""
    return [(entry["step"], entry["eval_loss"]) for entry in state.log_history if "eval_loss" in entry]


def best_index(losses: list[tuple[int, float]]) -> int:
    """Return the index of the lowest loss, the first one in case of ties."""
    return min(range(len(losses)), key=lambda index: losses[index][1])
