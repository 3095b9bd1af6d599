"""Equivalence of two arms on one system: is their difference smaller than the margin that the plan declares?"""

from collections.abc import Sequence
from dataclasses import dataclass

from setpoint.analysis.data.claim import Claim, ClaimKind, Obstacle, Status, unanswered
from setpoint.analysis.data.design import Scale
from setpoint.analysis.data.evidence import EquivalenceEvidence
from setpoint.analysis.data.experiment import ExperimentData
from setpoint.analysis.data.subject import ArmPair
from setpoint.analysis.data.verdict import interim
from setpoint.analysis.runs.reliability import failure_rates_p, survivor_caveat
from setpoint.analysis.statistics.cells import Contrast
from setpoint.analysis.statistics.effects import holm
from setpoint.analysis.statistics.equivalence import largest_difference
from setpoint.formatting import counted, p_text

METHOD = "two one-sided t tests (Welch, or paired), Holm over all systems and pairs"


@dataclass(frozen=True)
class ArmContrast:
    """The difference of two arms on one system, or why it cannot be tested, with the number of runs."""

    subject: ArmPair
    system: str
    scale: Scale
    contrast: Contrast | Obstacle
    n_runs: int


def arm_equivalence(data: ExperimentData, factor: str, found: Sequence[ArmContrast]) -> list[Claim]:
    """Make one claim per pair and system; none if the plan declares no margin."""
    margin, alpha = data.analysis.margin, data.analysis.alpha
    if margin is None:
        return []
    tested = {k: each.contrast for k, each in enumerate(found) if isinstance(each.contrast, Contrast)}
    raw = {k: largest_difference([contrast], margin, alpha).p for k, contrast in tested.items()}
    adjusted = dict(zip(raw, holm(list(raw.values())), strict=True))
    unequal = failure_rates_p(data, factor) < alpha
    return [
        _claim(data, each, each.contrast, margin, (raw[k], adjusted[k]), unequal=unequal)
        if isinstance(each.contrast, Contrast)
        else unanswered(
            ClaimKind.EQUIVALENCE,
            _heading(each, margin),
            each.contrast,
            subject=each.subject,
            system=each.system,
            method=METHOD,
            n_runs=each.n_runs,
        )
        for k, each in enumerate(found)
    ]


def _heading(each: ArmContrast, margin: float) -> str:
    first, second = each.subject.names
    return f"Equivalence of {second} and {first} within {each.scale.size_text(margin)}, {each.system}"


def _claim(
    data: ExperimentData, each: ArmContrast, contrast: Contrast, margin: float, p: tuple[float, float], *, unequal: bool
) -> Claim:
    raw, adjusted = p
    alpha, scale = data.analysis.alpha, each.scale
    found = largest_difference([contrast], margin, alpha * raw / adjusted if adjusted > raw > 0.0 else alpha)
    limit, allowed = scale.size_text(found.limit), scale.size_text(margin)
    facts = f"observed: {scale.size_text(found.observed)}, upper limit {limit}, {p_text(adjusted, alpha)}"
    doubts = [*interim(data), *(["failure rates differ between the arms"] if unequal else [])]
    if adjusted >= alpha:
        status, reason = Status.UNRESOLVED, "open: the upper limit of the difference is not below the margin"
        answer = f"not resolved: a difference up to {limit} is possible"
    elif doubts:
        status, reason = Status.SUGGESTIVE, "; ".join(doubts)
        answer = f"not resolved: no difference larger than {allowed} seen"
    else:
        status, reason = Status.SUPPORTED, "the upper limit of the difference is below the margin"
        answer = f"no difference larger than {allowed}"
    counts = counted(each.n_runs, data.words.run)
    return Claim(
        kind=ClaimKind.EQUIVALENCE,
        subject=each.subject,
        system=each.system,
        heading=_heading(each, margin),
        statement=f"{answer} ({facts}, {counts})" + ("" if status is Status.SUPPORTED else f"; {reason}"),
        status=status,
        reason=reason,
        method=METHOD,
        n_runs=each.n_runs,
        estimate=scale.size(found.observed),
        estimate_of="difference between the arms",
        interval=(0.0, scale.size(found.limit)),
        p_adjusted=adjusted,
        caveats=tuple(survivor_caveat(data)),
        evidence=EquivalenceEvidence(margin, found.limit, limit, raw),
    )
