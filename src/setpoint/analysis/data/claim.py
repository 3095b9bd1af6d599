"""What a report may say: sentences with the numbers that earn them, and with the reason where they are not earned."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import NoneType
from typing import Any, TypeVar

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from setpoint.analysis.data import evidence as forms
from setpoint.analysis.data.evidence import Evidence
from setpoint.analysis.data.subject import (
    ArmPair,
    FactorSet,
    MetricByFactor,
    OneCell,
    OneConfiguration,
    OneFactor,
    Subject,
    TwoFactors,
)

SCHEMA = 1


class Status(StrEnum):
    """How far the data carry a claim."""

    SUPPORTED = "supported"
    """The pre-declared test says so at the declared level."""
    SUGGESTIVE = "suggestive"
    """A part of what is needed holds; the reason says which part does not."""
    UNRESOLVED = "unresolved"
    """Tested, and the data do not decide."""
    NOT_TESTABLE = "not_testable"
    """The design or what is left of it gives no error to test against."""
    REFUSED = "refused"
    """An answer would be wrong whatever the data: the metric or the question does not fit the method."""
    DESCRIPTIVE = "descriptive"
    """A calculation from the data, which no test can confirm or reject."""

    @property
    def tested(self) -> bool:
        """Whether a test stands behind the status."""
        return self in {Status.SUPPORTED, Status.SUGGESTIVE, Status.UNRESOLVED}


@dataclass(frozen=True)
class Obstacle:
    """Why there is nothing to analyse."""

    status: Status
    reason: str


class ClaimKind(StrEnum):
    """The question that a claim answers."""

    MOST_IMPACTFUL = "most_impactful"
    """Which swept parameter matters most."""
    OPTIMAL_LEVEL = "optimal_level"
    """Which level of a parameter is best."""
    MAIN_EFFECT = "main_effect"
    """Whether a parameter changes the metric."""
    INTERACTION = "interaction"
    """Whether the effect of one parameter depends on another."""
    RESOLUTION = "resolution"
    """Which difference of two levels the design shows, now and with more seeds."""
    SEED_CORRELATION = "seed_correlation"
    """Whether runs with equal seeds resemble each other."""
    DIFFERENCE = "difference"
    """Which of two arms is better on one system."""
    THESE_SYSTEMS = "these_systems"
    """Which of two arms is better on average over the systems that were tried."""
    SYSTEMS_IN_GENERAL = "systems_in_general"
    """Which of two arms is better for systems in general, those that were tried being a sample."""
    RANKS = "ranks"
    """Whether the ranks of three arms or more differ over systems."""
    SOURCE = "source"
    """Whether training on a source system helps on a target."""
    BEST_CONFIGURATIONS = "best_configurations"
    """Which configurations of a system may be the best."""
    CONFIRMATION = "confirmation"
    """The score with fresh seeds of a configuration that another experiment chose."""
    CHECKPOINTS = "checkpoints"
    """Which of single trained models is best on the cases that all of them met."""
    SFT_AGAINST_BASE = "sft_against_base"
    """Whether SFT improves on the base."""
    GRPO_AGAINST_SFT = "grpo_against_sft"
    """Whether GRPO improves on the SFT model that it started from."""
    FAILURES = "failures"
    """Whether the levels of a parameter fail equally often."""
    SECONDARY = "secondary"
    """Whether a parameter changes a metric that is not the primary one."""
    INERT_PARAMETERS = "inert_parameters"
    """Parameters without any effect: runs that differ in them alone gave the same files."""


@dataclass(frozen=True)
class Form:
    """What claims of one kind are about, and what they rest on."""

    subjects: tuple[type[Subject] | type[None], ...]
    evidence: type[Evidence]


FORMS: Mapping[ClaimKind, Form] = {
    ClaimKind.MOST_IMPACTFUL: Form((NoneType,), forms.ImpactEvidence),
    ClaimKind.OPTIMAL_LEVEL: Form((OneFactor,), forms.LevelEvidence),
    ClaimKind.MAIN_EFFECT: Form((OneFactor,), forms.EffectEvidence),
    ClaimKind.INTERACTION: Form((TwoFactors,), forms.InteractionEvidence),
    ClaimKind.RESOLUTION: Form((NoneType,), forms.ResolutionEvidence),
    ClaimKind.SEED_CORRELATION: Form((NoneType,), forms.SeedEvidence),
    ClaimKind.DIFFERENCE: Form((ArmPair,), forms.DifferenceEvidence),
    ClaimKind.THESE_SYSTEMS: Form((ArmPair,), forms.TheseSystemsEvidence),
    ClaimKind.SYSTEMS_IN_GENERAL: Form((ArmPair,), forms.GeneralEvidence),
    ClaimKind.RANKS: Form((OneFactor,), forms.RankEvidence),
    ClaimKind.SOURCE: Form((NoneType,), forms.SourceEvidence),
    ClaimKind.BEST_CONFIGURATIONS: Form((NoneType,), forms.BestSetEvidence),
    ClaimKind.CONFIRMATION: Form((OneConfiguration,), forms.ConfirmationEvidence),
    ClaimKind.CHECKPOINTS: Form((NoneType,), forms.CheckpointEvidence),
    ClaimKind.SFT_AGAINST_BASE: Form((OneCell, NoneType), forms.StageEvidence),
    ClaimKind.GRPO_AGAINST_SFT: Form((OneCell, NoneType), forms.StageEvidence),
    ClaimKind.FAILURES: Form((OneFactor,), forms.FailureEvidence),
    ClaimKind.SECONDARY: Form((MetricByFactor,), forms.SecondaryEvidence),
    ClaimKind.INERT_PARAMETERS: Form((FactorSet,), forms.InertEvidence),
}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One statement about an experiment.

    Attributes:
        kind: the question.
        subject: what it is about; None where it is the whole experiment, or all that ran on `system`.
        system: the system it is about; None where it is about all of them.
        heading: the question in words, before the colon in a report.
        statement: the answer, after the colon.
        status: how far the data carry it.
        reason: why that status, in words.
        method: how it was computed.
        n_runs: runs behind it.
        estimate: the size of the effect.
        estimate_of: what the estimate measures; None where the heading says so.
        interval: of the estimate, at the level at which the claim was tested: where the estimate is what was tested, it
            excludes no effect exactly where `p_adjusted` is below alpha.
        p_adjusted: adjusted over the claim's family.
        caveats: what to know before relying on it.
        evidence: what else it rests on, in the form that belongs to its kind; None where nothing was computed.
    """

    kind: ClaimKind
    subject: Subject | None = None
    system: str | None = None
    heading: str
    statement: str
    status: Status
    reason: str
    method: str
    n_runs: int
    estimate: float | None = None
    estimate_of: str | None = None
    interval: tuple[float, float] | None = None
    p_adjusted: float | None = None
    caveats: tuple[str, ...] = ()
    evidence: Evidence | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be printed, and what does not belong to the kind."""
        numbers = [self.estimate, self.p_adjusted, *(self.interval or ())]
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise ValueError(f"claim {self.id}: numbers must be finite, but are {numbers}")
        form = FORMS[self.kind]
        if not isinstance(self.subject, form.subjects) or not isinstance(self.evidence, (form.evidence, NoneType)):
            found = f"{type(self.subject).__name__} and {type(self.evidence).__name__}"
            raise TypeError(f"claim {self.id}: subject and evidence must fit its kind, but are {found}")

    @property
    def id(self) -> str:
        """Kind, system and subject, joined by colons; a stable name."""
        return ":".join(str(part) for part in (self.kind, self.system, self.subject) if part is not None)

    @property
    def factor(self) -> str:
        """The factor that it is about; empty where it is not about a single one."""
        return self.subject.factor if isinstance(self.subject, OneFactor | MetricByFactor | ArmPair) else ""


E = TypeVar("E")


def unanswered(
    kind: ClaimKind,
    heading: str,
    obstacle: Obstacle,
    *,
    subject: Subject | None = None,
    system: str | None = None,
    observed: str = "",
    method: str = "none",
    n_runs: int = 0,
) -> Claim:
    """The claim that would be made, with the reason why it is not; `observed` is the sentence up to the reason."""
    return Claim(
        kind=kind,
        subject=subject,
        system=system,
        heading=heading,
        statement=f"not resolved: {observed}{obstacle.reason}",
        status=obstacle.status,
        reason=obstacle.reason,
        method=method,
        n_runs=n_runs,
    )


def of_kind(claims: Iterable[Claim], *kinds: ClaimKind) -> list[Claim]:
    """The claims of these kinds, in their order."""
    return [claim for claim in claims if claim.kind in kinds]


def find(
    claims: Iterable[Claim], kind: ClaimKind, *, subject: Subject | None = None, system: str | None = None
) -> Claim | None:
    """The claim of this kind about `subject` on `system`; None where it was not made."""
    return next((c for c in of_kind(claims, kind) if c.subject == subject and c.system == system), None)


def with_evidence(claims: Iterable[Claim], form: type[E]) -> list[tuple[Claim, E]]:
    """The claims that rest on evidence of this form, each with it."""
    return [(claim, claim.evidence) for claim in claims if isinstance(claim.evidence, form)]


def all_caveats(claims: Iterable[Claim]) -> list[str]:
    """Every caveat of the claims once."""
    return list(dict.fromkeys(caveat for claim in claims for caveat in claim.caveats))


def to_json(claim: Claim) -> dict[str, Any]:
    """The claim as plain JSON values; its evidence is called `details` there."""
    fields = asdict(claim)
    details = fields.pop("evidence")
    plain: dict[str, Any] = to_jsonable_python({"id": claim.id, **fields, "details": details or {}})
    return plain


def from_json(fields: Mapping[str, Any]) -> Claim:
    """The claim that `to_json` wrote.

    Raises:
        ValueError: it did not write this.
    """
    kind = ClaimKind(fields["kind"])
    form = FORMS[kind]
    subject, interval, details = fields["subject"], fields["interval"], fields["details"]
    typed = {
        "kind": kind,
        "subject": None if subject is None else _read(form.subjects[0], subject),
        "status": Status(fields["status"]),
        "interval": None if interval is None else (interval[0], interval[1]),
        "caveats": tuple(fields["caveats"]),
        "evidence": _read(form.evidence, details) if details else None,
    }
    plain = {name: value for name, value in fields.items() if name not in {"id", "details"}}
    return Claim(**plain | typed)


def _read(form: type, value: Any) -> Any:
    return TypeAdapter(form).validate_python(value)
