"""Greedy rewards on held-out states during GRPO: the same states before, during and after, so that gains are paired.

Rewards of a training step are means over other prompts every time and hardly show a trend. The adapter with the highest
held-out reward is kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from setpoint.training.adapters import Tensors, trainable_tensors

REWARD = "held_out_reward"


@dataclass(frozen=True)
class HeldOutGain:
    """Held-out rewards before training and of the kept adapter.

    Attributes:
        kept_step: step of the kept adapter.
        start, kept: mean greedy rewards.
        gain_error: standard error of the mean paired difference.
    """

    kept_step: int
    start: float
    kept: float
    gain_error: float

    def summary(self) -> dict[str, float]:
        """Return the entries of the summary of a stage."""
        return {
            "kept_step": self.kept_step,
            "held_out_start": self.start,
            "held_out_kept": self.kept,
            "held_out_gain": self.kept - self.start,
            "held_out_gain_error": self.gain_error,
        }


class HeldOutRewards(TrainerCallback):
    """Scores the held-out states before the first step, every `every` steps and after the last.

    Results are part of the trainer's log and of files beside the checkpoints, so that a resumed run needs nothing else.
    """

    def __init__(
        self,
        score: Callable[[], Float[np.ndarray, " R"]],
        every: int,
        folder: Path,
        log: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """`score` returns the greedy rewards of the current adapter; `every` 0 scores both ends only."""
        self._score = score
        self._every = every
        self._folder = folder
        self._log = log

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        """Score the adapter from which training starts."""
        if not _rewards(state):
            self._measure(state, model)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        """Score the adapter if it is time."""
        if state.global_step == state.max_steps or (self._every and state.global_step % self._every == 0):
            self._measure(state, model)

    def _measure(self, state: TrainerState, model: Any) -> None:
        was_training = model.training
        rewards = self._score()
        model.train(was_training)
        step = state.global_step
        state.log_history.append({"step": step, REWARD: float(rewards.mean())})
        self._log({"step": step, "stage": "grpo", REWARD: float(rewards.mean())})
        np.save(self._rewards_file(step), rewards)
        if step and _best_step(state) == step:
            save_file(trainable_tensors(model), self._folder / "best.safetensors")

    def best(self) -> Tensors:
        """Return the kept adapter."""
        tensors: Tensors = load_file(self._folder / "best.safetensors")
        return tensors

    def gain(self, state: TrainerState) -> HeldOutGain:
        """Compare the kept adapter with the start, state by state."""
        kept = _best_step(state)
        before, after = np.load(self._rewards_file(0)), np.load(self._rewards_file(kept))
        difference = after - before
        error = float(difference.std(ddof=1) / len(difference) ** 0.5) if len(difference) > 1 else 0.0
        return HeldOutGain(kept, float(before.mean()), float(after.mean()), error)

    def _rewards_file(self, step: int) -> Path:
        return self._folder / f"held-out-{step}.npy"


def _rewards(state: TrainerState) -> dict[int, float]:
    return {entry["step"]: entry[REWARD] for entry in state.log_history if REWARD in entry}


def _best_step(state: TrainerState) -> int:
    """Return the step after the start with the highest reward, the first one in case of ties."""
    after = {step: reward for step, reward in _rewards(state).items() if step}
    return max(after, key=lambda step: (after[step], -step))
