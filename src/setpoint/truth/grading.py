"""Grade claims against the ground truth: 1 if an event happened, 0 if not, None if it could not happen."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from setpoint.analysis.data.claim import Claim, ClaimKind, Status, all_caveats, find, of_kind, with_evidence
from setpoint.analysis.data.evidence import (
    BestSetEvidence,
    EffectEvidence,
    EquivalenceEvidence,
    FailureEvidence,
    ImpactEvidence,
    InteractionEvidence,
    LevelEvidence,
    TrendEvidence,
)
from setpoint.analysis.data.experiment import Level
from setpoint.analysis.data.subject import ArmPair, FactorTrend, OneConfiguration, OneFactor, TwoFactors
from setpoint.formatting import level_text
from setpoint.truth.competitors import found_by_others, true_trend
from setpoint.truth.planted import Planted

Grades = Mapping[str, float | None]
Grade = Callable[[Planted, Sequence[Claim]], Grades]
NOT_A_NUMBER = re.compile(r"\b(nan|NaN|inf|None)\b")
SAME = 1e-9
SURE, SEEN = frozenset({Status.SUPPORTED}), frozenset({Status.SUPPORTED, Status.SUGGESTIVE})
P_VALUE = "p of "
"""Prefix of grades that are p-values; their distribution is tested, not their mean."""


def prose_is_finite(claims: Sequence[Claim]) -> bool:
    """Return whether no sentence contains nan, inf or None."""
    return not any(NOT_A_NUMBER.search(f"{claim.statement} {claim.reason}") for claim in claims)


def supported(claims: Iterable[Claim]) -> list[Claim]:
    """Return the supported claims."""
    return [claim for claim in claims if claim.status is Status.SUPPORTED]


def grade_factorial(planted: Planted, claims: Sequence[Claim]) -> Grades:
    """Grade a factorial: family-wise errors, most impactful parameter, coverage, best sets, power."""
    wrong = {
        "false main effect": _any_null(planted, claims, ClaimKind.MAIN_EFFECT, _false_main),
        "false interaction": _any_null(planted, claims, ClaimKind.INTERACTION, _false_interaction),
        "false best level": _any_null(planted, claims, ClaimKind.OPTIMAL_LEVEL, _false_level),
        "false best configuration": _any_null(planted, claims, ClaimKind.BEST_CONFIGURATIONS, _false_configuration),
        "false trend": _any_null(planted, claims, ClaimKind.TREND, _false_trend),
        "false failure claim": _any_null(planted, claims, ClaimKind.FAILURES, lambda *_: True),
    }
    levels, effects = with_evidence(claims, LevelEvidence), with_evidence(claims, EffectEvidence)
    gains = _share(_gain_covered(planted, *each) for each in levels)
    return {
        **wrong,
        "any false claim": float(any(value == 1.0 for value in wrong.values())),
        **_most_impactful(planted, claims),
        "gain covered": gains,
        "gain stated and wrong": 0.0 if gains is None else 1.0 - gains,
        "differences covered": _share(_difference_covered(planted, *each) for each in effects),
        "level means covered": _share(held for each in levels for held in _means_covered(planted, *each)),
        **_equivalence(planted, claims),
        "best level in its set": _share(_best_in_set(planted, *each) for each in levels if each[0].status.tested),
        **{f"found {factor}": _effect_found(claims, factor, SURE) for factor in _true_factors(planted)},
        **{f"found or suggested {factor}": _effect_found(claims, factor, SEEN) for factor in _true_factors(planted)},
        **_trends(planted, claims),
        **found_by_others(planted),
        "found the best level": _best_level_found(planted, claims, SURE),
        "found or suggested the best level": _best_level_found(planted, claims, SEEN),
        "found interaction": float(bool(supported(of_kind(claims, ClaimKind.INTERACTION)))),
        "found or suggested interaction": float(
            any(claim.status in SEEN for claim in of_kind(claims, ClaimKind.INTERACTION))
        ),
        **{P_VALUE + claim.id: p for claim in claims if (p := _p_unadjusted(claim)) is not None},
        **_configurations(planted, claims),
    }


def _trends(planted: Planted, claims: Sequence[Claim]) -> dict[str, float | None]:
    """Return whether intervals of trends cover the truth, and whether true trends are found."""
    made = [(c, c.subject) for c, _ in with_evidence(claims, TrendEvidence) if isinstance(c.subject, FactorTrend)]
    real = [(claim, effect) for claim, effect in made if abs(true_trend(planted, effect)) >= SAME]
    found = {
        f"{word} {effect.shape} {effect.factor}": float(claim.status in statuses)
        for claim, effect in real
        for word, statuses in (("found", SURE), ("found or suggested", SEEN))
    }
    covered = [c.interval[0] <= true_trend(planted, e) <= c.interval[1] for c, e in made if c.interval is not None]
    return {**found, **({"trends covered": _share(covered)} if covered else {})}


def _equivalence(planted: Planted, claims: Sequence[Claim]) -> dict[str, float | None]:
    """Return whether a false equivalence is claimed, a true one is found, and the limits cover the truth."""
    made = [each for each in with_evidence(claims, EquivalenceEvidence) if isinstance(each[0].subject, OneFactor)]
    if not made:
        return {}
    true = {claim.id: float(np.ptp(list(planted.marginal(claim.factor).values()))) for claim, _ in made}
    false = [claim for claim, found in made if true[claim.id] >= found.margin - SAME]
    right = [claim for claim, found in made if true[claim.id] < found.margin - SAME]
    return {
        "false equivalence": _any_supported(false),
        "found equivalence": float(any(claim.status is Status.SUPPORTED for claim in right)) if right else None,
        "largest difference covered": _share(true[claim.id] <= found.limit + SAME for claim, found in made),
    }


def _best_level_found(planted: Planted, claims: Sequence[Claim], statuses: frozenset[Status]) -> float | None:
    """Whether the best level of the first factor that has a single best one is named; None where none has."""
    for factor in planted.factors:
        means = planted.marginal(factor)
        best = min(means, key=lambda level: means[level])
        if sum(mean < means[best] + SAME for mean in means.values()) == 1:
            claim = find(claims, ClaimKind.OPTIMAL_LEVEL, subject=OneFactor(factor))
            found = claim.evidence if claim is not None and claim.status in statuses else None
            return float(isinstance(found, LevelEvidence) and found.observed_best == best)
    return None


def _any_null(
    planted: Planted, claims: Sequence[Claim], kind: ClaimKind, false: Callable[[Planted, Claim], bool]
) -> float | None:
    made = [claim for claim in of_kind(claims, kind) if claim.status.tested]
    return float(any(false(planted, claim) for claim in supported(made))) if made else None


def _effect_found(claims: Sequence[Claim], factor: str, statuses: frozenset[Status]) -> float:
    claim = find(claims, ClaimKind.MAIN_EFFECT, subject=OneFactor(factor))
    return float(claim is not None and claim.status in statuses)


def _p_unadjusted(claim: Claim) -> float | None:
    match claim.evidence:
        case EffectEvidence(p_unadjusted=p) | InteractionEvidence(p_unadjusted=p) | FailureEvidence(p_unadjusted=p):
            return p
        case TrendEvidence(p_unadjusted=p):
            return p
    return None


def _false_main(planted: Planted, claim: Claim) -> bool:
    return bool(np.ptp(list(planted.marginal(claim.factor).values())) < SAME)


def _false_trend(planted: Planted, claim: Claim) -> bool:
    """Return whether a trend is claimed where there is none, or with the wrong sign."""
    if not isinstance(claim.subject, FactorTrend) or claim.estimate is None:
        return False
    truth = true_trend(planted, claim.subject)
    return abs(truth) < SAME or truth * claim.estimate < 0.0


def _false_interaction(planted: Planted, claim: Claim) -> bool:
    return isinstance(claim.subject, TwoFactors) and not planted.interacts(claim.subject.first, claim.subject.second)


def _false_level(planted: Planted, claim: Claim) -> bool:
    """Return whether a level that is claimed to be better than all others is not."""
    if not isinstance(claim.evidence, LevelEvidence):
        return False
    means = planted.marginal(claim.factor)
    named = claim.evidence.observed_best
    return any(means[level] <= means[named] + SAME for level in means if level != named)


def _false_configuration(planted: Planted, claim: Claim) -> bool:
    """Return whether a configuration that is claimed to be better than all others is not."""
    if not isinstance(claim.evidence, BestSetEvidence):
        return False
    means = list(planted.truth.values())
    named = means[claim.evidence.observed_best]
    return bool(sum(mean <= named + SAME for mean in means) > 1)


def _share(values: Iterable[bool | None]) -> float | None:
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else None


def _most_impactful(planted: Planted, claims: Sequence[Claim]) -> dict[str, float | None]:
    made = [each for each in with_evidence(claims, ImpactEvidence) if each[0].status.tested]
    if not made:
        return {"most impactful named": None, "most impactful wrong": None}
    claim, found = made[0]
    named = claim.status is Status.SUPPORTED
    spread = {factor: float(np.var(list(planted.marginal(factor).values()))) for factor in planted.factors}
    top = max(spread.values())
    true = {factor for factor, value in spread.items() if value > top - SAME and top > SAME}
    wrong = named and not (len(true) == 1 and found.parameter in true)
    return {"most impactful named": float(named), "most impactful wrong": float(wrong)}


def _gain_covered(planted: Planted, claim: Claim, found: LevelEvidence) -> bool | None:
    """Return whether the interval of the observed best level against the mean of the others covers the truth."""
    if claim.interval is None:
        return None
    means = planted.marginal_here(claim.factor)
    best = found.observed_best
    compared = [means[level] for level in _levels_in(found, means) if level != best]
    difference = means[best] - float(np.mean(compared))
    gain = -difference if planted.scale == "linear" else 1.0 - math.exp(difference)
    return claim.interval[0] <= gain <= claim.interval[1]


def _levels_in(found: LevelEvidence, means: Mapping[Level, float]) -> list[Level]:
    """Return the levels that were compared, which may be fewer than were simulated."""
    return [level for level in means if level_text(level) in found.level_means]


def _difference_covered(planted: Planted, claim: Claim, found: EffectEvidence) -> bool | None:
    """Return whether the interval of the observed worst level against the observed best covers the truth."""
    if claim.interval is None:
        return None
    means = planted.marginal_here(claim.factor)
    truth = means[found.worst_level] - means[found.best_level]
    return claim.interval[0] <= truth <= claim.interval[1]


def _means_covered(planted: Planted, claim: Claim, found: LevelEvidence) -> list[bool]:
    """Return, for each level, whether the interval of its mean covers the truth."""
    natural = (lambda value: value) if planted.scale == "linear" else math.exp
    means = {level_text(k): natural(v) for k, v in planted.marginal_here(claim.factor).items()}
    return [low <= means[name] <= high for name, (low, high) in found.level_intervals.items()]


def _best_in_set(planted: Planted, claim: Claim, found: LevelEvidence) -> bool:
    means = planted.marginal(claim.factor)
    best = min(means[level] for level in _levels_in(found, means))
    return any(means[level] <= best + SAME for level in found.possibly_best)


def _true_factors(planted: Planted) -> list[str]:
    return [f for f in planted.factors if float(np.ptp(list(planted.marginal(f).values()))) > SAME]


def _configurations(planted: Planted, claims: Sequence[Claim]) -> dict[str, float | None]:
    """Return whether the set of near-best configurations contains the true best, and its size."""
    made = [found for claim, found in with_evidence(claims, BestSetEvidence) if claim.status.tested]
    if not made or any(not run.state.ok for run in planted.runs):
        return {"best configuration in the set": None, "size of the set": None}
    means = list(planted.truth.values())
    kept = made[0].possibly_best
    held = any(means[k] <= min(means) + SAME for k in kept)
    return {"best configuration in the set": float(held), "size of the set": float(len(kept))}


def grade_informative_failures(planted: Planted, claims: Sequence[Claim]) -> Grades:
    """Grade an experiment whose worse level loses its bad runs: direction, detection of failures, and caveats."""
    levels = with_evidence(claims, LevelEvidence)
    flagged = bool(supported(of_kind(claims, ClaimKind.FAILURES)))
    wrong = any(claim.status is Status.SUPPORTED and found.observed_best == 5e-4 for claim, found in levels)
    compared = any(claim.status.tested for claim, _ in levels) and any(run.state.failed for run in planted.runs)
    hidden = compared and not any("surviv" in caveat for caveat in all_caveats(claims))
    return {"wrong direction": float(wrong), "failures detected": float(flagged), "caveat missing": float(hidden)}


def grade_search(planted: Planted, claims: Sequence[Claim]) -> Grades:
    """Grade a search: whether a claim is supported, or lacks the label; and the confirmed scores of a confirmation."""
    means = list(planted.truth.values())
    confirmed = of_kind(claims, ClaimKind.CONFIRMATION)
    inferred = [c for c in claims if c.kind not in {ClaimKind.INERT_PARAMETERS, ClaimKind.CONFIRMATION}]
    return {
        "supported in a search": float(bool(supported(inferred))) if planted.adaptive else None,
        "search not labelled": float(any("exploratory" not in c.heading for c in inferred))
        if planted.adaptive
        else None,
        "fresh scores covered": _share(
            claim.interval[0] <= math.exp(means[claim.subject.configuration]) <= claim.interval[1]
            for claim in confirmed
            if claim.interval is not None and isinstance(claim.subject, OneConfiguration)
        ),
    }


def grade_arms(planted: Planted, claims: Sequence[Claim]) -> Grades:
    """Grade differences of arms on each system, over the tested systems and over systems in general."""
    own = of_kind(claims, ClaimKind.DIFFERENCE)
    truth = {claim.id: _true_difference(planted, claim) for claim in own}
    null = [c for c in own if abs(truth[c.id]) < SAME and c.status.tested]
    real = [c for c in own if abs(truth[c.id]) >= SAME and c.status.tested]
    everywhere = of_kind(claims, ClaimKind.SYSTEMS_IN_GENERAL)
    wrong = [c for c in supported(real) if _second_is_better(c) != (truth[c.id] < 0)]
    refused = all(c.status is Status.REFUSED for c in everywhere)
    return {
        "false difference": _any_supported(null),
        "wrong direction": float(bool(wrong)) if real else None,
        "found difference": _share(c.status is Status.SUPPORTED for c in real),
        "differences covered": _share(_covers(c, truth[c.id]) for c in own if c.interval is not None),
        "false claim on systems in general": _any_supported([c for c in everywhere if c.status.tested]),
        "refused on systems in general": float(refused) if everywhere else None,
        **_pooled_false(claims, planted),
    }


def _any_supported(claims: Sequence[Claim]) -> float | None:
    return float(bool(supported(claims))) if claims else None


def _pooled_false(claims: Sequence[Claim], planted: Planted) -> dict[str, float | None]:
    """Grade claims about pooled effects of a factor whose arms are equal on all systems."""
    if any(abs(value) >= SAME for value in planted.extra.values()):
        return {}
    made = of_kind(claims, ClaimKind.MAIN_EFFECT, ClaimKind.OPTIMAL_LEVEL, ClaimKind.THESE_SYSTEMS)
    return {"false main effect": _any_supported(made)} if made else {}


def _second_is_better(claim: Claim) -> bool:
    return claim.estimate is not None and claim.estimate > 0.0


def _true_difference(planted: Planted, claim: Claim) -> float:
    first, second = claim.subject.names if isinstance(claim.subject, ArmPair) else ("", "")
    system = claim.system
    return planted.extra.get(f"{system}:{second}", 0.0) - planted.extra.get(f"{system}:{first}", 0.0)


def _covers(claim: Claim, difference: float) -> bool:
    if claim.interval is None:
        return False
    improvement = 1.0 - math.exp(difference)
    return claim.interval[0] <= improvement <= claim.interval[1]


def expect(**wanted: Status) -> Grade:
    """Return a grade: whether all claims of a kind, given by its name, have the expected status.

    Claims about inert parameters are facts, not inferences, so they cannot be false.
    """

    def grade(planted: Planted, claims: Sequence[Claim]) -> Grades:
        right = all(_matches(of_kind(claims, ClaimKind(name)), status) for name, status in wanted.items())
        made = [claim for claim in supported(claims) if claim.kind is not ClaimKind.INERT_PARAMETERS]
        return {"correct status": float(right), "any false claim": float(bool(made))}

    return grade


def _matches(claims: Sequence[Claim], status: Status) -> bool:
    return bool(claims) and all(claim.status is status for claim in claims)
