"""Experiments as Python objects: one class for each type, checked in full when it is planned.

The fields are those of a specification file. Each class names the fields that matter most; any other field of the
specification may be given by keyword too.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from setpoint.api.experiment import Experiment
from setpoint.api.html import html_table
from setpoint.artifacts import Workspace
from setpoint.experiments.planning.canonical import checked_spec
from setpoint.experiments.planning.single_run import single_spec
from setpoint.experiments.planning.spec import ExperimentSpec
from setpoint.experiments.request import make_request
from setpoint.records.plan import Value


class Specification:
    """What is asked of an experiment; `plan` checks it and gives the experiment.

    Attributes:
        fields: of the specification, as in a YAML file.
    """

    def __init__(self, **fields: Any) -> None:
        """Keep the fields; they are checked by `plan`."""
        self.fields = {name: value for name, value in fields.items() if value is not None}

    def spec(self) -> ExperimentSpec:
        """The canonical specification.

        Raises:
            InputError: everything that is wrong with the fields.
        """
        return checked_spec(self.fields)

    def plan(
        self,
        workspace: str | Path = ".",
        *,
        experiment_id: str | None = None,
        fresh: bool = False,
        accept_changes: bool = False,
    ) -> Experiment:
        """The experiment in this workspace: a new one, or the one that exists with the same specification.

        Nothing is written until it runs.

        Args:
            workspace: folder for data sets, stages and experiments; created when the experiment runs.
            experiment_id: its name; default: the type and a digest of the specification.
            fresh: start a new experiment even where the same one exists.
            accept_changes: where the id belongs to another specification, start one that follows it.

        Raises:
            InputError: the specification cannot be used, or the id belongs to another one.
        """
        request = make_request(
            Workspace(Path(workspace)),
            self.spec(),
            experiment_id=experiment_id,
            fresh=fresh,
            accept_changes=accept_changes,
        )
        return Experiment(request, accept_changes=accept_changes)

    def __repr__(self) -> str:
        """The class with its fields."""
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.fields.items())})"

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, ("field", "value"), list(self.fields.items()))


class Sweep(Specification):
    """A hyperparameter sweep: every combination of the listed values, on every system.

    >>> Sweep(systems=["double_integrator"], parameters={"lora_rank": [4, 8, 16]}, replicates=3)
    Sweep(systems=['double_integrator'], parameters={'lora_rank': [4, 8, 16]}, replicates=3)
    """

    def __init__(
        self,
        *,
        systems: str | Sequence[str],
        parameters: Mapping[str, Sequence[Value]] | None = None,
        training_types: str | Sequence[str] | None = None,
        replicates: int | None = None,
        **fields: Any,
    ) -> None:
        """Describe the sweep.

        Args:
            systems: full or short names.
            parameters: name -> values; `setpoint data show` and the reference list the names.
            training_types: `sft`, `grpo` or `both` (default).
            replicates: training seeds of every configuration (default 1).
            fields: further fields of a specification, such as `fixed`, `design` or `evaluation_cases`.
        """
        super().__init__(
            systems=systems, parameters=parameters, training_types=training_types, replicates=replicates, **fields
        )


class CrossSystem(Specification):
    """Specialists, one for each system, against a universal model of all of them."""

    def __init__(
        self,
        *,
        systems: Sequence[str],
        model_types: Sequence[str] | None = None,
        training_types: str | Sequence[str] | None = None,
        replicates: int | None = None,
        **fields: Any,
    ) -> None:
        """Describe the comparison.

        Args:
            systems: full or short names, at least two.
            model_types: `specialist` and `universal` (default: both).
            training_types: `sft`, `grpo` or `both` (default).
            replicates: training seeds of every model (default 1).
            fields: further fields of a specification.
        """
        super().__init__(
            type="cross_system",
            systems=systems,
            model_types=model_types,
            training_types=training_types,
            replicates=replicates,
            **fields,
        )


class Ablation(Specification):
    """Training strategies against each other: SFT, SFT then GRPO, GRPO from scratch."""

    def __init__(
        self,
        *,
        systems: str | Sequence[str],
        strategies: Sequence[str] | None = None,
        replicates: int | None = None,
        **fields: Any,
    ) -> None:
        """Describe the ablation.

        Args:
            systems: full or short names.
            strategies: `sft_only`, `sft_then_grpo`, `grpo_from_scratch` (default: all).
            replicates: training seeds of every strategy (default 1).
            fields: further fields of a specification, such as `equal_compute_control=True`.
        """
        super().__init__(
            type="training_ablation", systems=systems, strategies=strategies, replicates=replicates, **fields
        )


class Transfer(Specification):
    """Training on target systems from the base, and from an adapter of a source system."""

    def __init__(
        self,
        *,
        source_system: str,
        target_systems: str | Sequence[str],
        base_models: str | Sequence[str] | None = None,
        replicates: int | None = None,
        **fields: Any,
    ) -> None:
        """Describe the study.

        Args:
            source_system: full or short name.
            target_systems: full or short names.
            base_models: where training starts; `all_available` for the base and every finished adapter of the source.
            replicates: training seeds of every arm (default 1).
            fields: further fields of a specification.
        """
        super().__init__(
            type="transfer_learning",
            source_system=source_system,
            target_systems=target_systems,
            base_models=base_models,
            replicates=replicates,
            **fields,
        )


class Train(Specification):
    """One model: an experiment of one run. Several systems make it universal."""

    def __init__(
        self,
        *,
        systems: str | Sequence[str],
        training_type: str = "both",
        parameters: Mapping[str, Value] | None = None,
        **fields: Any,
    ) -> None:
        """Describe the run.

        Args:
            systems: full or short names.
            training_type: `sft`, `grpo` or `both`.
            parameters: name -> value, such as `{"lora_rank": 8}`.
            fields: further fields of a specification, such as `seed`, `dataset_name` or `start_from`.
        """
        super().__init__(systems=systems, training_type=training_type, parameters=parameters, **fields)

    def spec(self) -> ExperimentSpec:
        """The canonical specification.

        Raises:
            InputError: everything that is wrong with the fields.
        """
        fields = dict(self.fields)
        systems = fields.pop("systems")
        listed = (systems,) if isinstance(systems, str) else tuple(systems)
        return single_spec(listed, fields.pop("training_type"), parameters=fields.pop("parameters", None), **fields)
