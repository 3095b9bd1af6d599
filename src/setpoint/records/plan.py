"""The plan of an experiment: runs, and the stages they share. Written once, as plan.json, and then only read."""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from setpoint.artifacts import (
    TRAINING_KINDS,
    DamagedError,
    Fields,
    StageKind,
    is_file_name,
    is_identifier,
    read_json,
    write_json,
)
from setpoint.artifacts.fields import finite, shown
from setpoint.errors import InputError
from setpoint.fingerprint import SEAL, seal_broken, sealed
from setpoint.modes import EvaluationMode

SCHEMA = 1
Value = bool | int | float | str
"""Of a parameter."""
Count = Annotated[int, Field(ge=0, le=2**53)]


class StageRole(StrEnum):
    """What a stage is to a run, in the order in which a run has them."""

    EVALUATE_START = "evaluate_start"
    """The evaluation of the adapter that the run trains further, before it does."""
    SFT = "sft"
    """Supervised fine-tuning."""
    EVALUATE_SFT = "evaluate_sft"
    """The evaluation between SFT and GRPO."""
    GRPO = "grpo"
    """Reinforcement learning."""
    EVALUATE = "evaluate"
    """The evaluation of the model that the run ends with."""

    @property
    def kind(self) -> StageKind:
        """The kind of a stage in this role."""
        return StageKind(self.value) if self in {StageRole.SFT, StageRole.GRPO} else StageKind.EVALUATE


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
        """The configuration, to be read field by field."""
        return Fields(self.config, "plan.json", f"the configuration of a stage of kind {self.kind}")

    @property
    def system(self) -> str:
        """The system of an evaluation or of references; empty of a training stage."""
        return self.fields().text("system", "")

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions of a comprehensive evaluation besides the nominal one.

        Raises:
            InputError: one of them cannot be the name of a folder.
        """
        listed = self.config.get("conditions", ())
        names = [each.get("name") if isinstance(each, dict) else None for each in listed]
        for name in names:
            if not is_identifier(name):
                raise DamagedError(f"a condition must have a name of letters and digits, but has {shown(name)}.")
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
    """Parameters that the run's training stages read and that are not the preset's, by canonical name."""
    resolved: dict[str, dict[str, Any]]
    command: str = ""
    """Trains this run alone, with the same stages; given in the workspace's folder."""
    start: str | None = None
    """The stage whose adapter is trained further; None stands for the base."""
    stages: dict[str, str]
    """`StageRole` -> stage id; where a run has several systems, evaluations are `<role>:<system>`."""

    def stage(self, role: StageRole, system: str = "") -> str | None:
        """The stage in `role`, of an evaluation that on `system`; None where the run has none."""
        return self.stages.get(role) or self.stages.get(f"{role}:{system}")

    def own_stages(self) -> list[tuple[StageRole, str]]:
        """Role and id of every stage, in the order of the roles."""
        found = [(StageRole(key.partition(":")[0]), name) for key, name in self.stages.items()]
        return sorted(found, key=lambda each: _POSITION[each[0]])


class NamedDigest(_Record):
    """An input by name, and the digest of its content."""

    name: str
    digest: str


class AnalysisPlan(_Record):
    """What will be compared, fixed before there are results."""

    primary_metric: str
    secondary_metrics: tuple[str, ...] = ()
    scale: Literal["log", "linear"]
    factors: tuple[str, ...]
    families: tuple[tuple[str, ...], ...] = ()
    """Factors that are tested together, so that their p-values are adjusted together; one in none joins the rest."""
    blocks: tuple[str, ...] = ()
    """`seed` (or `replicate`) where equal seeds share a real effect; `system` is always stratified by."""
    alpha: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05
    judged: dict[str, EvaluationMode]
    """System -> the mode whose numbers count."""
    adaptive: bool = False
    """Whether results decided what was run next, so that no test holds its level."""

    @property
    def blocked_by_seed(self) -> bool:
        """Whether runs with the same seed are compared with each other."""
        return not {"seed", "replicate"}.isdisjoint(self.blocks)

    def mode(self, system: str) -> EvaluationMode:
        """The mode whose numbers count on `system`."""
        return self.judged.get(system, EvaluationMode.OPEN_LOOP)


class Shared(_Record):
    """Stages that serve all runs: system -> stage id."""

    reference: dict[str, str] = {}
    evaluate_base: dict[str, str] = {}


class Plan(_Record):
    """All runs of an experiment and the stages they need, upstream stages first."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    experiment: str
    type: str
    created_at: str
    spec: dict[str, Any]
    """The specification as plain JSON values; `experiments.planning.spec.planned_spec` reads it."""
    spec_digest: str
    analysis: AnalysisPlan
    systems: tuple[str, ...]
    base: NamedDigest
    datasets: dict[str, NamedDigest]
    runs: tuple[PlannedRun, ...]
    stages: dict[str, PlannedStage]
    shared: Shared
    compute_ratio: float | None = None
    """Processor seconds of a GRPO completion over those of an SFT row, as measured; only for equal-compute controls."""
    adapters: tuple[str, ...] = ()
    """Adapters from outside the experiment that it trains further, as `kind/id`."""
    provenance: dict[str, Any]

    @property
    def design(self) -> str:
        """How combinations were chosen: `full`, `fractional`, `random` or `sobol`."""
        return str(self.spec.get("design") or "full")

    @property
    def confirms(self) -> str | None:
        """The experiment whose results chose the configurations; None where none did."""
        return self.spec.get("confirms") or None

    @property
    def code(self) -> Mapping[str, Any]:
        """Kind of stage -> what its code was when this was planned."""
        return self._recorded("code")

    @property
    def origin(self) -> str:
        """The id that was asked for, which is another one after accepted changes."""
        return str(self._recorded("follows").get("origin") or self.experiment)

    def _recorded(self, what: str) -> Mapping[str, Any]:
        found = self.provenance.get(what)
        return found if isinstance(found, dict) else {}

    def adapter_places(self) -> dict[str, str]:
        """Stage id of each adapter from outside the experiment -> `kind/id`."""
        return {place.partition("/")[2]: place for place in self.adapters}

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        unsaid = None if self.analysis.adaptive else {"analysis": {"adaptive"}}
        return self.model_dump(mode="json", by_alias=True, exclude=unsaid)

    def to_file(self) -> dict[str, Any]:
        """The content of plan.json: the plan, with a digest of itself."""
        return sealed(self.to_json())

    def upstream(self, *stage_ids: str) -> set[str]:
        """Every stage that one of `stage_ids` needs, directly or through others."""
        found: set[str] = set()
        open_ids = list(stage_ids)
        while open_ids:
            new = set(self.stages[open_ids.pop()].needs.values()) - found
            found |= new
            open_ids += new
        return found

    def training_of(self, stage_id: str) -> list[str]:
        """The training stages behind an evaluation, or behind another training stage and itself."""
        return [name for name in (stage_id, *self.upstream(stage_id)) if self.stages[name].kind.trains]


def plan_path(experiment: Path) -> Path:
    """The plan of the experiment in this folder."""
    return experiment / "plan.json"


def write_plan(experiment: Path, plan: Plan) -> None:
    """Make `plan` the plan of the experiment in this folder, whatever there was before."""
    write_json(plan_path(experiment), plan.to_file())


@contextmanager
def uncollected() -> Iterator[None]:
    """Plans are hundreds of thousands of objects that stay; to look for cycles among them takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@uncollected()
def read_plan(experiment: Path) -> Plan | None:
    """The plan of the experiment in this folder, None where there is none yet.

    Raises:
        InputError: the file is there but damaged, changed by hand, or of another version.
    """
    path = plan_path(experiment)
    if not path.exists():
        return None
    try:
        plan = _validated(_unsealed(path))
        _require_consistent(plan)
        if plan.experiment not in {experiment.name, experiment.resolve().name}:
            raise DamagedError(f"it is the plan of {shown(plan.experiment)}")
    except DamagedError as error:
        raise DamagedError(
            f"{str(path)!r} cannot be used: {error}. Restore it, or start a new experiment with --fresh; finished "
            "stages are reused."
        ) from error
    return plan


def _unsealed(path: Path) -> dict[str, Any]:
    """The content without its digest, which must be right."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise DamagedError("it is cut off or no JSON object")
    if content.get("schema") != SCHEMA:
        raise DamagedError(f"it must have schema {SCHEMA}, but has {shown(content.get('schema'))}")
    try:
        whole = SEAL in content and not seal_broken(content)
    except (InputError, RecursionError):  # numbers that are not finite, or too deep a nesting
        whole = False
    if not whole:
        raise DamagedError("it was changed after it was frozen")
    del content[SEAL]
    return content


def _validated(content: dict[str, Any]) -> Plan:
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise DamagedError(f"{place or 'it'}: {first['msg']} (found {shown(first['input'])})") from error


def _require_consistent(plan: Plan) -> None:
    """Refuse what no planner writes: names that lead elsewhere, stages that are not there, runs that count twice."""
    seen: set[str] = set()
    for name, stage in plan.stages.items():
        if not is_identifier(name):
            raise DamagedError(f"a stage is named {shown(name)}")
        if not seen.issuperset(stage.needs.values()):
            raise DamagedError(f"stage {name} needs one that is not planned before it")
        seen.add(name)
    for shared in (plan.shared.reference, plan.shared.evaluate_base):
        if not seen.issuperset(shared.values()):
            raise DamagedError("a shared stage is not planned")
    for place in plan.adapters:
        kind, _, name = place.partition("/")
        if kind not in TRAINING_KINDS or name not in seen:
            raise DamagedError(f"the adapter {shown(place)} is not planned")
    for system in {*plan.systems, *(system for run in plan.runs for system in run.systems)}:
        if not is_identifier(system):
            raise DamagedError(f"a system is named {shown(system)}")
    _require_distinct(plan)
    for position, run in enumerate(plan.runs):
        _require_planned(plan, run, position)


def _require_distinct(plan: Plan) -> None:
    """A run that counts twice would make every interval too narrow."""
    named: dict[object, str] = {}
    for run in plan.runs:
        for identity in (run.name, (run.configuration, run.replicate, run.systems)):
            if identity in named:
                raise DamagedError(f"{shown(named[identity])} and {shown(run.name)} are the same run")
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
            raise DamagedError(f"run {run.name} is not about {shown(system)}")
    if run.start is not None and run.start not in plan.stages:
        raise DamagedError(f"run {run.name} starts from a stage that is not planned")
    if any(type(value) is int and finite(value) is None for value in run.factors.values()):
        raise DamagedError(f"a factor of run {run.name} is out of reach")
