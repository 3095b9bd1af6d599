"""Consistency checks of the claims of one report, with each other and with their own numbers.

Each rule describes a pair of contradictory statements, such as a significant difference with an interval that contains
zero, or a best level of a parameter without a significant effect.
"""

from collections.abc import Callable, Iterator, Sequence

from setpoint.analysis.data.claim import Claim, ClaimKind, Status, find, of_kind, with_evidence
from setpoint.analysis.data.evidence import (
    BestSetEvidence,
    EffectEvidence,
    EquivalenceEvidence,
    ImpactEvidence,
    LevelEvidence,
    TrendEvidence,
)
from setpoint.analysis.data.subject import OneFactor
from setpoint.formatting import p_text

TESTED_ESTIMATES = frozenset(
    {
        ClaimKind.MAIN_EFFECT,
        ClaimKind.TREND,
        ClaimKind.DIFFERENCE,
        ClaimKind.THESE_SYSTEMS,
        ClaimKind.SFT_AGAINST_BASE,
        ClaimKind.DAGGER_AGAINST_SFT,
        ClaimKind.GRPO_AGAINST_SFT,
    }
)
"""Kinds of claims whose interval inverts the test of their p-value."""
BOUNDED = frozenset({ClaimKind.EQUIVALENCE})
"""Kinds of claims whose interval is below a margin exactly if they are significant."""
NEVER_TESTED = frozenset({ClaimKind.INERT_PARAMETERS, ClaimKind.CONFIRMATION, ClaimKind.CHECKPOINTS})
_PRINTS_ITS_P = frozenset({ClaimKind.OPTIMAL_LEVEL, ClaimKind.MAIN_EFFECT, ClaimKind.TREND})
ROUNDING = 1e-9

Rule = Callable[[Sequence[Claim], float], Iterator[str]]


def contradictions(claims: Sequence[Claim], alpha: float) -> list[str]:
    """Return a description of each contradiction; empty if there is none."""
    return [text for rule in RULES for text in rule(claims, alpha)]


def _status_and_p(claims: Sequence[Claim], alpha: float) -> Iterator[str]:
    for claim in claims:
        if claim.p_adjusted is None or claim.kind in NEVER_TESTED:
            continue
        if claim.status is Status.SUPPORTED and claim.p_adjusted >= alpha:
            yield f"{claim.id}: supported with p = {claim.p_adjusted}"
        if claim.status is Status.UNRESOLVED and claim.p_adjusted < alpha and claim.kind is not ClaimKind.RANKS:
            yield f"{claim.id}: unresolved with p = {claim.p_adjusted}"


def _interval_and_p(claims: Sequence[Claim], alpha: float) -> Iterator[str]:
    for claim in claims:
        if claim.interval is None or claim.p_adjusted is None or claim.kind in NEVER_TESTED:
            continue
        low, high = claim.interval
        excludes, significant = low > 0.0 or high < 0.0, claim.p_adjusted < alpha
        if significant and not excludes and claim.kind not in BOUNDED:
            yield f"{claim.id}: p = {claim.p_adjusted} beside an interval that contains no effect, {claim.interval}"
        if claim.kind in TESTED_ESTIMATES and excludes and not significant:
            yield f"{claim.id}: p = {claim.p_adjusted} beside an interval without no effect, {claim.interval}"
        if claim.estimate is not None and not low - ROUNDING <= claim.estimate <= high + ROUNDING:
            yield f"{claim.id}: the estimate {claim.estimate} is outside its interval {claim.interval}"


def _words_and_status(claims: Sequence[Claim], alpha: float) -> Iterator[str]:
    for claim in claims:
        sure = claim.status is Status.SUPPORTED
        if sure == claim.statement.startswith("not resolved") and claim.status is not Status.DESCRIPTIVE:
            open_words = claim.kind in {ClaimKind.SECONDARY, ClaimKind.CONFIRMATION} or "exploratory" in claim.statement
            if not open_words:
                yield f"{claim.id}: {claim.status.value}, but says {claim.statement!r}"
        if sure and "not distinguishable" in claim.statement:
            yield f"{claim.id}: supported and not distinguishable: {claim.statement!r}"
        if claim.p_adjusted is not None and claim.p_adjusted >= alpha and f"p<{alpha:g}" in claim.statement:
            yield f"{claim.id}: p = {claim.p_adjusted}, but says {claim.statement!r}"
        printed = claim.p_adjusted is not None and claim.kind in _PRINTS_ITS_P
        if printed and p_text(claim.p_adjusted or 0.0, alpha) not in claim.statement:
            yield f"{claim.id}: p = {claim.p_adjusted} is not the one in {claim.statement!r}"


def _level_and_effect(claims: Sequence[Claim], alpha: float) -> Iterator[str]:
    for level, found in with_evidence(of_kind(claims, ClaimKind.OPTIMAL_LEVEL), LevelEvidence):
        effect = find(claims, ClaimKind.MAIN_EFFECT, subject=OneFactor(level.factor))
        alone = found.possibly_best == (found.observed_best,)
        if level.status is Status.SUPPORTED and not alone:
            yield f"{level.id}: supported, but {found.possibly_best} may be best"
        if found.observed_best not in found.possibly_best:
            yield f"{level.id}: {found.observed_best} is observed best and not among {found.possibly_best}"
        if effect is None or not isinstance(effect.evidence, EffectEvidence):
            continue
        if level.status is Status.SUPPORTED and effect.status is not Status.SUPPORTED:
            yield f"{level.id}: supported, while the effect of the parameter is {effect.status.value}"
        if effect.status is Status.UNRESOLVED and len(found.possibly_best) < len(found.level_means):
            yield f"{level.id}: levels are excluded of a parameter without an effect shown"
        if effect.evidence.best_level != found.observed_best:
            yield f"{level.id}: best is {found.observed_best}, for the effect it is {effect.evidence.best_level}"
        if len(found.level_means) == 2 and level.p_adjusted != effect.p_adjusted:
            yield f"{level.id}: p = {level.p_adjusted}, while the effect has {effect.p_adjusted}"


def _configurations_and_levels(claims: Sequence[Claim], alpha: float) -> Iterator[str]:
    for best, found in with_evidence(of_kind(claims, ClaimKind.BEST_CONFIGURATIONS), BestSetEvidence):
        alone = found.possibly_best == (found.observed_best,)
        if best.status is Status.SUPPORTED and not alone:
            yield f"{best.id}: supported, but {found.possibly_best} may be best"
        if found.observed_best not in found.possibly_best:
            yield f"{best.id}: {found.observed_best} is observed best and not among {found.possibly_best}"
        levels = of_kind(claims, ClaimKind.OPTIMAL_LEVEL)
        systems = of_kind(claims, ClaimKind.BEST_CONFIGURATIONS)
        if len(levels) == 1 and len(systems) == 1 and levels[0].evidence is not None:
            one = levels[0]
            if (one.status, one.p_adjusted, one.statement) != (best.status, best.p_adjusted, best.statement):
                yield f"{best.id}: {best.statement!r}, while the level says {one.statement!r}"


def _impact_and_effect(claims: Sequence[Claim], alpha: float) -> Iterator[str]:
    for impact, found in with_evidence(claims, ImpactEvidence):
        effect = find(claims, ClaimKind.MAIN_EFFECT, subject=OneFactor(found.parameter))
        if effect is None:
            yield f"{impact.id}: no effect of {found.parameter} was tested"
        elif impact.status is Status.SUPPORTED and effect.status is not Status.SUPPORTED:
            yield f"{impact.id}: named, while its effect is {effect.status.value}"
        elif impact.p_adjusted != effect.p_adjusted:
            yield f"{impact.id}: p = {impact.p_adjusted}, the effect has {effect.p_adjusted}"


def _trends_and_effect(claims: Sequence[Claim], alpha: float) -> Iterator[str]:
    """A factor with trends has an effect exactly if it has one of them."""
    by_factor: dict[str, list[Claim]] = {}
    for trend, _ in with_evidence(claims, TrendEvidence):
        by_factor.setdefault(trend.factor, []).append(trend)
    for factor, trends in by_factor.items():
        effect = find(claims, ClaimKind.MAIN_EFFECT, subject=OneFactor(factor))
        if effect is None:
            yield f"{trends[0].id}: no effect of {factor} was tested"
            continue
        if effect.p_adjusted != min(trend.p_adjusted or 0.0 for trend in trends):
            yield f"{effect.id}: p = {effect.p_adjusted}, its trends have {[trend.p_adjusted for trend in trends]}"
        if effect.status is not Status.SUPPORTED and any(trend.status is Status.SUPPORTED for trend in trends):
            yield f"{effect.id}: {effect.status.value}, while a trend is supported"


def _equivalence_and_effect(claims: Sequence[Claim], alpha: float) -> Iterator[str]:
    for claim, found in with_evidence(claims, EquivalenceEvidence):
        below, significant = found.limit < found.margin, (claim.p_adjusted or 0.0) < alpha
        if below is not significant and abs(found.limit - found.margin) > ROUNDING * found.margin:
            yield f"{claim.id}: p = {claim.p_adjusted}, but the limit is {found.limit} and the margin {found.margin}"
        effect = find(claims, ClaimKind.MAIN_EFFECT, subject=claim.subject)
        if claim.status is Status.SUPPORTED and effect is not None and effect.interval is not None:
            low, high = effect.interval
            if low > found.margin or high < -found.margin:
                yield f"{claim.id}: equivalent within {found.margin}, while the effect is {effect.interval}"
        if claim.status is Status.SUPPORTED and effect is not None and "open" in effect.reason:
            yield f"{claim.id}: equivalent, while the effect says {effect.reason!r}"


RULES: tuple[Rule, ...] = (
    _status_and_p,
    _interval_and_p,
    _words_and_status,
    _level_and_effect,
    _configurations_and_levels,
    _impact_and_effect,
    _trends_and_effect,
    _equivalence_and_effect,
)
