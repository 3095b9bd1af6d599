"""Types of specification fields: enumerations, lists, numbers and ranges, with their validation."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from setpoint import plants
from setpoint.errors import InputError, collect, shown, unknown_name
from setpoint.records.failure import RETRYABLE

TrainingType = Literal["sft", "grpo", "both", "dagger", "dagger_grpo"]
ModelType = Literal["specialist", "universal"]
Strategy = Literal["sft_only", "sft_then_grpo", "grpo_from_scratch", "sft_then_dagger", "dagger_then_grpo"]
Evaluation = Literal["standard", "replanning", "comprehensive"]
Design = Literal["full", "fractional", "random", "sobol"]
Match = Literal["per_system", "total"]
LARGEST_SEED = 2**32 - 1
TRAINING_TYPE = "training_type"
"""The one name besides parameters that a condition may refer to."""

STRATEGIES: dict[Strategy, TrainingType] = {
    "sft_only": "sft",
    "sft_then_grpo": "both",
    "grpo_from_scratch": "grpo",
    "sft_then_dagger": "dagger",
    "dagger_then_grpo": "dagger_grpo",
}
"""Ablation strategy -> training type."""
CONTROLLED: dict[Strategy, str] = {
    "sft_then_grpo": "sft_equal_compute",
    "sft_then_dagger": "sft_equal_compute_dagger",
    "dagger_then_grpo": "sft_equal_compute_dagger_grpo",
}
"""Strategy that continues after SFT -> name of the SFT-only control with equal compute."""
USUAL_STRATEGIES: tuple[Strategy, ...] = ("sft_only", "sft_then_grpo", "grpo_from_scratch")
"""Strategies of an ablation that names none."""

# metric -> scale of its effects: multiplicative ("log") or additive ("linear")
METRICS: dict[str, Literal["log", "linear"]] = {
    "final_error": "log",
    "normalised_error": "log",
    "control_cost": "log",
    "regret_median": "log",
    "regret_p90": "log",
    "success_rate": "linear",
    "parse_rate": "linear",
    "training_time": "log",
    "gpu_hours": "log",
    "cpu_core_hours": "log",
    "peak_memory_gb": "log",
    "tokens": "log",
}

Item = TypeVar("Item")


def plain_number(value: Any) -> Any:
    """Return `value` unless Python would convert it to an unintended number: `true` to 1, `1_6` to 16.

    Raises:
        ValueError: `value` is a flag, or text with an underscore.
    """
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        raise ValueError(f"expected a number, got {shown(value)}")
    return value


def as_tuple(value: Any) -> Any:
    """Accept a single item without brackets."""
    return (value,) if isinstance(value, str | int | float) else value


def _as_groups(value: Any) -> Any:
    """Accept a single group of names without inner brackets."""
    one = isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value)
    return (tuple(value),) if one else value


def _distinct(kind: str) -> Callable[[tuple[Item, ...]], tuple[Item, ...]]:
    """Return a validator that rejects repeated items; `kind` is the singular noun for the message."""

    def check(items: tuple[Item, ...]) -> tuple[Item, ...]:
        repeated = sorted({str(item) for item in items if items.count(item) > 1})
        if repeated:
            raise InputError(f"repeated {kind}: {', '.join(repeated)}. Give each {kind} once.")
        return items

    return check


def _canonical_systems(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(plants.canonical(name) for name in names)


def _known_metrics(names: tuple[str, ...]) -> tuple[str, ...]:
    collect([unknown_name("metric", name, METRICS) for name in names if name not in METRICS])
    return names


def _known_classes(limits: dict[str, int]) -> dict[str, int]:
    collect([unknown_name("retryable failure class", name, RETRYABLE) for name in limits if name not in RETRYABLE])
    return limits


def _as_text(value: Any) -> Any:
    """Return a number as text; in files, `0.02` is a number and `5%` is text."""
    return f"{plain_number(value):g}" if isinstance(value, int | float) else value


Margin = Annotated[str, BeforeValidator(_as_text), AfterValidator(lambda text: "".join(text.split()))]
Listed = Annotated[tuple[Item, ...], BeforeValidator(as_tuple)]
"""List of items; a single item may be written without brackets."""
Whole = Annotated[int, BeforeValidator(plain_number)]
Number = Annotated[float, BeforeValidator(plain_number)]
SystemName = Annotated[str, AfterValidator(plants.canonical)]
Systems = Annotated[
    Listed[str], Field(min_length=1), AfterValidator(_canonical_systems), AfterValidator(_distinct("system"))
]
TrainingTypes = Annotated[Listed[TrainingType], Field(min_length=1), AfterValidator(_distinct("training type"))]
ModelTypes = Annotated[Listed[ModelType], Field(min_length=1), AfterValidator(_distinct("model type"))]
Strategies = Annotated[Listed[Strategy], Field(min_length=1), AfterValidator(_distinct("strategy"))]
Metrics = Annotated[
    Listed[str], Field(min_length=1), AfterValidator(_known_metrics), AfterValidator(_distinct("metric"))
]
Retries = Annotated[dict[str, Annotated[Whole, Field(ge=0)]], AfterValidator(_known_classes)]
Groups = Annotated[tuple[Listed[str], ...], BeforeValidator(_as_groups)]


SET_BY_SEARCH = frozenset({"points"})
"""Fields of a specification that a search writes into plans; not for specification files."""


class Search(BaseModel):
    """Adaptive search: which configurations are run depends on earlier results."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sampler: Literal["tpe", "gp", "random"] = "tpe"
    """Sampler of Optuna: tree-structured Parzen estimator, Gaussian process, or random points."""
    trials: Whole = Field(ge=1, le=10_000)
    """Configurations to run."""
    batch: Whole = Field(default=4, ge=1, le=1000)
    """Trials that are proposed together, from the results of all earlier batches."""
    confirm_top: Whole = Field(default=0, ge=0, le=100)
    """Best trials that are run again with new seeds at the end; 0: none."""
    confirm_seeds: Whole = Field(default=5, ge=1, le=1000)
    """New seeds of each."""
    reused: Whole = Field(default=0, ge=0)
    """Configurations of the workspace that were finished before the search and were told to it; set by the search."""


class Range(BaseModel):
    """Range from which a parameter is sampled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: Number = Field(allow_inf_nan=False)
    """Lower limit."""
    max: Number = Field(allow_inf_nan=False)
    """Upper limit."""
    scale: Literal["linear", "log"] = "linear"
    """Whether values are uniform on a linear or a logarithmic scale."""
    whole: bool = False
    """Whether values are rounded to integers; set from the type of the parameter."""

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.min >= self.max:
            raise ValueError(f"min must be smaller than max (got {self.min}, {self.max}). Swap them")
        if self.scale == "log" and self.min <= 0:
            raise ValueError(f"a log-scale range needs a positive lower bound (got {self.min}). Raise min")
        return self
