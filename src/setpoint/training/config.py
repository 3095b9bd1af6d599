"""Validated parameters of the training stages, without heavy imports.

The experiments layer resolves short names for sweeps (`lora_rank`, `learning_rate`, `batch_size`). Defaults come from
the preset of the base model, see `setpoint.policies.presets`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(ge=1, le=1_000_000)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Schedule = Literal["cosine", "linear", "constant_with_warmup"]


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LoraParameters(_Parameters):
    """Low-rank adapters on all linear layers."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    """Rank r of the adapters."""
    scale: PositiveFloat = 2.0
    """alpha / r, constant across ranks, so that a rank sweep does not change the effective learning rate."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout probability in the adapters."""


class SftParameters(_Parameters):
    """Supervised fine-tuning on demonstrations."""

    learning_rate: PositiveFloat
    """Peak learning rate."""
    steps: PositiveInt
    """Maximum number of optimizer steps."""
    batch_size: PositiveInt = 16
    """Rows per optimizer step."""
    warmup_steps: Annotated[int, Field(ge=0)] = 10
    """Steps of linear warm-up to the peak learning rate."""
    schedule: Schedule = "cosine"
    """Learning-rate schedule after the warm-up."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradient norm above which gradients are clipped."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay of AdamW."""
    validation_every: Annotated[int, Field(ge=0)] = 50
    """Steps between two validations; 0 validates only at the end."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Number of validations without improvement before early stopping with the best adapter; 0 disables it."""


class GrpoParameters(_Parameters):
    """Group relative policy optimisation (GRPO) with simulation-based rewards."""

    learning_rate: PositiveFloat
    """Peak learning rate."""
    steps: PositiveInt
    """Number of optimizer steps."""
    batch_size: Annotated[int, Field(ge=2)] = 64
    """Completions per optimizer step."""
    num_generations: Annotated[int, Field(ge=0)] = 0
    """Completions per prompt (group size); 0 means min(8, batch_size)."""
    temperature: PositiveFloat = 1.0
    """Sampling temperature of the completions."""
    beta: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the KL divergence from the initial policy."""
    warmup_steps: Annotated[int, Field(ge=0)] = 3
    """Steps of linear warm-up to the peak learning rate."""
    schedule: Schedule = "linear"
    """Learning-rate schedule after the warm-up."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradient norm above which gradients are clipped."""
    loss: Literal["dr_grpo", "grpo"] = "dr_grpo"
    """Normalisation of the policy-gradient loss, as in TRL."""
    scale_rewards: Literal["group", "none"] = "group"
    """`group` divides advantages by the standard deviation of the rewards in their group; `none` does not."""
    reward_horizon: Annotated[int, Field(ge=0)] = 5
    """Steps whose cost enters the reward, plus the cost-to-go of the state reached; 0 scores the complete answer."""
    reward_tolerance: PositiveFloat = 3e-3
    """Regret scale: smaller regrets hardly change the reward."""

    @property
    def group_size(self) -> int:
        """Completions per prompt."""
        return self.num_generations or min(8, self.batch_size)

    @model_validator(mode="after")
    def _whole_groups(self) -> "GrpoParameters":
        if self.group_size < 2 or self.batch_size % self.group_size:
            raise ValueError(
                f"batch_size must be a multiple of num_generations, which must be at least 2, but batch_size is "
                f"{self.batch_size} and num_generations is {self.group_size}; choose a multiple of num_generations"
            )
        return self
