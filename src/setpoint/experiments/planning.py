"""From a specification to a plan: parameters resolved, stages identified by content, equal stages planned once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from setpoint import problems, provenance
from setpoint.errors import InputError, collect
from setpoint.experiments.parameters import canonical_axes, canonical_fixed, resolve
from setpoint.experiments.plan import AnalysisPlan, Named, Plan, PlannedRun, PlannedStage, Shared
from setpoint.experiments.spec import METRICS, ExperimentSpec, Value
from setpoint.experiments.stages import STAGES
from setpoint.experiments.types import RunDesign, design_runs
from setpoint.fingerprint import digest
from setpoint.policies import BaseModel, BasePreset
from setpoint.problems.suites import DEFAULT_CASES

_LONGEST_LABEL = 160


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the runs start from.

    Attributes:
        datasets: system -> the data set that holds its demonstrations.
    """

    base: BaseModel
    datasets: Mapping[str, Named]


def canonical_spec(spec: ExperimentSpec) -> ExperimentSpec:
    """`spec` with canonical parameter names and parsed values, so that one experiment has one digest.

    Raises:
        InputError: everything that is wrong with its parameters, or its type.
    """
    found: list[InputError] = []
    axes: dict[str, tuple[Value, ...]] = {}
    fixed: dict[str, Value] = {}
    try:
        axes = canonical_axes(spec.parameters, spec.training_types)
    except InputError as error:
        found.append(error)
    try:
        fixed = canonical_fixed(spec.fixed, axes, spec.training_types)
    except InputError as error:
        found.append(error)
    collect(found)
    canonical = spec.model_copy(update={"parameters": axes, "fixed": fixed})
    design_runs(canonical)
    return canonical


def check_values(spec: ExperimentSpec, preset: BasePreset) -> None:
    """Refuse values that exclude each other in some run, given the base's defaults.

    Raises:
        InputError: each of them, once.
    """
    found: dict[str, InputError] = {}
    for run in design_runs(spec):
        try:
            resolve(preset, run.training_type, {**spec.fixed, **run.factors})
        except InputError as error:
            found[str(error)] = error
    collect(list(found.values()))


def build_plan(spec: ExperimentSpec, experiment_id: str, inputs: Inputs) -> Plan:
    """The plan of a canonical and checked `spec`. Touches nothing on disk."""
    designs = design_runs(spec)
    stages = _Stages(spec, inputs)
    reference = {system: stages.add_reference(system) for system in spec.systems}
    evaluate_base = {system: stages.add_evaluation(system, reference[system]) for system in spec.systems}
    runs = tuple(_plan_run(index, design, spec, stages, reference) for index, design in enumerate(designs))
    if spec.type == "single":
        runs = tuple(run.model_copy(update={"name": experiment_id}) for run in runs)
    return Plan(
        schema=1,
        experiment=experiment_id,
        type=spec.type,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        spec=spec,
        spec_digest=spec_digest(spec),
        analysis=_plan_analysis(spec, designs),
        systems=spec.systems,
        base=Named(name=inputs.base.name, digest=inputs.base.digest),
        datasets=dict(inputs.datasets),
        runs=runs,
        stages=stages.planned,
        shared=Shared(reference=reference, evaluate_base=evaluate_base),
        provenance={**provenance.collect(), "code": {kind: digest(stage.code()) for kind, stage in STAGES.items()}},
    )


def spec_digest(spec: ExperimentSpec) -> str:
    """What names an experiment that was given no name."""
    return digest(spec.model_dump(mode="json"))


def stage_id(stage: PlannedStage) -> str:
    """The content id of a stage. Names of data sets and of the base stay out: their digests are in."""
    config = dict(stage.config)
    if "base" in config:
        config["base"] = config["base"]["digest"]
    if "datasets" in config:
        config["datasets"] = [data["digest"] for data in config["datasets"]]
    return digest(
        {
            "kind": stage.kind,
            "config": config,
            "needs": stage.needs,
            "seed": stage.seed,
            "code": STAGES[stage.kind].code(),
        }
    )


@dataclass
class _Stages:
    """The stages planned so far; adding an equal one again gives the same id."""

    spec: ExperimentSpec
    inputs: Inputs
    planned: dict[str, PlannedStage] = field(default_factory=dict)

    def add_training(self, kind: str, run: RunDesign, resolved: dict[str, dict[str, Any]], parent: str | None) -> str:
        config = {
            **self._model(),
            "systems": list(run.systems),
            "datasets": [self.inputs.datasets[system].model_dump() for system in run.systems],
            "lora": resolved["lora"],
            kind: resolved[kind],
        }
        needs = {} if parent is None else {"parent": parent}
        return self._add(PlannedStage(kind=kind, config=config, needs=needs, seed=_seed(self.spec, run)))

    def add_evaluation(self, system: str, reference: str, adapter: str | None = None) -> str:
        """Evaluate an adapter, or the base itself. The seed is not the run's: every run meets the same cases."""
        config = {**self._model(), **self._suite(system)}
        needs = {"reference": reference} if adapter is None else {"adapter": adapter, "reference": reference}
        return self._add(PlannedStage(kind="evaluate", config=config, needs=needs, seed=0))

    def add_reference(self, system: str) -> str:
        blocks = self.inputs.base.preset.dialect.definition()["blocks"]
        return self._add(PlannedStage(kind="reference", config={**self._suite(system), "blocks": blocks}, seed=0))

    def _model(self) -> dict[str, Any]:
        base = self.inputs.base
        return {
            "base": {"name": base.name, "digest": base.digest},
            "preset": base.preset.name,
            "dialect": base.preset.dialect.definition(),
        }

    def _suite(self, system: str) -> dict[str, Any]:
        cases = self.spec.evaluation_cases or DEFAULT_CASES
        return {"system": system, "evaluation": self.spec.evaluation, "cases": cases}

    def _add(self, stage: PlannedStage) -> str:
        identity = stage_id(stage)
        self.planned.setdefault(identity, stage)
        return identity


def _plan_run(
    index: int, design: RunDesign, spec: ExperimentSpec, stages: _Stages, reference: Mapping[str, str]
) -> PlannedRun:
    resolved = resolve(stages.inputs.base.preset, design.training_type, {**spec.fixed, **design.factors})
    planned: dict[str, str] = {}
    if design.training_type != "grpo":
        planned["sft"] = stages.add_training("sft", design, resolved, None)
    if design.training_type != "sft":
        planned["grpo"] = stages.add_training("grpo", design, resolved, planned.get("sft"))
    (system,) = design.systems
    if design.training_type == "both":  # shows what GRPO added; the same stage as an `sft` arm's evaluation
        planned["evaluate_sft"] = stages.add_evaluation(system, reference[system], planned["sft"])
    planned["evaluate"] = stages.add_evaluation(system, reference[system], planned.get("grpo", planned.get("sft")))
    return PlannedRun(
        name=_run_name(design, spec, resolved),
        index=index,
        configuration=design.configuration,
        replicate=design.replicate,
        seed=_seed(spec, design),
        model_type=design.model_type,
        systems=design.systems,
        training_type=design.training_type,
        factors=_factors(design, spec),
        resolved=resolved,
        stages=planned,
    )


def _seed(spec: ExperimentSpec, run: RunDesign) -> int:
    return spec.seed + run.replicate


def _factors(design: RunDesign, spec: ExperimentSpec) -> dict[str, Value]:
    varies = len(spec.training_types) > 1
    return {**({"training_type": design.training_type} if varies else {}), **design.factors}


def _run_name(design: RunDesign, spec: ExperimentSpec, resolved: dict[str, dict[str, Any]]) -> str:
    """Readable first, unique by a digest of what is trained; the same whatever the data or the code."""
    system = [*design.systems] if len(spec.systems) > 1 else []
    factors = [f"{name}={value}" for name, value in design.factors.items()]
    seed = _seed(spec, design)
    label = "_".join([*system, *factors])[:_LONGEST_LABEL]
    identity = digest([design.systems, design.training_type, resolved, seed, spec.base_model], 8)
    return "_".join([*([label] if label else []), design.training_type, f"s{seed}-{identity}"])


def _plan_analysis(spec: ExperimentSpec, designs: list[RunDesign]) -> AnalysisPlan:
    levels: dict[str, set[Value]] = {}
    for design in designs:
        for name, value in _factors(design, spec).items():
            levels.setdefault(name, set()).add(value)
    factors = tuple(name for name, values in levels.items() if len(values) > 1)
    primary, *secondary = spec.metrics
    return AnalysisPlan(
        primary_metric=primary,
        secondary_metrics=tuple(secondary),
        scale=METRICS[primary],
        factors=factors,
        families=(factors,) if factors else (),
        blocks=("system",) if len(spec.systems) > 1 else (),
        judged={system: problems.get(system).judged for system in spec.systems},
    )
