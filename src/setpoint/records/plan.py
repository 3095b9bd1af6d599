"""The plan of an experiment: runs, and the stages they share. Written once, as plan.json, and then only read."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from setpoint.artifacts import read_json
from setpoint.errors import InputError
from setpoint.fingerprint import SEAL, seal_broken, sealed

Value = bool | int | float | str
"""Of a parameter."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlannedStage(_Record):
    """One stage; its id is the key in `Plan.stages`."""

    kind: str
    config: dict[str, Any]
    needs: dict[str, str] = {}
    """Role -> id of the upstream stage."""
    seed: int


class PlannedRun(_Record):
    """One trained model and its evaluation."""

    name: str
    index: int
    configuration: int
    replicate: int
    seed: int
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
    """Role -> stage id. Roles are `sft`, `grpo`, `evaluate`, `evaluate_sft` (between the two) and `evaluate_start` (of
    the adapter it starts from, before training); where a run has several systems, evaluations are `<role>:<system>`."""


class NamedDigest(_Record):
    """An input by name, and the digest of its content."""

    name: str
    digest: str


class AnalysisPlan(_Record):
    """What will be compared, fixed before there are results."""

    primary_metric: str
    secondary_metrics: tuple[str, ...]
    scale: Literal["log", "linear"]
    factors: tuple[str, ...]
    families: tuple[tuple[str, ...], ...]
    """Factors that are tested together, so that their p-values are adjusted together."""
    blocks: tuple[str, ...]
    alpha: float = 0.05
    judged: dict[str, str]
    """System -> `open_loop` or `closed_loop`."""


class Shared(_Record):
    """Stages that serve all runs: system -> stage id."""

    reference: dict[str, str]
    evaluate_base: dict[str, str]


class Plan(_Record):
    """All runs of an experiment and the stages they need, upstream stages first."""

    schema_version: int = Field(default=1, alias="schema")
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

    def adapter_places(self) -> dict[str, str]:
        """Stage id of each adapter from outside the experiment -> `kind/id`."""
        return {place.partition("/")[2]: place for place in self.adapters}

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        return self.model_dump(mode="json", by_alias=True)

    def to_file(self) -> dict[str, Any]:
        """The content of plan.json: the plan, with a digest of itself."""
        return sealed(self.to_json())

    def upstream(self, stage_id: str) -> set[str]:
        """Every stage that `stage_id` needs, directly or through others."""
        found: set[str] = set()
        open_ids = [stage_id]
        while open_ids:
            new = set(self.stages[open_ids.pop()].needs.values()) - found
            found |= new
            open_ids += new
        return found


def plan_path(experiment: Path) -> Path:
    """The plan of the experiment in this folder."""
    return experiment / "plan.json"


def read_plan(experiment: Path) -> Plan | None:
    """The plan of the experiment in this folder, None where there is none yet.

    Raises:
        InputError: the file is there but damaged, changed by hand, or of another version.
    """
    path = plan_path(experiment)
    if not path.exists():
        return None
    content = read_json(path)
    if isinstance(content, dict):
        if seal_broken(content):
            raise InputError(
                f"{str(path)!r} was changed after it was frozen. Restore it, or start a new experiment with --fresh; "
                "finished stages are reused."
            )
        content = {name: value for name, value in content.items() if name != SEAL}
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        raise InputError(
            f"{str(path)!r} is damaged or of another version ({error.error_count()} findings). "
            "Start a new experiment with --fresh; finished stages are reused."
        ) from error
