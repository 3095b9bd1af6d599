"""The parameters of training stages: small, frozen, validated, and free of heavy imports.

Bare names that users sweep (`lora_rank`, `learning_rate`, `batch_size`) are resolved by the experiments layer; here
every parameter has one place. Defaults come from the preset of the base model, see `setpoint.policies.presets`.
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
    """alpha / r, constant across ranks, so that a rank sweep does not hide a change of the learning rate."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout probability within the adapters."""


class SftParameters(_Parameters):
    """Supervised fine-tuning on demonstrations."""

    learning_rate: PositiveFloat
    """Peak rate."""
    steps: PositiveInt
    """Maximum number of optimizer steps."""
    batch_size: PositiveInt = 16
    """Rows per optimizer step."""
    warmup_steps: Annotated[int, Field(ge=0)] = 10
    """Steps over which the learning rate rises from zero to its peak."""
    schedule: Schedule = "cosine"
    """Learning rate after the warm-up."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients with a larger norm are clipped to it."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Of AdamW."""
    validation_every: Annotated[int, Field(ge=0)] = 50
    """Steps between measurements of the validation loss; 0 measures it only at the end."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Stop after this many validations without a new minimum and keep the best adapter; 0 trains all steps."""


class GrpoParameters(_Parameters):
    """Group relative policy optimisation on rewards from simulation."""

    learning_rate: PositiveFloat
    """Peak rate."""
    steps: PositiveInt
    """Optimizer steps."""
    batch_size: Annotated[int, Field(ge=2)] = 64
    """Completions per optimizer step."""
    num_generations: Annotated[int, Field(ge=0)] = 0
    """Completions per prompt; 0 means min(8, batch_size)."""
    temperature: PositiveFloat = 1.0
    """Sampling temperature of the completions."""
    beta: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the KL divergence from the starting policy."""
    warmup_steps: Annotated[int, Field(ge=0)] = 3
    """Steps over which the learning rate rises from zero to its peak."""
    schedule: Schedule = "linear"
    """Learning rate after the warm-up."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients with a larger norm are clipped to it."""
    loss: Literal["dr_grpo", "grpo"] = "dr_grpo"
    """Normalisation of the policy-gradient loss, as in TRL."""
    scale_rewards: Literal["group", "none"] = "group"
    """Whether advantages are divided by the standard deviation of their group's rewards."""
    reward_horizon: Annotated[int, Field(ge=0)] = 5
    """Steps whose cost is scored, plus the value of the state reached; 0 scores the whole answer."""
    reward_tolerance: PositiveFloat = 3e-3
    """Regret below this hardly changes the reward."""

    @property
    def group_size(self) -> int:
        """Completions per prompt."""
        return self.num_generations or min(8, self.batch_size)

    @model_validator(mode="after")
    def _whole_groups(self) -> "GrpoParameters":
        if self.group_size < 2 or self.batch_size % self.group_size:
            raise ValueError(
                f"batch_size must be a multiple of num_generations, at least 2, but batch_size is {self.batch_size} "
                f"and num_generations {self.group_size}; choose a batch_size that {self.group_size} divides"
            )
        return self
