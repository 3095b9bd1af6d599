"""Experiment types: pure functions from a specification to a list of runs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from setpoint.errors import InputError, legible
from setpoint.experiments.planning.designs import configurations, joint_levels
from setpoint.experiments.planning.parameters import find
from setpoint.experiments.planning.spec import (
    AblationSpec,
    CrossSystemSpec,
    ExperimentSpec,
    SingleSpec,
    SweepSpec,
    SweptSpec,
    TransferSpec,
)
from setpoint.experiments.planning.spec_fields import CONTROLLED, STRATEGIES, TrainingType
from setpoint.experiments.planning.start_adapters import Adapter
from setpoint.records.plan import Value

BASE = "base"
SOURCE = "source"
CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True)
class RunDesign:
    """Design of one run, before its parameters are resolved.

    Attributes:
        configuration: runs with the same number are replicates of each other.
        arms: factors that are not parameters, such as `strategy`.
        factors: swept parameters by canonical name.
        equal_compute: training type whose compute its SFT uses; None for other runs.
        source: index of the run whose adapter it trains further.
        adapter: existing adapter that it trains further.
        rewarded_with: systems that share its reward horizon; empty if it uses the default of its own systems.
    """

    configuration: int
    replicate: int
    model_type: str
    systems: tuple[str, ...]
    training_type: TrainingType
    arms: dict[str, Value] = field(default_factory=dict)
    factors: dict[str, Value] = field(default_factory=dict)
    equal_compute: TrainingType | None = None
    source: int | None = None
    adapter: Adapter | None = None
    rewarded_with: tuple[str, ...] = ()


def hyperparameter_sweep(spec: SweepSpec) -> list[RunDesign]:
    """Return every combination of system, training type and swept values, with all replicates."""
    designs = (
        RunDesign(0, 0, "specialist", (system,), training_type, _training_arm(spec, training_type), factors)
        for system, training_type in product(spec.systems, spec.training_types)
        for factors in configurations(spec, training_type)
    )
    return _replicated(spec, _only(spec, list(designs)) if spec.only else designs)


def _only(spec: SweepSpec, designs: Sequence[RunDesign]) -> Iterator[RunDesign]:
    """Yield the configurations selected by `spec.only`, each as one level of `candidate`: they form no factorial.

    Raises:
        InputError: an entry matches no configuration.
    """
    described = [
        {**run.arms, **run.factors, **joint_levels(spec, run.factors), "system": run.systems[0]} for run in designs
    ]
    chosen: dict[int, str] = {}
    for entry in spec.only:
        found = [k for k, levels in enumerate(described) if entry.items() <= levels.items()]
        if not found:
            text = ", ".join(f"{name}={value}" for name, value in entry.items())
            raise InputError(f"no configuration of the sweep has {legible(text)}. Use values from the sweep.")
        for k in found:
            levels = {**designs[k].arms, **designs[k].factors}
            chosen[k] = ", ".join(f"{name}={value}" for name, value in levels.items()) or "the only one"
    for k, label in chosen.items():
        yield replace(designs[k], arms={CANDIDATE: label, **designs[k].arms})


def cross_system(spec: CrossSystemSpec) -> list[RunDesign]:
    """Return one specialist per system and the universal models, which are one adapter for all systems.

    Both use the same reward horizon; otherwise model type and reward would be confounded.
    """
    models: list[tuple[str, tuple[str, ...]]] = []
    if "specialist" in spec.model_types:
        models += [("specialist", (system,)) for system in spec.systems]
    if "universal" in spec.model_types:
        models.append(("universal", spec.systems))
    runs: list[RunDesign] = []
    for (model_type, names), training_type in product(models, spec.training_types):
        arms = {"model_type": model_type, **_training_arm(spec, training_type)}
        for factors in configurations(spec, training_type):
            run = RunDesign(0, 0, model_type, names, training_type, arms, factors, rewarded_with=spec.systems)
            runs += _replicates(spec, runs, run)
    return runs


def training_ablation(spec: AblationSpec) -> list[RunDesign]:
    """Return the runs that compare training strategies on each system."""
    runs: list[RunDesign] = []
    for system in spec.systems:
        for strategy in spec.strategies:
            arms: dict[str, Value] = {"strategy": strategy}
            for factors in configurations(spec, STRATEGIES[strategy]):
                run = RunDesign(0, 0, "specialist", (system,), STRATEGIES[strategy], arms, factors)
                runs += _replicates(spec, runs, run)
        for strategy in spec.strategies if spec.equal_compute_control else ():
            matched = STRATEGIES[strategy]
            for factors in configurations(spec, matched) if strategy in CONTROLLED else ():
                arms = {"strategy": CONTROLLED[strategy]}
                run = RunDesign(0, 0, "specialist", (system,), "sft", arms, factors, equal_compute=matched)
                runs += _replicates(spec, runs, run)
    return runs


def transfer_learning(spec: TransferSpec, adapters: Sequence[Adapter]) -> list[RunDesign]:
    """Return the source runs, and for each target runs from the base, from the source and from existing adapters.

    A replicate on a target continues the same replicate of the source, so source and target seeds vary together. All
    runs on a target train for the same number of steps; the source is a separate run, so its cost is reported.
    """
    existing = _by_label(adapters)
    if existing and any(place[0] == "lora" for name in (*spec.parameters, *spec.ranges) for place in find(name).places):
        raise InputError(
            "rank and scale cannot be swept with --base-models all_available, because existing adapters keep theirs. "
            "Sweep other parameters, or set --base-models source."
        )
    runs: list[RunDesign] = []
    for training_type in spec.training_types:
        arms = _training_arm(spec, training_type)
        for factors in configurations(spec, training_type):
            first = len(runs)
            scratch = RunDesign(
                0, 0, "specialist", (spec.source_system,), training_type, {**arms, "start": BASE}, factors
            )
            runs += _replicates(spec, runs, scratch)
            for target in spec.target_systems:
                scratch = replace(scratch, systems=(target,))
                runs += _replicates(spec, runs, scratch)
                onward = _replicates(spec, runs, replace(scratch, arms={**arms, "start": SOURCE}))
                runs += [replace(run, source=first + run.replicate) for run in onward]
                for label, found in existing.items():
                    more = _replicates(spec, runs, replace(scratch, arms={**arms, "start": label}))
                    # Two runs from one adapter are not independent, so an arm has one replicate per adapter.
                    runs += [replace(run, adapter=start) for run, start in zip(more, found, strict=False)]
    return runs


def single(spec: SingleSpec, adapters: Sequence[Adapter]) -> list[RunDesign]:
    """Return the one run of a single-run experiment. With several systems its model is universal."""
    model_type = "specialist" if len(spec.systems) == 1 else "universal"
    adapter = next((found for found in adapters if found.place == spec.start_from), None)
    return [RunDesign(0, 0, model_type, spec.systems, spec.training_types[0], adapter=adapter)]


def design_runs(spec: ExperimentSpec, adapters: Sequence[Adapter] = ()) -> list[RunDesign]:
    """Return the runs of `spec`.

    Args:
        adapters: existing adapters that the experiment may train further.

    Raises:
        InputError: the specification selects configurations that do not exist, or sweeps what its adapters fix.
    """
    match spec:
        case SweepSpec():
            return hyperparameter_sweep(spec)
        case CrossSystemSpec():
            return cross_system(spec)
        case AblationSpec():
            return training_ablation(spec)
        case TransferSpec():
            return transfer_learning(spec, adapters)
        case SingleSpec():
            return single(spec, adapters)


def _training_arm(spec: SweptSpec, training_type: TrainingType) -> dict[str, Value]:
    return {"training_type": training_type} if len(spec.training_types) > 1 else {}


def _replicated(spec: SweptSpec, designs: Iterable[RunDesign]) -> list[RunDesign]:
    runs: list[RunDesign] = []
    for run in designs:
        runs += _replicates(spec, runs, run)
    return runs


def _replicates(spec: SweptSpec, runs: Sequence[RunDesign], run: RunDesign) -> list[RunDesign]:
    """Return the replicates of `run` as the next configuration after `runs`."""
    configuration = runs[-1].configuration + 1 if runs else 0
    return [replace(run, configuration=configuration, replicate=replicate) for replicate in range(spec.replicates)]


def _by_label(adapters: Sequence[Adapter]) -> Mapping[str, list[Adapter]]:
    """Group adapters that differ only in their seeds."""
    found: dict[str, list[Adapter]] = {}
    for adapter in sorted(adapters, key=lambda adapter: adapter.seed):
        found.setdefault(adapter.label, []).append(adapter)
    return found
