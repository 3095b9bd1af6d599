"""Experiment specifications as Python objects: one class per experiment type, fully checked by `plan`.

The fields are those of a specification file; a field that the type does not have is rejected at once.
"""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Required, TypedDict, Unpack, get_type_hints

from setpoint import plants
from setpoint.api.experiment import Experiment
from setpoint.arguments import require_flag, require_path, require_text
from setpoint.artifacts import Workspace
from setpoint.display import html_table
from setpoint.errors import InputError, collect, unknown_name
from setpoint.experiments.planning.canonical import checked_spec
from setpoint.experiments.planning.single_run import single_fields
from setpoint.experiments.planning.spec import SPECS, ExperimentSpec, SingleSpec, SweepSpec
from setpoint.experiments.planning.spec_fields import Design, Evaluation, Match, ModelType, Strategy, TrainingType
from setpoint.experiments.planning.start_adapters import named_adapter
from setpoint.experiments.request import Request, make_request
from setpoint.experiments.running.status import require_plan
from setpoint.formatting import listed
from setpoint.records.plan import Value

Texts = str | Sequence[str]
"""One text, or several."""
Ranges = Mapping[str, Mapping[str, float | str]]
Conditions = Mapping[str, Mapping[str, Value | Sequence[Value]]]


class _Fields(TypedDict, total=False):
    """Fields of every type."""

    datasets: Texts
    dataset_name: str | None
    metrics: Texts
    evaluation: Evaluation
    evaluation_cases: int | None
    base_model: str
    expert: Literal["optimal", "detuned"]
    seed: int
    retries: Mapping[str, int]


class _DesignFields(_Fields, total=False):
    """Fields of every type with a design."""

    fixed: Mapping[str, Value]
    parameters: Mapping[str, Value | Sequence[Value]]
    ranges: Ranges
    zipped: Sequence[str] | Sequence[Sequence[str]]
    conditions: Conditions
    design: Design
    configurations: int | None
    replicates: int
    trend: Texts
    equivalence: str | float | None


class SweepFields(_DesignFields, total=False):
    """Fields of `Sweep`."""

    systems: Required[Texts]
    training_types: TrainingType | Sequence[TrainingType]
    only: Sequence[Mapping[str, Value]]
    confirms: str | None
    search: Mapping[str, Value] | None


class CrossSystemFields(_DesignFields, total=False):
    """Fields of `CrossSystem`."""

    systems: Required[Sequence[str]]
    training_types: TrainingType | Sequence[TrainingType]
    model_types: ModelType | Sequence[ModelType]
    match: Match


class AblationFields(_DesignFields, total=False):
    """Fields of `Ablation`."""

    systems: Required[Texts]
    strategies: Strategy | Sequence[Strategy]
    equal_compute_control: bool


class TransferFields(_DesignFields, total=False):
    """Fields of `Transfer`."""

    source_system: Required[str]
    target_systems: Required[Texts]
    training_types: TrainingType | Sequence[TrainingType]
    base_models: Literal["source", "all_available"]


class TrainFields(_Fields, total=False):
    """Fields of `Train`."""

    systems: Required[Texts]
    training_type: TrainingType
    parameters: Mapping[str, Value]
    match: Match
    start_from: str | None


class Specification:
    """Specification of an experiment; `plan` checks it and returns the experiment.

    Attributes:
        experiment_type: the type, as in a YAML file.
        fields: other fields of the specification, as in a YAML file.
    """

    experiment_type: ClassVar[str]
    __signature__: ClassVar[inspect.Signature]
    _takes: ClassVar[type[Any]]

    def __init_subclass__(cls) -> None:
        """Show the fields in the signature of the class."""
        defaults = {"training_type": "both", "parameters": {}}
        defaults |= {name: field.get_default() for name, field in SPECS[cls.experiment_type].model_fields.items()}
        defaults |= dict.fromkeys(cls._takes.__required_keys__, inspect.Parameter.empty)
        cls.__signature__ = inspect.Signature(
            [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=defaults[name])
                for name, hint in get_type_hints(cls._takes).items()
            ]
        )

    def __init__(self, **fields: Any) -> None:
        """Store the fields.

        Raises:
            InputError: a field is unknown or missing.
        """
        known, required = self._takes.__annotations__, self._takes.__required_keys__
        wrong = [self._unknown(name) for name in fields if name not in known]
        wrong += [InputError(f"{type(self).__name__} needs `{name}`.") for name in sorted(required - {*fields})]
        collect(wrong)
        self.fields = fields

    def _unknown(self, name: str) -> InputError:
        here = type(self).__name__
        owners = [kind.__name__ for kind in Specification.__subclasses__() if name in kind._takes.__annotations__]
        if owners:
            return InputError(f"`{name}` is a field of {listed(owners)}, not of {here}. Remove it.")
        return unknown_name(f"field of {here}", name, self._takes.__annotations__)

    def spec(self) -> ExperimentSpec:
        """Return the canonical specification.

        Raises:
            InputError: with one line for each invalid field.
        """
        return checked_spec({"type": self.experiment_type, **self.fields})

    def plan(
        self,
        workspace: str | Path = ".",
        *,
        experiment_id: str | None = None,
        fresh: bool = False,
        accept_changes: bool = False,
    ) -> Experiment:
        """Return a new experiment in this workspace, or the existing one with the same specification.

        Nothing is written until it runs.

        Args:
            workspace: folder for datasets, stages and experiments; created when the experiment runs.
            experiment_id: name of the experiment; default: the type and a digest of the specification.
            fresh: start a new experiment even if the same one exists.
            accept_changes: if the id belongs to another specification, start a new experiment that follows it.

        Raises:
            InputError: the specification is invalid, the id belongs to another one, the workspace is a file, or the
                adapter or the experiment that the specification names does not exist.
        """
        root = Workspace(require_path(workspace, "workspace"))
        root.require_folder()
        spec = self.spec()
        local = sorted({*spec.systems} & {*plants.registered_names()})
        if local:
            raise InputError(
                f"{', '.join(local)} is registered in this process only, but training runs in other processes. Install "
                "the plant as a plug-in (entry-point group `setpoint.systems`)."
            )
        request = make_request(
            root,
            spec,
            experiment_id=None if experiment_id is None else require_text(experiment_id, "experiment_id"),
            fresh=require_flag(fresh, "fresh"),
            accept_changes=require_flag(accept_changes, "accept_changes"),
        )
        if request.existing is None:
            _require_sources(request)
        return Experiment(request, accept_changes=accept_changes)

    def __repr__(self) -> str:
        """Return the class with its fields."""
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.fields.items())})"

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, ("field", "value"), list(self.fields.items()))


def _require_sources(request: Request) -> None:
    """Check that the adapter to start from, or the sweep to confirm, is in the workspace.

    Raises:
        InputError: it is not.
    """
    match request.spec:
        case SingleSpec(start_from=str(place)):
            named_adapter(request.workspace, place, request.base)
        case SweepSpec(confirms=str(confirmed)):
            require_plan(request.workspace, confirmed)


class Sweep(Specification):
    """A hyperparameter sweep: every combination of the listed values, on every system.

    The main fields are `systems`, `parameters` (name -> values), `training_types` (`sft`, `grpo`, `both`, `dagger` or
    `dagger_grpo`; default: `both`) and `replicates` (training seeds per configuration). The reference of specification
    files explains all.

    >>> Sweep(systems=["double_integrator"], parameters={"lora_rank": [4, 8, 16]}, replicates=3)
    Sweep(systems=['double_integrator'], parameters={'lora_rank': [4, 8, 16]}, replicates=3)

    Raises:
        InputError: a field is unknown or missing.
    """

    experiment_type = "hyperparameter_sweep"
    _takes = SweepFields

    def __init__(self, **fields: Unpack[SweepFields]) -> None:
        """Describe the sweep."""
        super().__init__(**fields)


class CrossSystem(Specification):
    """Comparison of specialists, one per system, with a universal model of all systems.

    The main fields are `systems` (at least two), `model_types` (`specialist` and `universal`; default: both),
    `training_types` and `replicates`. The reference of specification files explains all.

    Raises:
        InputError: a field is unknown or missing.
    """

    experiment_type = "cross_system"
    _takes = CrossSystemFields

    def __init__(self, **fields: Unpack[CrossSystemFields]) -> None:
        """Describe the comparison."""
        super().__init__(**fields)


class Ablation(Specification):
    """Comparison of training strategies: SFT, SFT then GRPO, GRPO from scratch, and DAgger.

    The main fields are `systems`, `strategies` (by default `sft_only`, `sft_then_grpo`, `grpo_from_scratch`; also
    `sft_then_dagger`, `dagger_then_grpo`), `equal_compute_control` and `replicates`. The reference of specification
    files explains all.

    Raises:
        InputError: a field is unknown or missing.
    """

    experiment_type = "training_ablation"
    _takes = AblationFields

    def __init__(self, **fields: Unpack[AblationFields]) -> None:
        """Describe the ablation."""
        super().__init__(**fields)


class Transfer(Specification):
    """Transfer learning: training on target systems from the base and from an adapter of a source system.

    The main fields are `source_system`, `target_systems`, `base_models` (`source`, or `all_available` for every
    finished adapter of the source as well) and `replicates`. The reference of specification files explains all.

    Raises:
        InputError: a field is unknown or missing.
    """

    experiment_type = "transfer_learning"
    _takes = TransferFields

    def __init__(self, **fields: Unpack[TransferFields]) -> None:
        """Describe the study."""
        super().__init__(**fields)


class Train(Specification):
    """Training of one model, as an experiment with one run. With several systems, the model is universal.

    The main fields are `systems`, `training_type` (`sft`, `grpo`, `both`, the default, `dagger` or `dagger_grpo`),
    `parameters` (name -> value, such as `{"lora_rank": 8}`) and `seed`. The reference of specification files explains
    all.

    Raises:
        InputError: a field is unknown or missing.
    """

    experiment_type = "single"
    _takes = TrainFields

    def __init__(self, **fields: Unpack[TrainFields]) -> None:
        """Describe the run."""
        super().__init__(**fields)

    def spec(self) -> ExperimentSpec:
        """Return the canonical specification.

        Raises:
            InputError: with one line for each invalid field.
        """
        return checked_spec(single_fields(**self.fields))
