"""Experiment specifications: one frozen, strict class per experiment type, and their union.

Code that needs a field of one type narrows by class. Parameter names and values are checked where they are resolved, in
`parameters`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from setpoint.errors import InputError, collect
from setpoint.experiments.planning.spec_fields import (
    CONTROLLED,
    LARGEST_SEED,
    METRICS,
    STRATEGIES,
    USUAL_STRATEGIES,
    Design,
    Evaluation,
    Groups,
    Listed,
    Margin,
    Match,
    Metrics,
    ModelTypes,
    Range,
    Retries,
    Search,
    Strategies,
    SystemName,
    Systems,
    TrainingType,
    TrainingTypes,
    Whole,
)
from setpoint.experiments.planning.spec_findings import input_errors
from setpoint.problems import MOST_CASES
from setpoint.records.margin import margin_of
from setpoint.records.plan import Plan, Value
from setpoint.yaml_files import read_table

DEFAULT_TYPE = "hyperparameter_sweep"


class _Spec(BaseModel):
    """Fields of every experiment type."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    datasets: Listed[str] = ()
    """Datasets, in the order of the systems."""
    dataset_name: str | None = None
    """One dataset that contains all systems."""
    fixed: dict[str, Value] = {}
    """Parameters set to the same value in every run, in place of the preset's."""
    metrics: Metrics = ("final_error",)
    """Metrics to report; the first is the primary metric."""
    evaluation: Evaluation = "standard"
    """Evaluation protocol: see `setpoint.evaluation.EvaluationConfig.named`."""
    evaluation_cases: Whole | None = Field(default=None, ge=1, le=MOST_CASES)
    """Number of test cases (initial states) per evaluation."""
    base_model: str = "builtin:tiny"
    """Base model: a built-in one, a model folder, or a Hugging Face Hub id."""
    expert: Literal["optimal", "detuned"] = "optimal"
    """Source of the demonstrations."""
    seed: Whole = Field(default=0, ge=0, le=LARGEST_SEED)
    """Seed of the first replicate."""
    retries: Retries = {}
    """Failure class -> number of retries, in place of the default; does not affect results."""

    _always: ClassVar[frozenset[str]] = frozenset({"type"})
    """Fields that are part of the identity even at their default values."""

    @model_validator(mode="after")
    def _one_way_to_name_data(self) -> "_Spec":
        if self.datasets and self.dataset_name is not None:
            raise InputError("`datasets` and `dataset_name` cannot be combined. Remove one.")
        return self

    def identity(self) -> dict[str, Any]:
        """Return the specification as JSON values, without defaults and fields that do not affect results.

        Its digest names an experiment without an explicit id.
        """
        given = self.model_dump(mode="json", exclude={"retries"}, exclude_defaults=True)
        return given | self.model_dump(mode="json", include=set(self._always))


class _SpecOfSystems(_Spec):
    """An experiment type with one list of systems."""

    systems: Systems
    """Systems, by full or short name."""

    @model_validator(mode="after")
    def _data_for_every_system(self) -> "_SpecOfSystems":
        _require_data(self.datasets, self.systems)
        return self


class _SpecOfDesign(_Spec):
    """An experiment type that can sweep parameters and replicate runs."""

    parameters: dict[str, Listed[Value]] = {}
    """Swept parameter -> its values."""
    ranges: dict[str, Range] = {}
    """Parameter -> range to sample from, in a random or Sobol design."""
    zipped: Groups = ()
    """Groups of swept parameters that vary together, value by value."""
    conditions: dict[str, dict[str, Listed[Value]]] = {}
    """Swept parameter -> conditions under which it is swept: another parameter, or `training_type` -> its values."""
    design: Design = "full"
    """Combinations to run: the full factorial, a regular fraction, or random or Sobol points."""
    configurations: Whole | None = Field(default=None, ge=1, le=100_000)
    """Number of sampled points; upper limit for fractional designs."""
    replicates: Whole = Field(default=1, ge=1, le=1000)
    """Runs per configuration, each with a different seed."""
    trend: Listed[str] = ()
    """Numeric parameters to test for a linear and a curved trend instead of for any difference of their levels."""
    equivalence: Margin | None = None
    """Largest difference between two levels or arms that does not matter: `5%` for metrics on a log scale, a number in
    units of the metric for rates. Without it, equivalence is not tested."""

    @model_validator(mode="after")
    def _margin_fits_the_metric(self) -> "_SpecOfDesign":
        if self.equivalence is not None:
            margin_of(self.equivalence, logarithmic=METRICS[self.metrics[0]] == "log")
        return self


class SweepSpec(_SpecOfDesign, _SpecOfSystems):
    """Every combination of system, training type and swept values."""

    type: Literal["hyperparameter_sweep"] = "hyperparameter_sweep"
    """The experiment type."""
    training_types: TrainingTypes = ("both",)
    """Training stages: SFT, GRPO, or SFT followed by GRPO, by DAgger, or by DAgger and GRPO."""
    only: tuple[dict[str, Value], ...] = ()
    """Configurations to run, identified by factor levels; if empty, all combinations."""
    confirms: str | None = None
    """Experiment whose results selected `only`."""
    search: Search | None = None
    """Search the space of the swept values, in place of a design. Ranges need no sampled design then."""
    points: tuple[dict[str, Value], ...] = ()
    """Configurations that a search has proposed so far, in their order; not for specification files."""

    _always: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="after")
    def _searchable(self) -> "SweepSpec":
        if self.search is None:
            return self
        for name, values in (("system", self.systems), ("training type", self.training_types)):
            if len(values) > 1:
                raise InputError(f"a search takes one {name}, got {', '.join(values)}. Start one search for each.")
        if self.design != "full" or self.configurations is not None or self.only:
            raise InputError("a search chooses its own points. Remove --design and --configurations.")
        return self

    def identity(self) -> dict[str, Any]:
        """Return the identity; the points of a search follow from it and from results."""
        given = super().identity()
        if self.search is not None:
            given.pop("points", None)
            given["search"] = self.search.model_dump(mode="json", exclude={"reused"})
        return given


class CrossSystemSpec(_SpecOfDesign, _SpecOfSystems):
    """One specialist per system, compared with one universal model for all systems."""

    type: Literal["cross_system"] = "cross_system"
    """The experiment type."""
    training_types: TrainingTypes = ("both",)
    """Training stages: SFT, GRPO, or SFT followed by GRPO, by DAgger, or by DAgger and GRPO."""
    model_types: ModelTypes = ("specialist", "universal")
    """Model types to compare."""
    match: Match = "per_system"
    """Whether a universal model trains for as many steps per system as a specialist, or for as many in total."""

    _always: ClassVar[frozenset[str]] = frozenset({"type", "model_types"})

    @model_validator(mode="after")
    def _systems_to_share(self) -> "CrossSystemSpec":
        if "universal" in self.model_types and len(self.systems) < 2:
            raise InputError(
                f"a universal model needs at least two systems, got {', '.join(self.systems)}. Add a system to "
                "--systems, or set --model-types specialist."
            )
        return self


class AblationSpec(_SpecOfDesign, _SpecOfSystems):
    """Training strategies compared on each system."""

    type: Literal["training_ablation"] = "training_ablation"
    """The experiment type."""
    strategies: Strategies = USUAL_STRATEGIES
    """Strategies to compare."""
    equal_compute_control: bool = False
    """Whether to add an SFT-only control with the compute of each strategy that continues after SFT."""

    _always: ClassVar[frozenset[str]] = frozenset({"type", "strategies"})

    @model_validator(mode="after")
    def _control_has_a_counterpart(self) -> "AblationSpec":
        if self.equal_compute_control and not set(CONTROLLED) & set(self.strategies):
            raise InputError(
                f"`equal_compute_control` needs a strategy as its counterpart: {' or '.join(CONTROLLED)}. Add it to "
                "--strategies."
            )
        return self

    @property
    def training_types(self) -> tuple[TrainingType, ...]:
        """Training types of the strategies."""
        return tuple(dict.fromkeys(STRATEGIES[name] for name in self.strategies))

    def identity(self) -> dict[str, Any]:
        """Return the identity; as in the other types it includes training types that differ from the default `both`."""
        trained = list(self.training_types)
        return super().identity() | ({} if trained == ["both"] else {"training_types": trained})


class TransferSpec(_SpecOfDesign):
    """Source models, and on each target training from them and from the base."""

    type: Literal["transfer_learning"] = "transfer_learning"
    """The experiment type."""
    training_types: TrainingTypes = ("both",)
    """Training stages: SFT, GRPO, or SFT followed by GRPO, by DAgger, or by DAgger and GRPO."""
    source_system: SystemName
    """System of the source models."""
    target_systems: Systems
    """Systems to transfer to."""
    base_models: Literal["source", "all_available"] = "source"
    """Starting points of a transfer besides the base: the trained source, or also every finished adapter."""

    @model_validator(mode="after")
    def _targets_are_new(self) -> "TransferSpec":
        if self.source_system in self.target_systems:
            raise InputError(f"source system {self.source_system} is also a target. Remove it from the targets.")
        _require_data(self.datasets, self.systems)
        return self

    @property
    def systems(self) -> tuple[str, ...]:
        """All systems, source first."""
        return (self.source_system, *self.target_systems)

    def identity(self) -> dict[str, Any]:
        """Return the identity; as in the other types it includes the systems."""
        return super().identity() | {"systems": list(self.systems)}


class SingleSpec(_SpecOfSystems):
    """One training run. With several systems its model is universal."""

    type: Literal["single"] = "single"
    """The experiment type."""
    training_types: TrainingTypes = ("both",)
    """Training stages: SFT, GRPO, or SFT followed by GRPO, by DAgger, or by DAgger and GRPO; `single` takes one."""
    match: Match = "per_system"
    """Whether a universal model trains for as many steps per system as a specialist, or for as many in total."""
    start_from: str | None = None
    """Training stage, as `kind/id`, whose adapter is trained further."""

    @model_validator(mode="after")
    def _one_training(self) -> "SingleSpec":
        if len(self.training_types) != 1:
            raise InputError(f"a single run takes one training type, got {', '.join(self.training_types)}. Keep one.")
        return self


SweptSpec = SweepSpec | CrossSystemSpec | AblationSpec | TransferSpec
"""Specifications with a design."""
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
            f"`datasets` needs one entry per system, got {len(datasets)} for {len(systems)} systems. Name one per "
            "system, or set `dataset_name` to a dataset that contains all of them."
        )


def make_spec(fields: Mapping[str, Any]) -> ExperimentSpec:
    """Return the specification with these fields; the default `type` is a sweep.

    Raises:
        InputError: all errors in the fields.
    """
    try:
        return _ADAPTER.validate_python({"type": DEFAULT_TYPE, **fields})
    except ValidationError as error:
        collect(input_errors(error, SPECS))
        raise


def planned_spec(plan: Plan) -> ExperimentSpec:
    """Return the specification from which `plan` was built.

    Raises:
        InputError: it refers to something that is not installed here, such as a system of a plug-in.
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
            f"cannot use experiment {plan.experiment!r} here: {cause} If a plug-in provides it, install the plug-in."
        ) from error


def read_spec_file(path: Path) -> dict[str, Any]:
    """Return the fields of a YAML specification.

    Raises:
        InputError: the file cannot be read, or has no fields.
    """
    fields = read_table(path, "systems: [double_integrator]")
    if not fields:
        raise InputError(f"{str(path)!r} is empty. Add specification fields such as 'systems: [double_integrator]'.")
    return fields
