"""Plan of an experiment: its runs and the stages they share. plan.json is written once and then only read."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from setpoint.artifacts import (
    TRAINING_KINDS,
    DamagedError,
    Fields,
    StageKind,
    create_json,
    is_file_name,
    is_identifier,
    read_json,
    write_json,
)
from setpoint.artifacts.fields import finite, shown
from setpoint.errors import InputError
from setpoint.fingerprint import SEAL, seal_broken, sealed
from setpoint.modes import EvaluationMode
from setpoint.processes import uncollected

SCHEMA = 1
TRIALS = "trials"
"""Folder of the trials that a search appends to its plan."""
Value = bool | int | float | str
"""Type of a parameter value."""
LEAST_TREND_LEVELS = 3
"""Smallest number of levels of a trend; two levels have a difference."""
Count = Annotated[int, Field(ge=0, le=2**53)]


class StageRole(StrEnum):
    """Roles of a run's stages, in the order in which they run."""

    EVALUATE_START = "evaluate_start"
    """Evaluation of the existing adapter before the run trains it further."""
    SFT = "sft"
    """Supervised fine-tuning."""
    EVALUATE_SFT = "evaluate_sft"
    """Evaluation after SFT, before the next training stage."""
    DAGGER = "dagger"
    """Supervised fine-tuning on visited states."""
    EVALUATE_DAGGER = "evaluate_dagger"
    """Evaluation between DAgger and GRPO."""
    GRPO = "grpo"
    """Reinforcement learning."""
    EVALUATE = "evaluate"
    """Evaluation of the final model of the run."""

    @property
    def kind(self) -> StageKind:
        """Kind of a stage in this role."""
        return StageKind(self.value) if self.value in TRAINING_KINDS else StageKind.EVALUATE


_POSITION = {role: position for position, role in enumerate(StageRole)}


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlannedStage(_Record):
    """One stage; its id is the key in `Plan.stages`."""

    kind: StageKind
    config: dict[str, Any]
    needs: dict[str, str] = {}
    """`parent`, `adapter` or `reference` -> id of the upstream stage."""
    seed: Count

    def fields(self) -> Fields:
        """Return the configuration for typed access to its fields."""
        return Fields(self.config, "plan.json", f"the configuration of a stage of kind {self.kind}")

    @property
    def system(self) -> str:
        """System of an evaluation or reference stage; empty for a training stage."""
        return self.fields().text("system", "")

    @property
    def steps(self) -> int | None:
        """Optimizer steps of a training stage; None if the configuration has none."""
        try:
            return self.fields().inner(self.kind).optional_whole("steps")
        except DamagedError:
            return None

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions of a comprehensive evaluation, without the nominal one.

        Raises:
            InputError: a name is not a valid folder name.
        """
        listed = self.config.get("conditions", ())
        names = [each.get("name") if isinstance(each, dict) else None for each in listed]
        for name in names:
            if not is_identifier(name):
                raise DamagedError(f"the name of a condition must be letters and digits, got {shown(name)}.")
        return tuple(str(name) for name in names)


class PlannedRun(_Record):
    """One trained model and its evaluation."""

    name: str
    index: Count
    configuration: Count
    replicate: Count
    seed: Count
    model_type: str
    systems: tuple[str, ...]
    training_type: str
    factors: dict[str, Value]
    settings: dict[str, Value] = {}
    """Parameters that the run sets in place of the preset's, by canonical name."""
    resolved: dict[str, dict[str, Any]]
    command: str = ""
    """Command that trains this run alone, with the same stages, if called in the workspace folder."""
    start: str | None = None
    """Stage whose adapter is trained further; None: training starts from the base model."""
    stages: dict[str, str]
    """`StageRole` -> stage id; with several systems the keys of evaluations are `<role>:<system>`."""

    def stage(self, role: StageRole, system: str = "") -> str | None:
        """Return the stage in `role` (for an evaluation: on `system`); None if the run has none."""
        return self.stages.get(role) or self.stages.get(f"{role}:{system}")

    def own_stages(self) -> list[tuple[StageRole, str]]:
        """Return role and id of every stage, in the order of the roles."""
        found = [(StageRole(key.partition(":")[0]), name) for key, name in self.stages.items()]
        return sorted(found, key=lambda each: _POSITION[each[0]])


class NamedDigest(_Record):
    """Name of an input and digest of its content."""

    name: str
    digest: str


class AnalysisPlan(_Record):
    """Pre-specified analysis, fixed before there are results."""

    primary_metric: str
    secondary_metrics: tuple[str, ...] = ()
    scale: Literal["log", "linear"]
    factors: tuple[str, ...]
    families: tuple[tuple[str, ...], ...] = ()
    """Families of factors whose p-values are adjusted together; the remaining factors form one further family."""
    trends: tuple[str, ...] = ()
    """Numeric factors that are tested for a linear and a curved trend, in place of any difference of their levels."""
    blocks: tuple[str, ...] = ()
    """Blocking factors: `seed` (or `replicate`) if equal seeds share a real effect; `system` is always a stratum."""
    alpha: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05
    evaluation_modes: dict[str, EvaluationMode]
    """System -> primary evaluation mode."""
    adaptive: bool = False
    """Whether results decided which runs came next, so that tests do not hold their level."""
    equivalence: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None
    """Largest difference between two levels that does not matter: a share of the smaller value on a log scale, else in
    units of the metric. None: equivalence is not tested."""

    @property
    def margin(self) -> float | None:
        """Equivalence margin on the analysis scale; None if equivalence is not tested."""
        logarithmic = self.scale == "log" and self.equivalence is not None
        return math.log1p(self.equivalence or 0.0) if logarithmic else self.equivalence

    @property
    def blocked_by_seed(self) -> bool:
        """Whether runs are compared within seeds."""
        return not {"seed", "replicate"}.isdisjoint(self.blocks)

    def has_trend(self, factor: str, levels: Sequence[object]) -> bool:
        """Return whether a factor with these levels is tested for trends: declared, numeric, and with enough levels."""
        numeric = all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels)
        return factor in self.trends and numeric and len(levels) >= LEAST_TREND_LEVELS

    def mode(self, system: str) -> EvaluationMode:
        """Return the primary evaluation mode of `system`."""
        return self.evaluation_modes.get(system, EvaluationMode.OPEN_LOOP)


class Trials(_Record):
    """Trials that a search appends to its plan, in a sealed file of their own.

    Attributes:
        follows: seal of the file before this one: of plan.json, or of the trials appended before.
        points: configurations of the new trials.
        stages: their stages that are not planned yet.
    """

    follows: str
    points: tuple[dict[str, Value], ...]
    runs: tuple[PlannedRun, ...]
    stages: dict[str, PlannedStage]


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """How far a search is.

    Attributes:
        trials: budget.
        done: trials proposed so far.
        reused: configurations that had finished before the search.
    """

    sampler: str
    trials: int
    done: int
    reused: int


class CodeIdentity(_Record):
    """What the identity of a kind of stage was computed from."""

    version: int
    layers: dict[str, str]
    """Layer -> digest of its sources."""
    packages: dict[str, str | None]
    """Package -> installed version."""

    @classmethod
    def read(cls, content: object) -> Self | None:
        """Return the identity that a plan recorded; None if it is damaged."""
        try:
            return cls.model_validate(content)
        except ValidationError:
            return None

    def changes(self, new: Self) -> str:
        """Return what differs in `new`, such as `training; torch 2.12.0, now 2.13.0`."""
        layers = [name for name, found in new.layers.items() if self.layers.get(name) != found]
        packages = [
            f"{name} {self.packages.get(name)}, now {found}"
            for name, found in new.packages.items()
            if self.packages.get(name) != found
        ]
        changed = "; ".join(filter(None, [", ".join(layers), *packages]))
        return changed or f"version {self.version}, now {new.version}"


class Shared(_Record):
    """Stages shared by all runs: system -> stage id."""

    reference: dict[str, str] = {}
    evaluate_base: dict[str, str] = {}


class Plan(_Record):
    """All runs of an experiment and the stages they need, upstream stages first."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    experiment: str
    type: str
    created_at: str
    spec: dict[str, Any]
    """Specification as JSON values, to be read with `experiments.planning.spec.planned_spec`."""
    spec_digest: str
    analysis: AnalysisPlan
    systems: tuple[str, ...]
    base: NamedDigest
    datasets: dict[str, NamedDigest]
    runs: tuple[PlannedRun, ...]
    stages: dict[str, PlannedStage]
    shared: Shared
    compute_ratios: dict[StageKind, float] | None = None
    """Kind of training stage -> measured CPU time of a unit of its work relative to an SFT row; only with equal-compute
    controls."""
    adapters: tuple[str, ...] = ()
    """Existing adapters that the experiment trains further, as `kind/id`."""
    provenance: dict[str, Any]

    @property
    def design(self) -> str:
        """Type of design: `full`, `fractional`, `random` or `sobol`."""
        return str(self.spec.get("design") or "full")

    @property
    def confirms(self) -> str | None:
        """Experiment whose results selected the configurations, if any."""
        found = self.spec.get("confirms")
        return found if isinstance(found, str) and found else None

    @property
    def search(self) -> "SearchProgress | None":
        """How far a search is; None for other experiments."""
        found = self.spec.get("search")
        if not isinstance(found, dict):
            return None
        reused = int(found.get("reused", 0))
        return SearchProgress(str(found["sampler"]), int(found["trials"]), len(self.spec["points"]) - reused, reused)

    @property
    def code(self) -> Mapping[str, CodeIdentity]:
        """Stage kind -> identity of its code at planning time, as far as the plan recorded it."""
        read = {kind: CodeIdentity.read(content) for kind, content in self._recorded("code").items()}
        return {kind: found for kind, found in read.items() if found is not None}

    @property
    def origin(self) -> str:
        """Requested id; differs from `experiment` after accepted changes."""
        return str(self._recorded("follows").get("origin") or self.experiment)

    def _recorded(self, what: str) -> Mapping[str, Any]:
        found = self.provenance.get(what)
        return found if isinstance(found, dict) else {}

    def adapter_places(self) -> dict[str, str]:
        """Return stage id -> `kind/id`, for each existing adapter that the experiment trains further."""
        return {place.partition("/")[2]: place for place in self.adapters}

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        analysis = self.analysis
        given = {
            "adaptive": analysis.adaptive,
            "trends": bool(analysis.trends),
            "equivalence": analysis.equivalence is not None,
        }
        unsaid = {"analysis": {name for name, present in given.items() if not present}}
        return self.model_dump(mode="json", by_alias=True, exclude=unsaid)

    def to_file(self) -> dict[str, Any]:
        """Return the content of plan.json: the plan with a digest of itself."""
        return sealed(self.to_json())

    def upstream(self, *stage_ids: str) -> set[str]:
        """Return all direct and indirect upstream stages of `stage_ids`."""
        found: set[str] = set()
        open_ids = list(stage_ids)
        while open_ids:
            new = set(self.stages[open_ids.pop()].needs.values()) - found
            found |= new
            open_ids += new
        return found

    def training_of(self, stage_id: str) -> list[str]:
        """Return the training stages among the given stage and its upstream stages."""
        return [name for name in (stage_id, *self.upstream(stage_id)) if self.stages[name].kind.trains]


def plan_path(experiment: Path) -> Path:
    """Return the path of the plan of the experiment in this folder."""
    return experiment / "plan.json"


def write_plan(experiment: Path, plan: Plan) -> None:
    """Write `plan` as the plan of the experiment in this folder, replacing any earlier one."""
    write_json(plan_path(experiment), plan.to_file())


def append_trials(experiment: Path, before: Plan, after: Plan) -> bool:
    """Append the trials that `after` has beyond `before`; False if another process appended some first."""
    files = _trial_files(experiment)
    path = experiment / TRIALS / f"{len(files) + 1:04d}.json"
    path.parent.mkdir(exist_ok=True)
    new = Trials(
        follows=_unsealed(files[-1] if files else plan_path(experiment))[1],
        points=tuple(after.spec["points"][len(before.spec["points"]) :]),
        runs=after.runs[len(before.runs) :],
        stages={name: stage for name, stage in after.stages.items() if name not in before.stages},
    )
    return create_json(path, sealed({"schema": SCHEMA, **new.model_dump(mode="json")}))


def _trial_files(experiment: Path) -> list[Path]:
    return sorted(path for path in (experiment / TRIALS).glob("*.json") if path.stem.isdecimal())


def _with_trials(plan: Plan, experiment: Path, seal: str) -> Plan:
    """Return the plan with the trials that were appended to it."""
    points, runs, stages = [*(plan.spec.get("points") or ())], [*plan.runs], {**plan.stages}
    for path in _trial_files(experiment):
        content, own = _unsealed(path)
        del content["schema"]
        try:
            trials = Trials.model_validate(content)
        except ValidationError as error:
            raise DamagedError(f"{TRIALS}/{path.name} has the wrong form") from error
        if trials.follows != seal:
            raise DamagedError(f"{TRIALS}/{path.name} does not follow the file before it")
        points, runs, seal = [*points, *trials.points], [*runs, *trials.runs], own
        stages |= trials.stages
    added = {"runs": tuple(runs), "stages": stages, "spec": {**plan.spec, "points": points}}
    return plan.model_copy(update=added) if len(runs) > len(plan.runs) else plan


@uncollected()
def read_plan(experiment: Path) -> Plan | None:
    """Read the plan of the experiment in this folder, with the trials of a search; None if there is none.

    Raises:
        InputError: the file is damaged, was edited, or has another schema version.
    """
    path = plan_path(experiment)
    if not path.exists():
        return None
    try:
        content, seal = _unsealed(path)
        plan = _with_trials(_validated(content), experiment, seal)
        _require_consistent(plan)
        if plan.experiment not in {experiment.name, experiment.resolve().name}:
            raise DamagedError(f"it is the plan of {shown(plan.experiment)}")
    except DamagedError as error:
        raise DamagedError(
            f"{str(path)!r} cannot be used: {error}. Restore it, or start a new experiment with --fresh; finished "
            "stages are reused."
        ) from error
    return plan


def _unsealed(path: Path) -> tuple[dict[str, Any], str]:
    """Return the content without its digest, and the digest, after checking it."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise DamagedError("it is truncated or not a JSON object")
    if content.get("schema") != SCHEMA:
        raise DamagedError(f"schema must be {SCHEMA}, got {shown(content.get('schema'))}")
    try:
        whole = SEAL in content and not seal_broken(content)
    except (InputError, RecursionError):  # numbers that are not finite, or nesting too deep
        whole = False
    if not whole:
        raise DamagedError("it was changed after it was frozen")
    return content, str(content.pop(SEAL))


def _validated(content: dict[str, Any]) -> Plan:
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise DamagedError(f"{place or 'it'}: {first['msg']} (found {shown(first['input'])})") from error


def _require_consistent(plan: Plan) -> None:
    """Reject what the planner never writes: names that escape the folder, missing stages, duplicate runs."""
    seen: set[str] = set()
    for name, stage in plan.stages.items():
        if not is_identifier(name):
            raise DamagedError(f"a stage is named {shown(name)}")
        if not seen.issuperset(stage.needs.values()):
            raise DamagedError(f"stage {name} needs a stage that is not planned before it")
        seen.add(name)
    for shared in (plan.shared.reference, plan.shared.evaluate_base):
        if not seen.issuperset(shared.values()):
            raise DamagedError("a shared stage is not planned")
    for place in plan.adapters:
        kind, _, name = place.partition("/")
        if kind not in TRAINING_KINDS or name not in seen or plan.stages[name].kind != kind:
            raise DamagedError(f"the adapter {shown(place)} is not planned")
    for system in {*plan.systems, *(system for run in plan.runs for system in run.systems)}:
        if not is_identifier(system):
            raise DamagedError(f"a system is named {shown(system)}")
    try:
        datetime.fromisoformat(plan.created_at)
    except ValueError:
        raise DamagedError(f"created_at must be a time, got {shown(plan.created_at)}") from None
    _require_distinct(plan)
    for position, run in enumerate(plan.runs):
        _require_planned(plan, run, position)


def _require_distinct(plan: Plan) -> None:
    """Reject duplicate runs, which would make every interval too narrow."""
    named: dict[object, str] = {}
    for run in plan.runs:
        for identity in (run.name, (run.configuration, run.replicate, run.systems)):
            if identity in named:
                raise DamagedError(
                    f"it must name every run once, but {shown(named[identity])} and {shown(run.name)} are the same run"
                )
            named[identity] = run.name


def _require_planned(plan: Plan, run: PlannedRun, position: int) -> None:
    if not is_file_name(run.name):
        raise DamagedError(f"a run is named {shown(run.name)}")
    if run.index != position or not run.systems:
        raise DamagedError(f"run {run.name} must have index {position} and a system")
    for key, name in run.stages.items():
        role, _, system = key.partition(":")
        stage = plan.stages.get(name)
        if role not in _POSITION or stage is None or stage.kind is not StageRole(role).kind:
            raise DamagedError(f"run {run.name} has no stage {shown(key)} in the plan")
        if system and system not in run.systems:
            raise DamagedError(f"run {run.name} has an evaluation on {shown(system)}, which is not one of its systems")
    if run.start is not None and run.start not in plan.stages:
        raise DamagedError(f"run {run.name} starts from a stage that is not planned")
    if any(type(value) is int and finite(value) is None for value in _leaves([run.factors, run.resolved])):
        raise DamagedError(f"a value of run {run.name} is too large")


def _leaves(value: object) -> Iterator[object]:
    """Yield the values inside nested tables and lists."""
    if isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(inner)
    else:
        yield value
