"""The one place where CPU and GPU differ: device, precision, threads, batch sizes, arguments of trainers."""

from dataclasses import dataclass
from typing import Any, Literal

import torch

from setpoint.policies.presets import TINY, BasePreset


@dataclass(frozen=True)
class Runtime:
    """Where and how a model computes.

    Attributes:
        device: `cpu` or `cuda`.
        precision: of the base's weights and of the arithmetic; adapters are always trained in float32. The
            built-in base computes in float32 everywhere: it would not gain from less.
        threads: torch threads, or None to leave them alone. One is fastest for the built-in base, and makes results
            independent of the number of cores.
        generation_batch_size: prompts that are completed together.
        largest_micro_batch: rows of one training pass at most, before memory was tried; None for no limit.
        recompute: whether activations are computed again in the backward pass rather than kept.
        generation_backend: what samples completions.
    """

    device: Literal["cpu", "cuda"]
    precision: Literal["float32", "bfloat16"]
    threads: int | None
    generation_batch_size: int
    largest_micro_batch: int | None
    recompute: bool = False
    generation_backend: str = "transformers"

    @classmethod
    def detect(cls, preset: BasePreset = TINY) -> "Runtime":
        """What this machine offers to bases of `preset`: those of other people bfloat16, on a GPU that has it."""
        tiny, cuda = preset.name == TINY.name, torch.cuda.is_available()
        if tiny:
            return cls("cuda" if cuda else "cpu", "float32", 1, 300, None)
        if cuda:
            return cls("cuda", "bfloat16" if torch.cuda.is_bf16_supported() else "float32", None, 64, 8, recompute=True)
        return cls("cpu", "float32", None, 8, 4)

    @property
    def dtype(self) -> torch.dtype:
        """The precision as torch calls it."""
        dtype: torch.dtype = getattr(torch, self.precision)
        return dtype

    def apply(self) -> None:
        """Set what is global to the process."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)

    def training_arguments(self) -> dict[str, Any]:
        """The part of transformers' `TrainingArguments` that depends on the device."""
        on_cpu = self.device == "cpu"
        return {
            "use_cpu": on_cpu,
            "bf16": self.precision == "bfloat16",
            "gradient_checkpointing": self.recompute,
            "dataloader_pin_memory": not on_cpu,
        }

    def describe(self) -> dict[str, str]:
        """What a stage records, for it can change numbers."""
        return {"precision": self.precision, "generation_backend": self.generation_backend}
