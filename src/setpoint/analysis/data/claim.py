"""Claims: the statements of a report, each with its estimate, its interval, its p-value and its status."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from dataclasses import fields as fields_of
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
    FactorTrend,
    MetricByFactor,
    OneCell,
    OneConfiguration,
    OneFactor,
    Subject,
    TwoFactors,
)

SCHEMA = 1


class Status(StrEnum):
    """Strength of the evidence for a claim."""

    SUPPORTED = "supported"
    """Significant in the pre-declared test at the declared level."""
    SUGGESTIVE = "suggestive"
    """Some of the required conditions hold; the reason names the one that does not."""
    UNRESOLVED = "unresolved"
    """Tested, and inconclusive."""
    NOT_TESTABLE = "not_testable"
    """The design, or the runs that finished, give no variance estimate to test against."""
    REFUSED = "refused"
    """The method does not apply to the metric or the question, whatever the data."""
    DESCRIPTIVE = "descriptive"
    """Computed from the data without a significance test."""

    @property
    def tested(self) -> bool:
        """Return whether the claim was tested."""
        return self in {Status.SUPPORTED, Status.SUGGESTIVE, Status.UNRESOLVED}


@dataclass(frozen=True)
class Obstacle:
    """Why a question cannot be analysed."""

    status: Status
    reason: str


class ClaimKind(StrEnum):
    """The question that a claim answers."""

    MOST_IMPACTFUL = "most_impactful"
    """Which swept parameter has the largest effect?"""
    OPTIMAL_LEVEL = "optimal_level"
    """Which level of a parameter is best?"""
    MAIN_EFFECT = "main_effect"
    """Does a parameter change the metric?"""
    TREND = "trend"
    """Does the metric rise or fall with a numeric parameter, and is the trend curved?"""
    EQUIVALENCE = "equivalence"
    """Is every difference between levels, or between two arms, smaller than the margin of the plan?"""
    INTERACTION = "interaction"
    """Does the effect of one parameter depend on another?"""
    RESOLUTION = "resolution"
    """What is the minimum detectable difference between two levels, with these seeds and with more?"""
    SEED_CORRELATION = "seed_correlation"
    """Are runs that share a seed correlated?"""
    DIFFERENCE = "difference"
    """Which of two arms is better on one system?"""
    THESE_SYSTEMS = "these_systems"
    """Which of two arms is better on average over the tested systems?"""
    SYSTEMS_IN_GENERAL = "systems_in_general"
    """Which of two arms is better for systems in general, if the tested systems are a sample of them?"""
    RANKS = "ranks"
    """Do the ranks of three or more arms differ over systems?"""
    SOURCE = "source"
    """Does training on a source system help on a target?"""
    BEST_CONFIGURATIONS = "best_configurations"
    """Which configurations of a system are statistically tied with the best?"""
    CONFIRMATION = "confirmation"
    """How good is a configuration that another experiment selected, with new seeds and so without selection bias?"""
    CHECKPOINTS = "checkpoints"
    """Which single trained model is best on the shared test cases?"""
    SFT_AGAINST_BASE = "sft_against_base"
    """Does SFT improve on the base model?"""
    DAGGER_AGAINST_SFT = "dagger_against_sft"
    """Does DAgger improve on the SFT model that it started from?"""
    GRPO_AGAINST_SFT = "grpo_against_sft"
    """Does GRPO improve on the model that it started from?"""
    FAILURES = "failures"
    """Does the failure rate depend on the level of a parameter?"""
    SECONDARY = "secondary"
    """Does a parameter change a secondary metric?"""
    INERT_PARAMETERS = "inert_parameters"
    """Which parameters are inert: do runs that differ only in them produce identical files?"""


@dataclass(frozen=True)
class Form:
    """Types of subject and evidence of one kind of claim."""

    subjects: tuple[type[Subject] | type[None], ...]
    evidence: type[Evidence]


FORMS: Mapping[ClaimKind, Form] = {
    ClaimKind.MOST_IMPACTFUL: Form((NoneType,), forms.ImpactEvidence),
    ClaimKind.OPTIMAL_LEVEL: Form((OneFactor,), forms.LevelEvidence),
    ClaimKind.MAIN_EFFECT: Form((OneFactor,), forms.EffectEvidence),
    ClaimKind.TREND: Form((FactorTrend,), forms.TrendEvidence),
    ClaimKind.EQUIVALENCE: Form((ArmPair, OneFactor), forms.EquivalenceEvidence),
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
    ClaimKind.DAGGER_AGAINST_SFT: Form((OneCell, NoneType), forms.StageEvidence),
    ClaimKind.GRPO_AGAINST_SFT: Form((OneCell, NoneType), forms.StageEvidence),
    ClaimKind.FAILURES: Form((OneFactor,), forms.FailureEvidence),
    ClaimKind.SECONDARY: Form((MetricByFactor,), forms.SecondaryEvidence),
    ClaimKind.INERT_PARAMETERS: Form((FactorSet,), forms.InertEvidence),
}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One statement about an experiment.

    Attributes:
        kind: the question that it answers.
        subject: what it is about; None for the whole experiment, or for all runs on `system`.
        system: the system it is about; None for all systems.
        heading: the question, printed before the colon in a report.
        statement: the answer, printed after the colon.
        status: strength of the evidence.
        reason: why it has this status.
        method: the statistical method.
        n_runs: number of runs used.
        estimate: effect size.
        estimate_of: what the estimate measures; None if the heading says so.
        interval: confidence interval of the estimate at the level of the claim's test; if the test is one of the
            estimate, the interval excludes zero effect exactly if `p_adjusted` is below alpha. For equivalence, it is
            below the margin exactly then.
        p_adjusted: p-value, adjusted over the claim's family.
        caveats: limitations.
        evidence: further numbers, of the type that belongs to the kind; None if nothing was computed.
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
        """Check that all numbers are finite, and that subject and evidence fit the kind."""
        numbers = [self.estimate, self.p_adjusted, *(self.interval or ())]
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise ValueError(f"claim {self.id}: numbers must be finite, got {numbers}")
        form = FORMS[self.kind]
        if not isinstance(self.subject, form.subjects) or not isinstance(self.evidence, (form.evidence, NoneType)):
            found = f"{type(self.subject).__name__} and {type(self.evidence).__name__}"
            raise TypeError(f"claim {self.id}: subject and evidence must fit its kind, got {found}")

    @property
    def id(self) -> str:
        """Return kind, system and subject, joined by colons: a stable name."""
        return ":".join(str(part) for part in (self.kind, self.system, self.subject) if part is not None)

    @property
    def factor(self) -> str:
        """Return the factor that the claim is about; empty if it is not about a single factor."""
        return (
            self.subject.factor if isinstance(self.subject, OneFactor | FactorTrend | MetricByFactor | ArmPair) else ""
        )


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
    """Make a claim that was not tested; its statement is `observed` followed by the reason of the obstacle."""
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
    """Return the claims of these kinds, in their order."""
    return [claim for claim in claims if claim.kind in kinds]


def find(
    claims: Iterable[Claim], kind: ClaimKind, *, subject: Subject | None = None, system: str | None = None
) -> Claim | None:
    """Return the claim of this kind about `subject` on `system`; None if there is none."""
    return next((c for c in of_kind(claims, kind) if c.subject == subject and c.system == system), None)


def with_evidence(claims: Iterable[Claim], form: type[E]) -> list[tuple[Claim, E]]:
    """Return the claims whose evidence has this type, each with its evidence."""
    return [(claim, claim.evidence) for claim in claims if isinstance(claim.evidence, form)]


def all_caveats(claims: Iterable[Claim]) -> list[str]:
    """Return all caveats of the claims, without repetitions."""
    return list(dict.fromkeys(caveat for claim in claims for caveat in claim.caveats))


def to_json(claim: Claim) -> dict[str, Any]:
    """Convert the claim to plain JSON values; its evidence has the key `details`."""
    fields = asdict(claim)
    details = fields.pop("evidence")
    plain: dict[str, Any] = to_jsonable_python({"id": claim.id, **fields, "details": details or {}})
    return plain


def from_json(fields: Mapping[str, Any]) -> Claim:
    """Read a claim that `to_json` wrote.

    Raises:
        ValueError: `fields` are not those of a claim.
    """
    kind = ClaimKind(fields["kind"])
    form = FORMS[kind]
    subject, interval, details = fields["subject"], fields["interval"], fields["details"]
    typed = {
        "kind": kind,
        "subject": None if subject is None else _read_subject(form, subject),
        "status": Status(fields["status"]),
        "interval": None if interval is None else (interval[0], interval[1]),
        "caveats": tuple(fields["caveats"]),
        "evidence": _read(form.evidence, details) if details else None,
    }
    plain = {name: value for name, value in fields.items() if name not in {"id", "details"}}
    return Claim(**plain | typed)


def _read_subject(form: Form, value: Mapping[str, Any]) -> Any:
    """Return the subject of the type whose fields these are."""
    types = [each for each in form.subjects if is_dataclass(each)]
    return _read(next((each for each in types if {f.name for f in fields_of(each)} == set(value)), types[0]), value)


def _read(form: type, value: Any) -> Any:
    return TypeAdapter(form).validate_python(value)
