"""Canonical form of a specification: parameter names and values resolved and checked for consistency."""

from collections.abc import Mapping
from typing import Any

from setpoint import plants
from setpoint.artifacts import TRAINING_KINDS, StageKind
from setpoint.errors import Findings, InputError, collect, unknown_name
from setpoint.experiments.planning.designs import check_design, corners
from setpoint.experiments.planning.experiment_types import RunDesign, design_runs
from setpoint.experiments.planning.parameters import (
    TRAINED,
    canonical_axes,
    canonical_fixed,
    canonical_ranges,
    find,
    is_parameter,
    resolve,
    usual_reward_horizon,
)
from setpoint.experiments.planning.spec import (
    AblationSpec,
    CrossSystemSpec,
    ExperimentSpec,
    SingleSpec,
    SweepSpec,
    SweptSpec,
    make_spec,
)
from setpoint.experiments.planning.spec_fields import CONTROLLED, STRATEGIES, TRAINING_TYPE, Range
from setpoint.fingerprint import digest
from setpoint.policies import BasePreset
from setpoint.records.plan import Value
from setpoint.training.config import training_units

PROVISIONAL_RATIO = 1.0
"""Compute ratio of a preview; a launch measures the real one first."""


def canonical_spec(spec: ExperimentSpec) -> ExperimentSpec:
    """Return `spec` with canonical parameter names and parsed values, so that equal experiments have equal digests.

    Raises:
        InputError: all errors in its parameters and its design.
    """
    if isinstance(spec, SingleSpec):
        return spec.model_copy(update={"fixed": canonical_fixed(spec.fixed, (), spec.training_types)})
    return _canonical_sweep(spec)


def _canonical_sweep(spec: SweptSpec) -> SweptSpec:
    findings = Findings()
    axes: dict[str, tuple[Value, ...]] = {}
    fixed: dict[str, Value] = {}
    with findings.check():
        axes = canonical_axes(spec.parameters, spec.training_types)
    ranges: dict[str, Range] = {}
    with findings.check():
        ranges = canonical_ranges(spec.ranges, axes, spec.training_types)
    with findings.check():
        fixed = canonical_fixed(spec.fixed, [*axes, *ranges], spec.training_types)
    canonical = spec.model_copy(update={"parameters": axes, "fixed": fixed, "ranges": ranges})
    with findings.check():
        canonical = canonical.model_copy(update=_canonical_relations(canonical))
    if not findings.errors:
        findings.errors += check_design(canonical)
    if not findings.errors:
        with findings.check():
            design_runs(_one_replicate(canonical))
    findings.settle()
    return canonical


def _canonical_relations(spec: SweptSpec) -> dict[str, Any]:
    """Return zips, conditions and trends with canonical names and parsed values.

    Raises:
        InputError: unknown parameters, and values that a parameter does not accept.
    """
    conditions: dict[str, dict[str, tuple[Value, ...]]] = {}
    for name, wanted in spec.conditions.items():
        trained = {TRAINING_TYPE: wanted[TRAINING_TYPE]} if TRAINING_TYPE in wanted else {}
        others = {other: values for other, values in wanted.items() if other != TRAINING_TYPE}
        unknown = [other for other in others if not is_parameter(other)]
        collect([unknown_name("condition", other, [TRAINING_TYPE, *spec.parameters]) for other in unknown])
        conditions[find(name).name] = {**trained, **canonical_axes(others, spec.training_types)}
    zipped = tuple(tuple(find(name).name for name in names) for names in spec.zipped)
    trend = tuple(dict.fromkeys(find(name).name for name in spec.trend))
    return {"zipped": zipped, "conditions": conditions, "trend": trend}


def checked_spec(fields: Mapping[str, Any]) -> ExperimentSpec:
    """Return the canonical specification with these fields.

    Raises:
        InputError: all errors in the fields; parameters are checked even if other fields are invalid.
    """
    findings = Findings()
    with findings.check():
        spec = make_spec(dict(fields))
    others = {name: fields[name] for name in ("parameters", "fixed", "ranges") if isinstance(fields.get(name), Mapping)}
    if findings.errors and others:
        with findings.check():
            canonical_spec(make_spec({"systems": plants.names()[:1], "training_types": tuple(TRAINED), **others}))
    findings.settle()
    return canonical_spec(spec)


def check_values(spec: ExperimentSpec, preset: BasePreset) -> None:
    """Reject values that are incompatible in some run, given the defaults of the base model's preset.

    Raises:
        InputError: each incompatibility, once.
    """
    findings = Findings()
    spec = _one_replicate(spec)
    if isinstance(spec, SweepSpec) and spec.search is not None:
        spec = spec.model_copy(update={"points": (*corners(spec), *spec.points)})
    for run in design_runs(spec):
        with findings.check():
            resolved_parameters(preset, run, spec, run_settings(preset, run, spec))
    findings.settle()


def _one_replicate(spec: ExperimentSpec) -> ExperimentSpec:
    """Return the same specification with one run per configuration: replicates differ in their seeds alone."""
    return spec if isinstance(spec, SingleSpec) else spec.model_copy(update={"replicates": 1})


def spec_digest(spec: ExperimentSpec) -> str:
    """Return the digest that names an experiment without an explicit id."""
    return digest(spec.identity())


def run_settings(
    preset: BasePreset,
    design: RunDesign,
    spec: ExperimentSpec,
    compute_ratios: Mapping[StageKind, float] | None = None,
) -> dict[str, Value]:
    """Return the parameters that the run uses and that its preset does not determine.

    They come from the specification, or from the runs it is compared with: a shared reward horizon, and the number of
    steps of an equal-compute control.
    """
    given = {**_shared_reward(design), **spec.fixed, **design.factors}
    settings = {name: value for name, value in given.items() if find(name).places_in(design.training_type)}
    if design.equal_compute is None:
        return settings
    read = {name: value for name, value in given.items() if find(name).places_in(design.equal_compute)}
    matched = resolve(preset, design.equal_compute, read, design.systems)
    rows = sum(
        training_units(kind, matched[kind], len(design.systems)) * (compute_ratios or {}).get(kind, PROVISIONAL_RATIO)
        for kind in TRAINED[design.equal_compute]
        if kind is not StageKind.SFT
    )
    settings = {name: v for name, v in settings.items() if ("sft", "steps") not in find(name).places}
    return {**settings, "sft.steps": matched["sft"]["steps"] + max(1, round(rows / matched["sft"]["batch_size"]))}


def measured_kinds(spec: ExperimentSpec) -> tuple[StageKind, ...]:
    """Return the kinds of stages whose measured cost decides the steps of equal-compute controls; usually none."""
    if not isinstance(spec, AblationSpec) or not spec.equal_compute_control:
        return ()
    matched = [TRAINED[STRATEGIES[strategy]] for strategy in spec.strategies if strategy in CONTROLLED]
    return tuple(kind for kind in TRAINING_KINDS if kind is not StageKind.SFT and any(kind in each for each in matched))


def _shared_reward(design: RunDesign) -> dict[str, Value]:
    """Return the shared reward horizon if it differs from the default for the run's own systems."""
    if not design.rewarded_with:
        return {}
    shared, own = usual_reward_horizon(design.rewarded_with), usual_reward_horizon(design.systems)
    return {} if shared == own else {"grpo.reward_horizon": shared}


def resolved_parameters(
    preset: BasePreset, design: RunDesign, spec: ExperimentSpec, settings: Mapping[str, Value]
) -> dict[str, dict[str, Any]]:
    """Return every parameter of the run. An existing adapter keeps its rank, scale and prompt format.

    A universal model takes as many steps per system as a specialist, unless `match` is `total`.

    Raises:
        InputError: incompatible values, or a prompt format for a run that starts from an existing adapter.
    """
    resolved = resolve(preset, design.training_type, settings, design.systems)
    if design.adapter is not None:
        formats = [name for name in settings if {"prompt", "answer"} & {group for group, _ in find(name).places}]
        if formats:
            raise InputError(f"an existing adapter keeps its prompt format. Remove {', '.join(formats)}.")
        resolved["lora"] = dict(design.adapter.config.lora)
    total = isinstance(spec, CrossSystemSpec | SingleSpec) and spec.match == "total"
    for kind in () if total else TRAINED[design.training_type]:
        resolved[kind]["steps"] *= len(design.systems)
    return resolved
