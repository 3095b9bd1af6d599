"""Build a plan from a specification: resolve parameters, identify stages by content, plan equal stages once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar

from setpoint import problems, provenance
from setpoint.artifacts import StageKind
from setpoint.evaluation import EvaluationConfig
from setpoint.experiments.planning.canonical import resolved_parameters, run_settings, spec_digest
from setpoint.experiments.planning.designs import axes, joint_levels, searched
from setpoint.experiments.planning.experiment_types import CANDIDATE, RunDesign, design_runs
from setpoint.experiments.planning.parameters import TRAINED, find, format_of
from setpoint.experiments.planning.single_run import SingleRunCommand, training_command
from setpoint.experiments.planning.spec import ExperimentSpec, SingleSpec, SweepSpec
from setpoint.experiments.planning.spec_fields import METRICS
from setpoint.experiments.planning.stages import STAGES
from setpoint.experiments.planning.start_adapters import Adapter
from setpoint.fingerprint import canonical_json, digest, text_digest
from setpoint.language import GenerationParameters
from setpoint.modes import EvaluationMode
from setpoint.policies import BaseModel, BasePreset
from setpoint.problems import usual_blocking
from setpoint.problems.suites import DEFAULT_CASES
from setpoint.processes import uncollected
from setpoint.records.margin import margin_of
from setpoint.records.plan import (
    AnalysisPlan,
    CodeIdentity,
    NamedDigest,
    Plan,
    PlannedRun,
    PlannedStage,
    Shared,
    StageRole,
    Value,
)

T = TypeVar("T")

_LONGEST_LABEL = 160
_EVALUATED_BETWEEN = {StageKind.SFT: StageRole.EVALUATE_SFT, StageKind.DAGGER: StageRole.EVALUATE_DAGGER}
_NOTHING: Mapping[int, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs that all runs of an experiment share.

    Attributes:
        datasets: system -> dataset with its demonstrations.
        adapters: existing adapters that runs train further.
        compute_ratios: see `Plan`; None until measured.
    """

    base: BaseModel
    datasets: Mapping[str, NamedDigest]
    adapters: Sequence[Adapter] = ()
    compute_ratios: Mapping[StageKind, float] | None = None


@uncollected()
def build_plan(spec: ExperimentSpec, experiment_id: str, inputs: Inputs) -> Plan:
    """Return the plan of a canonical, validated `spec`. Writes nothing to disk."""
    designs = design_runs(spec, inputs.adapters)
    stages = _Stages(spec, inputs)
    reference = {system: stages.add_reference(system) for system in spec.systems}
    evaluate_base = {system: stages.add_evaluation(system) for system in spec.systems}
    runs: list[PlannedRun] = []
    for design in designs:
        runs.append(_plan_run(design, spec, stages, runs, experiment_id if isinstance(spec, SingleSpec) else None))
    return Plan(
        schema=1,
        experiment=experiment_id,
        type=spec.type,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        spec=spec.model_dump(mode="json"),
        spec_digest=spec_digest(spec),
        analysis=_plan_analysis(spec, designs, stages.formats()),
        systems=spec.systems,
        base=NamedDigest(name=inputs.base.name, digest=inputs.base.digest),
        datasets=dict(inputs.datasets),
        runs=tuple(runs),
        stages=stages.planned,
        shared=Shared(reference=reference, evaluate_base=evaluate_base),
        compute_ratios=None if inputs.compute_ratios is None else dict(inputs.compute_ratios),
        adapters=tuple(adapter.place for adapter in inputs.adapters if adapter.id in stages.planned),
        provenance=provenance.collect()
        | {"code": {kind: stage.origins().model_dump() for kind, stage in STAGES.items()}},
    )


def stage_id(stage: PlannedStage, encoded: Mapping[int, str] = _NOTHING) -> str:
    """Return the content-based id of a stage. It covers the digests of datasets and base model, not their names.

    Args:
        encoded: `id()` of an object that many configurations share -> canonical JSON of its content.
    """
    # Assembles the text that canonical_json returns for the whole object, so that shared parts are encoded once.
    fields = ",".join(
        f'"{name}":{encoded.get(id(value)) or canonical_json(_content(name, value))}'
        for name, value in sorted(stage.config.items())
    )
    rest = canonical_json({"kind": stage.kind, "needs": stage.needs, "seed": stage.seed})
    return text_digest(f'{{"code":{_code_json(stage.kind)},"config":{{{fields}}},{rest[1:]}')


def recorded_stage_id(stage: PlannedStage, origins: CodeIdentity) -> str:
    """Return the id of a stage under the code that its plan recorded, which need not be installed.

    Args:
        origins: what `Plan.code` holds for the kind of the stage.
    """
    code = {"version": origins.version, "sources": digest(origins.layers), "packages": origins.packages}
    config = {name: _content(name, value) for name, value in stage.config.items()}
    return digest({"code": code, "config": config, "kind": stage.kind, "needs": stage.needs, "seed": stage.seed})


def _content(name: str, value: Any) -> Any:
    """Return the part of a configuration field that counts towards the stage's identity."""
    if name == "base":
        return value["digest"]
    return [data["digest"] for data in value] if name == "datasets" else value


@cache
def _code_json(kind: StageKind) -> str:
    return canonical_json(STAGES[kind].code())


@dataclass
class _Stages:
    """Stages planned so far. Adding an equal stage returns the existing id."""

    spec: ExperimentSpec
    inputs: Inputs
    planned: dict[str, PlannedStage] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    suites: dict[str, dict[str, Any]] = field(default_factory=dict)
    trained: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)
    resolved: dict[tuple[int, str | None], tuple[dict[str, Value], dict[str, dict[str, Any]]]] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        base = self.inputs.base
        self._model = {"base": {"name": base.name, "digest": base.digest}, "preset": base.preset.name}
        self._encoded: dict[int, str] = {}
        self._encode_shared(self._model)
        self._formats: dict[str, dict[str, Any]] = {}
        fixed = fixed_groups(self.spec, base.preset)
        self.base_format = format_of(fixed).definition()
        self.base_generation = GenerationParameters(**fixed["generation"]).model_dump()

    def _encode_shared(self, fields: dict[str, T]) -> dict[str, T]:
        """Encode the values of `fields`, which many configurations share, once; return `fields`."""
        # Entries are keyed by id(): the values must not change and must outlive the planning.
        self._encoded |= {id(value): canonical_json(_content(name, value)) for name, value in fields.items()}
        return fields

    def model(self, prompt_format: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that describe base model and prompt format; equal formats share one object."""
        key = canonical_json(prompt_format)
        if key not in self._formats:
            self._formats[key] = self._encode_shared({"dialect": dict(prompt_format)})
        return {**self._model, **self._formats[key]}

    def formats(self) -> list[dict[str, Any]]:
        """Return the prompt formats used so far."""
        return [shared["dialect"] for shared in self._formats.values()]

    def parameters(self, run: RunDesign) -> tuple[dict[str, Value], dict[str, dict[str, Any]]]:
        """Return the run's settings and all its resolved parameters. Replicates of a configuration share them."""
        key = run.configuration, run.adapter.id if run.adapter else None
        if key not in self.resolved:
            preset = self.inputs.base.preset
            settings = run_settings(preset, run, self.spec, self.inputs.compute_ratios)
            self.resolved[key] = settings, self._encode_shared(resolved_parameters(preset, run, self.spec, settings))
        return self.resolved[key]

    def add_training(
        self, kind: StageKind, run: RunDesign, resolved: dict[str, dict[str, Any]], parent: str | None
    ) -> str:
        if run.systems not in self.trained:
            data = [self.inputs.datasets[system].model_dump() for system in run.systems]
            self.trained[run.systems] = self._encode_shared({"systems": list(run.systems), "datasets": data})
        config = {
            **self.model(run_format(run, resolved)),
            **self.trained[run.systems],
            "lora": resolved["lora"],
            kind.value: resolved[kind],
        }
        needs = {} if parent is None else {"parent": parent}
        return self._add(PlannedStage(kind=kind, config=config, needs=needs, seed=_seed(self.spec, run)))

    def add_adapter(self, adapter: Adapter) -> str:
        for name, stage in adapter.chain.items():
            self.planned.setdefault(name, stage)
        return adapter.id

    def add_evaluation(
        self, system: str, adapter: str | None = None, generation: Mapping[str, Any] | None = None
    ) -> str:
        """Add the evaluation of an adapter, or of the base model. Its seed is fixed: all runs use the same cases."""
        prompt_format = self.base_format if adapter is None else self.planned[adapter].fields().table("dialect")
        generation = self.base_generation if generation is None else generation
        config = {**self.model(prompt_format), **self._suite(system), "generation": dict(generation)}
        needs = {"reference": self.add_reference(system)}
        needs |= {} if adapter is None else {"adapter": adapter}
        return self._add(
            PlannedStage(kind=StageKind.EVALUATE, config=config, needs=dict(sorted(needs.items())), seed=0)
        )

    def add_evaluations(
        self, role: StageRole, systems: Sequence[str], adapter: str, generation: Mapping[str, Any]
    ) -> dict[str, str]:
        """Return role -> stage id; with several systems the keys are `role:system`."""
        if len(systems) == 1:
            return {role.value: self.add_evaluation(systems[0], adapter, generation)}
        return {f"{role}:{system}": self.add_evaluation(system, adapter, generation) for system in systems}

    def add_reference(self, system: str) -> str:
        if system not in self.references:
            blocks = usual_blocking(problems.get(system).steps).lengths
            config = {**self._suite(system), "blocks": list(blocks)}
            self.references[system] = self._add(PlannedStage(kind=StageKind.REFERENCE, config=config, seed=0))
        return self.references[system]

    def _suite(self, system: str) -> dict[str, Any]:
        if system not in self.suites:
            cases = self.spec.evaluation_cases or DEFAULT_CASES
            more = EvaluationConfig.named(self.spec.evaluation, system, cases).definition()
            suite = {"system": system, "evaluation": self.spec.evaluation, "cases": cases, **more}
            problem = problems.get(system)
            own = {} if problem.built_in else {"problem": digest(problem.definition())}
            self.suites[system] = self._encode_shared({**suite, **own})
        return self.suites[system]

    def _add(self, stage: PlannedStage) -> str:
        identity = stage_id(stage, self._encoded)
        self.planned.setdefault(identity, stage)
        return identity


def _plan_run(
    design: RunDesign, spec: ExperimentSpec, stages: _Stages, earlier: Sequence[PlannedRun], name: str | None = None
) -> PlannedRun:
    settings, resolved = stages.parameters(design)
    generation = resolved["generation"]
    start = _start(design, stages, earlier)
    planned: dict[str, str] = {}
    if start is not None:
        planned |= stages.add_evaluations(StageRole.EVALUATE_START, design.systems, start, generation)
    trained = start
    for kind in TRAINED[design.training_type]:
        trained = planned[kind.value] = stages.add_training(kind, design, resolved, trained)
        if kind in _EVALUATED_BETWEEN and kind is not TRAINED[design.training_type][-1]:
            # The baseline for the gain from the next stage; an arm that ends here shares this evaluation.
            planned |= stages.add_evaluations(_EVALUATED_BETWEEN[kind], design.systems, trained, generation)
    assert trained is not None
    planned |= stages.add_evaluations(StageRole.EVALUATE, design.systems, trained, generation)
    name = name or _run_name(design, spec, resolved)
    place = None if start is None else f"{stages.planned[start].kind}/{start}"
    command = SingleRunCommand(name, design.systems, design.training_type, _seed(spec, design), settings, place)
    return PlannedRun(
        name=name,
        index=len(earlier),
        configuration=design.configuration,
        replicate=design.replicate,
        seed=_seed(spec, design),
        model_type=design.model_type,
        systems=design.systems,
        training_type=design.training_type,
        factors={**design.arms, **design.factors, **joint_levels(spec, design.factors)},
        settings=settings,
        resolved=resolved,
        command=training_command(spec, command),
        start=start,
        stages=planned,
    )


def _start(design: RunDesign, stages: _Stages, earlier: Sequence[PlannedRun]) -> str | None:
    """Return the id of the stage whose adapter the run trains further, if any."""
    if design.adapter is not None:
        return stages.add_adapter(design.adapter)
    if design.source is None:
        return None
    source = earlier[design.source]
    return source.stages[TRAINED[source.training_type][-1]]


def _seed(spec: ExperimentSpec, run: RunDesign) -> int:
    return spec.seed + run.replicate


def _run_name(design: RunDesign, spec: ExperimentSpec, resolved: dict[str, dict[str, Any]]) -> str:
    """Return a readable name that ends in a digest of the trained configuration. Data and code do not change it."""
    plants = ["+".join(design.systems)] if len(spec.systems) > 1 else []
    arms = [str(value) for name, value in design.arms.items() if name in {"model_type", "strategy"}]
    start_arm = [f"from_{design.arms['start']}"] if "start" in design.arms else []
    factors = [f"{name}={value}" for name, value in design.factors.items()]
    seed = _seed(spec, design)
    label = "_".join([*plants, *arms, *start_arm, *factors])[:_LONGEST_LABEL]
    identity = digest([design.systems, design.training_type, resolved, seed, spec.base_model, design.arms], 8)
    trained = [] if "strategy" in design.arms else [design.training_type]
    return "_".join([*([label] if label else []), *trained, f"s{seed}-{identity}"])


def fixed_groups(spec: ExperimentSpec, preset: BasePreset) -> dict[str, dict[str, Any]]:
    """Return the parameters with which the untrained base is evaluated: the preset's, and those fixed for all runs."""
    groups = {name: dict(getattr(preset, name)) for name in ("prompt", "answer", "generation")}
    for name, value in spec.fixed.items():
        for group, name_there in find(name).places:
            if group in groups:
                groups[group][name_there] = value
    return groups


def run_format(run: RunDesign, resolved: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the prompt format of a run; an existing adapter keeps its own."""
    return dict(run.adapter.config.prompt_format) if run.adapter is not None else format_of(resolved).definition()


def _evaluation_mode(system: str, formats: Sequence[Mapping[str, Any]]) -> EvaluationMode:
    """Return the primary mode of a system: closed loop if the answers of a run do not cover the whole horizon."""
    problem = problems.get(system)
    whole = all(sum(each["blocks"]) >= problem.steps for each in formats)
    return problem.evaluation_mode if whole else EvaluationMode.CLOSED_LOOP


def _plan_analysis(
    spec: ExperimentSpec, designs: Sequence[RunDesign], formats: Sequence[Mapping[str, Any]]
) -> AnalysisPlan:
    levels: dict[str, set[Value]] = {}
    for design in designs:
        for name, value in {**design.arms, **design.factors, **joint_levels(spec, design.factors)}.items():
            levels.setdefault(name, set()).add(value)
    joined = set() if isinstance(spec, SingleSpec) else {name for names in spec.zipped for name in names}
    if (search := searched(spec)) is not None:  # fixed before the first trial, whatever the trials turn out to be
        assert isinstance(spec, SweepSpec)
        levels = {"+".join(axis.names): {0, 1} for axis in axes(spec)}
    factors = tuple(name for name, values in levels.items() if len(values) > 1 and name not in joined)
    if CANDIDATE in factors:  # selected configurations are compared as wholes: they do not form a factorial
        factors = (CANDIDATE,)
    primary, *secondary = spec.metrics
    margin = None if isinstance(spec, SingleSpec) else spec.equivalence
    return AnalysisPlan(
        primary_metric=primary,
        secondary_metrics=tuple(secondary),
        scale=METRICS[primary],
        factors=factors,
        families=(factors,) if factors else (),
        trends=() if isinstance(spec, SingleSpec) else tuple(name for name in spec.trend if name in factors),
        blocks=("system",) if len(spec.systems) > 1 else (),
        evaluation_modes={system: _evaluation_mode(system, formats) for system in spec.systems},
        adaptive=search is not None,
        equivalence=None if margin is None else margin_of(margin, logarithmic=METRICS[primary] == "log"),
    )
