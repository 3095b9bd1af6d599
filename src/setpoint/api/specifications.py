"""Experiment specifications as Python objects: one class per experiment type, fully checked by `plan`.

The fields are those of a specification file. Each class names the main fields; all others can be given as keywords.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from setpoint import plants
from setpoint.api.experiment import Experiment
from setpoint.api.html import html_table
from setpoint.artifacts import Workspace
from setpoint.errors import InputError
from setpoint.experiments.planning.canonical import checked_spec
from setpoint.experiments.planning.single_run import single_spec
from setpoint.experiments.planning.spec import ExperimentSpec
from setpoint.experiments.request import make_request
from setpoint.records.plan import Value


class Specification:
    """Specification of an experiment; `plan` checks it and returns the experiment.

    Attributes:
        fields: fields of the specification, as in a YAML file.
    """

    def __init__(self, **fields: Any) -> None:
        """Store the fields; `plan` checks them."""
        self.fields = {name: value for name, value in fields.items() if value is not None}

    def spec(self) -> ExperimentSpec:
        """Return the canonical specification.

        Raises:
            InputError: with one line for each invalid field.
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
        """Return a new experiment in this workspace, or the existing one with the same specification.

        Nothing is written until it runs.

        Args:
            workspace: folder for datasets, stages and experiments; created when the experiment runs.
            experiment_id: name of the experiment; default: the type and a digest of the specification.
            fresh: start a new experiment even if the same one exists.
            accept_changes: if the id belongs to another specification, start a new experiment that follows it.

        Raises:
            InputError: the specification is invalid, or the id belongs to another one.
        """
        spec = self.spec()
        local = sorted({*spec.systems} & {*plants.registered_names()})
        if local:
            raise InputError(
                f"{', '.join(local)} is registered in this process only, but training runs in other processes. Install "
                "the plant as a plug-in (entry-point group `setpoint.systems`)."
            )
        request = make_request(
            Workspace(Path(workspace)),
            spec,
            experiment_id=experiment_id,
            fresh=fresh,
            accept_changes=accept_changes,
        )
        return Experiment(request, accept_changes=accept_changes)

    def __repr__(self) -> str:
        """Return the class with its fields."""
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
            parameters: name -> values; the reference of parameters lists the names.
            training_types: `sft`, `grpo`, `both` (default), `dagger` or `dagger_grpo`.
            replicates: training seeds of every configuration (default 1).
            fields: other fields of the specification, such as `fixed`, `design` or `evaluation_cases`.
        """
        super().__init__(
            systems=systems, parameters=parameters, training_types=training_types, replicates=replicates, **fields
        )


class CrossSystem(Specification):
    """Comparison of specialists, one per system, with a universal model of all systems."""

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
            training_types: `sft`, `grpo`, `both` (default), `dagger` or `dagger_grpo`.
            replicates: training seeds of every model (default 1).
            fields: other fields of the specification.
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
    """Comparison of training strategies: SFT, SFT then GRPO, GRPO from scratch, and DAgger."""

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
            strategies: `sft_only`, `sft_then_grpo`, `grpo_from_scratch` (default: these), `sft_then_dagger`,
                `dagger_then_grpo`.
            replicates: training seeds of every strategy (default 1).
            fields: other fields of the specification, such as `equal_compute_control=True`.
        """
        super().__init__(
            type="training_ablation", systems=systems, strategies=strategies, replicates=replicates, **fields
        )


class Transfer(Specification):
    """Transfer learning: training on target systems from the base and from an adapter of a source system."""

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
            base_models: models to start from; `all_available` for the base and every finished adapter of the source.
            replicates: training seeds of every arm (default 1).
            fields: other fields of the specification.
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
    """Training of one model, as an experiment with one run. With several systems, the model is universal."""

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
            training_type: `sft`, `grpo`, `both`, `dagger` or `dagger_grpo`.
            parameters: name -> value, such as `{"lora_rank": 8}`.
            fields: other fields of the specification, such as `seed`, `dataset_name` or `start_from`.
        """
        super().__init__(systems=systems, training_type=training_type, parameters=parameters, **fields)

    def spec(self) -> ExperimentSpec:
        """Return the canonical specification.

        Raises:
            InputError: with one line for each invalid field.
        """
        fields = dict(self.fields)
        systems = fields.pop("systems")
        listed = (systems,) if isinstance(systems, str) else tuple(systems)
        return single_spec(listed, fields.pop("training_type"), parameters=fields.pop("parameters", None), **fields)
