"""What a user asks for: one frozen, strict class of specification for each experiment type, and their union.

Code that needs a field of one type narrows by the class. Parameter names and values are checked where they are
resolved, in `parameters`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from setpoint.errors import InputError, collect
from setpoint.experiments.planning.spec_fields import (
    LARGEST_SEED,
    STRATEGIES,
    Design,
    Evaluation,
    Groups,
    Listed,
    Match,
    Metrics,
    ModelTypes,
    Range,
    Retries,
    Strategies,
    SystemName,
    Systems,
    TrainingType,
    TrainingTypes,
    Whole,
)
from setpoint.experiments.planning.spec_findings import input_errors
from setpoint.problems import MOST_CASES
from setpoint.records.plan import Plan, Value
from setpoint.yaml_files import read_table

DEFAULT_TYPE = "hyperparameter_sweep"


class _Spec(BaseModel):
    """What every type has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    datasets: Listed[str] = ()
    """Data sets by position with the systems."""
    dataset_name: str | None = None
    """One data set that holds every system."""
    fixed: dict[str, Value] = {}
    """Parameters with another value than the preset's, the same in every run."""
    metrics: Metrics = ("final_error",)
    """The first is primary."""
    evaluation: Evaluation = "standard"
    """How much is evaluated: see `setpoint.evaluation.EvaluationConfig.named`."""
    evaluation_cases: Whole | None = Field(default=None, ge=1, le=MOST_CASES)
    """Initial states to evaluate on."""
    base_model: str = "builtin:tiny"
    """A built-in base, a folder with a model, or a model id of the hub."""
    expert: Literal["optimal", "detuned"] = "optimal"
    """Source of the demonstrations."""
    seed: Whole = Field(default=0, ge=0, le=LARGEST_SEED)
    """Of the first replicate."""
    retries: Retries = {}
    """Failure class -> how often a stage is retried, where that is not as usual; changes no result."""

    _always: ClassVar[frozenset[str]] = frozenset({"type"})
    """Fields that belong to the identity even where they have their default values."""

    @model_validator(mode="after")
    def _one_way_to_name_data(self) -> "_Spec":
        if self.datasets and self.dataset_name is not None:
            raise InputError("`datasets` and `dataset_name` exclude each other. Give one of them.")
        return self

    def identity(self) -> dict[str, Any]:
        """What the specification says, as plain JSON values; what changes no result and defaults stay out.

        An experiment that was given no name is named by the digest of this.
        """
        given = self.model_dump(mode="json", exclude={"retries"}, exclude_defaults=True)
        return given | self.model_dump(mode="json", include=set(self._always))


class _SpecOfSystems(_Spec):
    """A type whose systems are named by one list."""

    systems: Systems
    """By full or short name."""

    @model_validator(mode="after")
    def _data_for_every_system(self) -> "_SpecOfSystems":
        _require_data(self.datasets, self.systems)
        return self


class _SpecOfDesign(_Spec):
    """A type that may sweep parameters and repeats seeds."""

    parameters: dict[str, Listed[Value]] = {}
    """Swept parameter -> its values."""
    ranges: dict[str, Range] = {}
    """Parameter -> the range it is drawn from, in a design that draws points."""
    zipped: Groups = ()
    """Swept parameters that vary together, value by value."""
    conditions: dict[str, dict[str, Listed[Value]]] = {}
    """Swept parameter -> what must hold where it is swept: another parameter, or `training_type` -> its values."""
    design: Design = "full"
    """Which combinations are run: all, a balanced fraction, or points drawn at random or from a Sobol sequence."""
    configurations: Whole | None = Field(default=None, ge=1, le=100_000)
    """Number of sampled points; upper limit for fractional designs."""
    replicates: Whole = Field(default=1, ge=1, le=1000)
    """Runs of each configuration, with seeds of their own."""


class SweepSpec(_SpecOfDesign, _SpecOfSystems):
    """Every combination of system, training type and swept values."""

    type: Literal["hyperparameter_sweep"] = "hyperparameter_sweep"
    """The experiment type."""
    training_types: TrainingTypes = ("both",)
    """What is trained: SFT, GRPO, or both in this order."""
    only: tuple[dict[str, Value], ...] = ()
    """The configurations that are run, by what tells them apart; all combinations where it is empty."""
    confirms: str | None = None
    """The experiment whose results chose `only`."""

    _always: ClassVar[frozenset[str]] = frozenset()


class CrossSystemSpec(_SpecOfDesign, _SpecOfSystems):
    """A specialist for each system beside one universal model for all of them."""

    type: Literal["cross_system"] = "cross_system"
    """The experiment type."""
    training_types: TrainingTypes = ("both",)
    """What is trained: SFT, GRPO, or both in this order."""
    model_types: ModelTypes = ("specialist", "universal")
    """Which models are compared."""
    match: Match = "per_system"
    """Whether a universal model gets as many steps for each system as a specialist has, or as many in total."""

    _always: ClassVar[frozenset[str]] = frozenset({"type", "model_types"})

    @model_validator(mode="after")
    def _systems_to_share(self) -> "CrossSystemSpec":
        if "universal" in self.model_types and len(self.systems) < 2:
            raise InputError(
                f"a universal model needs at least two systems, got {', '.join(self.systems)}. Add to --systems, or "
                "set --model-types specialist."
            )
        return self


class AblationSpec(_SpecOfDesign, _SpecOfSystems):
    """Training strategies compared on each system."""

    type: Literal["training_ablation"] = "training_ablation"
    """The experiment type."""
    strategies: Strategies = tuple(STRATEGIES)
    """Which strategies are compared."""
    equal_compute_control: bool = False
    """Whether to train SFT alone as well, for the compute of SFT and GRPO together."""

    _always: ClassVar[frozenset[str]] = frozenset({"type", "strategies"})

    @model_validator(mode="after")
    def _control_has_a_counterpart(self) -> "AblationSpec":
        if self.equal_compute_control and "sft_then_grpo" not in self.strategies:
            raise InputError(
                "`equal_compute_control` is compared with sft_then_grpo, which is missing. Add it to --strategies."
            )
        return self

    @property
    def training_types(self) -> tuple[TrainingType, ...]:
        """Those of the strategies."""
        return tuple(dict.fromkeys(STRATEGIES[name] for name in self.strategies))

    def identity(self) -> dict[str, Any]:
        """See the base; the training types are in it as in every other type, by which `both` is the default."""
        trained = list(self.training_types)
        return super().identity() | ({} if trained == ["both"] else {"training_types": trained})


class TransferSpec(_SpecOfDesign):
    """A source model, and on each target training from it and from the base."""

    type: Literal["transfer_learning"] = "transfer_learning"
    """The experiment type."""
    training_types: TrainingTypes = ("both",)
    """What is trained: SFT, GRPO, or both in this order."""
    source_system: SystemName
    """The system of the source models."""
    target_systems: Systems
    """The systems that they are adapted to."""
    base_models: Literal["source", "all_available"] = "source"
    """What a transfer starts from besides the base: the source model it trains, or every finished adapter as well."""

    @model_validator(mode="after")
    def _targets_are_new(self) -> "TransferSpec":
        if self.source_system in self.target_systems:
            raise InputError(f"the source {self.source_system} is repeated as a target. Remove it from the targets.")
        _require_data(self.datasets, self.systems)
        return self

    @property
    def systems(self) -> tuple[str, ...]:
        """The source first."""
        return (self.source_system, *self.target_systems)

    def identity(self) -> dict[str, Any]:
        """See the base; the systems are in it as in every other type."""
        return super().identity() | {"systems": list(self.systems)}


class SingleSpec(_SpecOfSystems):
    """One run: training a model is the smallest experiment. Several systems make it universal."""

    type: Literal["single"] = "single"
    """The experiment type."""
    training_types: TrainingTypes = ("both",)
    """What is trained: SFT, GRPO, or both in this order; exactly one."""
    match: Match = "per_system"
    """Whether a universal model gets as many steps for each system as a specialist has, or as many in total."""
    start_from: str | None = None
    """The training stage, as `kind/id`, whose adapter is trained further."""

    @model_validator(mode="after")
    def _one_training(self) -> "SingleSpec":
        if len(self.training_types) != 1:
            raise InputError(f"a single run has one training type, got {', '.join(self.training_types)}. Give one.")
        return self


SweptSpec = SweepSpec | CrossSystemSpec | AblationSpec | TransferSpec
"""A specification with a design."""
ExperimentSpec = Annotated[SweptSpec | SingleSpec, Field(discriminator="type")]

SPECS: dict[str, type[SweptSpec | SingleSpec]] = {
    "hyperparameter_sweep": SweepSpec,
    "cross_system": CrossSystemSpec,
    "training_ablation": AblationSpec,
    "transfer_learning": TransferSpec,
    "single": SingleSpec,
}
"""Experiment type -> its class."""

_ADAPTER: TypeAdapter[ExperimentSpec] = TypeAdapter(ExperimentSpec)


def _require_data(datasets: Sequence[str], systems: Sequence[str]) -> None:
    if datasets and len(datasets) != len(systems):
        raise InputError(
            f"`datasets` go by position with the systems, but there are {len(datasets)} for {len(systems)}. Name one "
            "for each system, or one that holds them all with `dataset_name`."
        )


def make_spec(fields: Mapping[str, Any]) -> ExperimentSpec:
    """The specification with these fields; without a `type`, a sweep.

    Raises:
        InputError: everything that is wrong with them, at once.
    """
    try:
        return _ADAPTER.validate_python({"type": DEFAULT_TYPE, **fields})
    except ValidationError as error:
        collect(input_errors(error, SPECS))
        raise


def planned_spec(plan: Plan) -> ExperimentSpec:
    """The specification that `plan` was made from.

    Raises:
        InputError: it names something that is not here, such as a system of a plug-in.
    """
    try:
        return _ADAPTER.validate_python(plan.spec)
    except ValidationError as error:
        causes = [detail.get("ctx", {}).get("error") for detail in error.errors()]
        cause = next((cause for cause in causes if isinstance(cause, InputError)), None)
        if cause is None:
            raise InputError(
                f"the specification of experiment {plan.experiment!r} is damaged. Start a new experiment with --fresh; "
                "finished stages are reused."
            ) from error
        raise InputError(
            f"cannot use experiment {plan.experiment!r} here: {cause} If it came with a plug-in, install that."
        ) from error


def read_spec_file(path: Path) -> dict[str, Any]:
    """The fields in a YAML file.

    Raises:
        InputError: it cannot be read, or has no fields.
    """
    fields = read_table(path, "systems: [double_integrator]")
    if not fields:
        raise InputError(f"{str(path)!r} is empty. Add specification fields such as 'systems: [double_integrator]'.")
    return fields


def needs_compute_ratio(spec: ExperimentSpec) -> bool:
    """Whether the steps of a run follow from what SFT and GRPO are measured to cost."""
    return isinstance(spec, AblationSpec) and spec.equal_compute_control
