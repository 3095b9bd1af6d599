"""All differences between CPU and GPU: device, precision, threads, batch sizes and trainer arguments."""

from dataclasses import dataclass
from typing import Any, Literal

import torch

from setpoint.policies.presets import SMALL, TINY, BasePreset


@dataclass(frozen=True)
class Runtime:
    """Device and numerical settings of a model.

    Attributes:
        device: `cpu` or `cuda`.
        precision: precision of the base weights and the arithmetic; adapters are always trained in float32. The
            built-in base always uses float32: it is too small to benefit from lower precision.
        threads: number of torch threads; None keeps torch's default. One thread is fastest for the built-in base and
            makes results independent of the number of cores.
        generation_batch_size: number of prompts per generation batch.
        largest_micro_batch: initial maximum of rows per training pass; None for no limit.
        recompute: whether to recompute activations in the backward pass (gradient checkpointing).
        generation_backend: library that samples completions.
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
        """Return the runtime of this machine; bases other than the built-in use bfloat16 if the GPU supports it."""
        tiny, cuda = preset.name == TINY.name, torch.cuda.is_available()
        if tiny:
            return cls("cuda" if cuda else "cpu", "float32", 1, 300, None)
        small = preset.name == SMALL.name
        if cuda:
            precision: Literal["float32", "bfloat16"] = "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
            return cls("cuda", precision, None, 256 if small else 64, None if small else 8, recompute=not small)
        # Generation reads all weights once per token and batch: on a CPU, large batches are several times as fast.
        return cls("cpu", "float32", None, 32 if small else 16, 8 if small else 4)

    @property
    def dtype(self) -> torch.dtype:
        """The precision as a torch dtype."""
        dtype: torch.dtype = getattr(torch, self.precision)
        return dtype

    def apply(self) -> None:
        """Apply the process-wide settings."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)

    def training_arguments(self) -> dict[str, Any]:
        """Return the device-dependent part of transformers' `TrainingArguments`."""
        on_cpu = self.device == "cpu"
        return {
            "use_cpu": on_cpu,
            "bf16": self.precision == "bfloat16",
            "gradient_checkpointing": self.recompute,
            "dataloader_pin_memory": not on_cpu,
        }

    def describe(self) -> dict[str, str]:
        """Return the settings that may affect numerical results, for the record of a stage."""
        return {"precision": self.precision, "generation_backend": self.generation_backend}
