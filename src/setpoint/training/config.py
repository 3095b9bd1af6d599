"""Validated parameters of the training stages, without heavy imports.

The experiments layer resolves short names for sweeps (`lora_rank`, `learning_rate`, `batch_size`). Defaults come from
the preset of the base model, see `setpoint.policies.presets`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(ge=1, le=1_000_000)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Schedule = Literal["cosine", "linear", "constant_with_warmup"]


_USUAL_HORIZON = 50


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


class DaggerParameters(_Parameters):
    """Dataset aggregation (DAgger, Ross et al. 2011): the expert labels the states that the model visits."""

    learning_rate: PositiveFloat
    """Peak learning rate in every round."""
    learning_rate_ratio: PositiveFloat | None = None
    """Ratio of the peak learning rate to that of SFT, in place of the rate itself; none: the preset's."""
    steps: PositiveInt
    """Optimizer steps of all rounds together."""
    batch_size: PositiveInt = 16
    """Rows per optimizer step."""
    rounds: Annotated[int, Field(ge=1, le=100)] = 3
    """Rounds of rolling out, labelling and training."""
    episodes: PositiveInt = 60
    """Episodes per system in each round."""
    replan_interval: Annotated[int, Field(ge=1)] = 5
    """Steps between two plans of an episode; each planned state is labelled."""
    expert_share: Share = 0.0
    """Share of the plans in the first round that the expert executes; it halves in every further round."""
    visited_share: Share = 0.5
    """Share of labelled visited states in a batch; the rest are demonstrations."""
    warmup_steps: Annotated[int, Field(ge=0)] = 5
    """Steps of linear warm-up to the peak learning rate, in every round."""
    schedule: Schedule = "cosine"
    """Learning-rate schedule of a round after the warm-up."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradient norm above which gradients are clipped."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay of AdamW."""

    @property
    def labels_per_system(self) -> int:
        """Labels of one system in all rounds, with the usual horizon."""
        return self.rounds * self.episodes * -(-_USUAL_HORIZON // self.replan_interval)

    @model_validator(mode="after")
    def _a_step_per_round(self) -> "DaggerParameters":
        if self.steps < self.rounds:
            raise ValueError(
                f"every round needs a step, but steps is {self.steps} and rounds is {self.rounds}; use more steps"
            )
        return self

    def of_round(self, number: int) -> SftParameters:
        """Return the supervised training of round `number`, counted from 0; the rounds share all steps evenly."""
        ends = [self.steps * done // self.rounds for done in (number, number + 1)]
        return SftParameters(
            learning_rate=self.learning_rate,
            steps=ends[1] - ends[0],
            batch_size=self.batch_size,
            warmup_steps=self.warmup_steps,
            schedule=self.schedule,
            max_grad_norm=self.max_grad_norm,
            weight_decay=self.weight_decay,
            validation_every=0,
        )


class GrpoParameters(_Parameters):
    """Group relative policy optimisation (GRPO) with simulation-based rewards."""

    learning_rate: PositiveFloat
    """Peak learning rate."""
    learning_rate_ratio: PositiveFloat | None = None
    """Ratio of the peak learning rate to that of SFT, in place of the rate itself; none: the preset's."""
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
    scored_tokens: Literal["moves", "answer"] = "moves"
    """Tokens in the loss: those after the reasoning, or the whole answer. The reward depends on the moves alone."""
    scale_rewards: Literal["group", "none"] = "none"
    """`group` divides advantages by the standard deviation of the rewards in their group; `none` does not."""
    reward_horizon: Annotated[int, Field(ge=0)] = 5
    """Steps whose cost enters the reward, plus the cost-to-go of the state reached; 0 scores the complete answer."""
    reward_tolerance: PositiveFloat = 3e-3
    """Regret scale: smaller regrets hardly change the reward."""
    validation_every: Annotated[int, Field(ge=0)] = 20
    """Steps between scores on held-out states. The adapter with the best score is kept; 0 scores only the last one."""

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


def training_units(kind: str, parameters: Mapping[str, Any], systems: int) -> int:
    """Return the work of a training stage: rows, completions, or rows and labels, by the kind of the stage."""
    units: int = parameters["steps"] * parameters["batch_size"]
    return units + (DaggerParameters(**parameters).labels_per_system * systems if kind == "dagger" else 0)
