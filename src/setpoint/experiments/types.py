"""Experiment types: functions from a specification to a list of runs, nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from setpoint.errors import InputError, unknown_name
from setpoint.experiments.parameters import find
from setpoint.experiments.spec import ExperimentSpec, TrainingType, Value


@dataclass(frozen=True, slots=True)
class RunDesign:
    """What one run trains, before its parameters are resolved.

    Attributes:
        configuration: runs with the same number are replicates of each other.
        factors: what distinguishes its configuration from others; canonical parameter name -> value.
    """

    configuration: int
    replicate: int
    model_type: str
    systems: tuple[str, ...]
    training_type: TrainingType
    factors: dict[str, Value]


def hyperparameter_sweep(spec: ExperimentSpec) -> list[RunDesign]:
    """Every combination of system, training type and swept values, each `replicates` times.

    A parameter that a training type does not read is no axis of it, so that no two configurations are the same.
    """
    runs = []
    configuration = 0
    for system, training_type in product(spec.systems, spec.training_types):
        axes = {name: values for name, values in spec.parameters.items() if find(name).places_in(training_type)}
        for values in product(*axes.values()):
            factors = dict(zip(axes, values, strict=True))
            runs += [
                RunDesign(configuration, replicate, "specialist", (system,), training_type, factors)
                for replicate in range(spec.replicates)
            ]
            configuration += 1
    return runs


def single(spec: ExperimentSpec) -> list[RunDesign]:
    """One run: training a model is the smallest experiment."""
    _require_one("system", spec.systems)
    _require_one("training type", spec.training_types)
    if spec.parameters or spec.replicates != 1:
        raise InputError("a single run sweeps nothing and has one replicate. Use type 'hyperparameter_sweep' instead.")
    return [RunDesign(0, 0, "specialist", spec.systems, spec.training_types[0], {})]


TYPES: dict[str, Callable[[ExperimentSpec], list[RunDesign]]] = {
    "hyperparameter_sweep": hyperparameter_sweep,
    "single": single,
}
_NOT_AVAILABLE_YET = ("cross_system", "training_ablation", "transfer_learning")


def design_runs(spec: ExperimentSpec) -> list[RunDesign]:
    """The runs of `spec`, by its type.

    Raises:
        InputError: the type is unknown, not available yet, or does not go with the rest of the specification.
    """
    if spec.type in _NOT_AVAILABLE_YET:
        raise InputError(
            f"experiment type {spec.type!r} is not available yet. Available: {', '.join(TYPES)}; a sweep over several "
            "--systems or --training-types trains the same specialists."
        )
    if spec.type not in TYPES:
        raise unknown_name("experiment type", spec.type, TYPES)
    return TYPES[spec.type](spec)


def _require_one(kind: str, items: Sequence[str]) -> None:
    if len(items) != 1:
        raise InputError(f"a single run has one {kind}, but got {', '.join(items)}.")
