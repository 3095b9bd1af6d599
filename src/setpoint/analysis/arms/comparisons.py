"""Two arms against each other: model types, strategies or starting points, on every system and over systems.

An arm is a level of one factor. On each system the arms' means are compared with Welch's t (paired where runs share
their seed or their training); all systems and pairs are one family. Over the systems that were tried the mean of the
differences is a claim about these systems; a claim about others needs enough of them for an exact test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from setpoint.analysis.arms.ranks import rank_claims, values_by_arm
from setpoint.analysis.data.claim import Claim, ClaimKind, Obstacle, Status, unanswered
from setpoint.analysis.data.design import SYSTEM, Factorial, Scale, factorial, observe
from setpoint.analysis.data.evidence import DifferenceEvidence, GeneralEvidence, TheseSystemsEvidence
from setpoint.analysis.data.experiment import ExperimentData, Level
from setpoint.analysis.data.subject import ArmPair
from setpoint.analysis.data.verdict import verdict
from setpoint.analysis.runs.reliability import survivor_caveat
from setpoint.analysis.runs.robustness import Robustness, contrast_doubts
from setpoint.analysis.statistics import effects
from setpoint.analysis.statistics.cells import Cells, Contrast, level_weights
from setpoint.analysis.statistics.family import family_of
from setpoint.analysis.statistics.levels import Comparison, t_comparison
from setpoint.analysis.statistics.permutation import max_t, rearrangements
from setpoint.analysis.statistics.population import least_p, least_systems, over_runs_and_systems, sign_flip
from setpoint.formatting import (
    change_text,
    counted,
    level_text,
    listed,
    number_text,
    p_text,
    percent_text,
)
from setpoint.seeding import generator

WELCH = "Welch t on means of runs, Holm over all systems and pairs"
PAIRED = "paired t over runs that share a seed or training, Holm over all systems and pairs"

LEAST_CHECKED = 4
"""Runs of an arm from which a permutation test of two arms can reach the usual level."""

SIGN_FLIP = "exact sign-flip test of the systems' differences, Holm over pairs"
NORMAL = (
    "t of the systems' mean difference with systems and runs as samples, since one run covers all systems; takes both "
    "as normal; Holm over pairs"
)

Pair = tuple[Level, Level]
ENOUGH_SYSTEMS = 6


@dataclass(frozen=True)
class ArmDifference:
    """The second arm less the first on one system, on the analysed scale.

    Attributes:
        contrast: the difference, or why there is none.
        observed: the difference of the observed means, where both arms have runs.
        runs: of each arm.
        improved: how often a run of the second is better than one of the first; None where an arm has no run.
        permutation: the p-value of a max-T permutation test over all arms of the system; None where runs are paired or
            where no rearrangement could reach the level.
        paired: whether runs were compared with those that share their seed or training.
        other: other analyses of the same runs; None where there is no difference to confirm.
        weights: of the contrast, the second arm less the first, over the cells of those analyses.
    """

    system: str
    pair: Pair
    scale: Scale
    contrast: Contrast | Obstacle
    observed: float | None
    runs: tuple[int, int]
    paired: bool
    improved: float | None = None
    permutation: float | None = None
    other: Robustness | None = None
    weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class _Compared:
    """A tested difference; without an interval where the test has none at the corrected level."""

    value: float
    interval: tuple[float, float] | None
    p_adjusted: float


def arm_claims(data: ExperimentData, factor: str, *, reference: Level = None) -> list[Claim]:
    """Claims about all pairs of levels of `factor`, or about each level against `reference`.

    On each system, over these systems, and over systems in general.
    """
    pairs = _pairs(data, factor, reference)
    metric = data.analysis.primary_metric
    by_system = [d for system in data.systems for d in _differences(data, factor, pairs, metric, system)]
    claims = _family(data, factor, by_system)
    if len(data.systems) >= 2:
        claims += rank_claims(data, factor)
        claims += _over_these(data, factor, pairs, by_system)
        claims += _over_others(data, factor, pairs, by_system)
    return claims


def with_notes(claims: Sequence[Claim], notes: Mapping[str, Sequence[str]]) -> list[Claim]:
    """`claims` with what is to be known about the arms that they compare; `notes` are by the arm's name."""
    return [_noted(claim, notes) for claim in claims]


def _noted(claim: Claim, notes: Mapping[str, Sequence[str]]) -> Claim:
    arms = claim.subject.names if isinstance(claim.subject, ArmPair) else ()
    compared = [note for arm in arms for note in notes.get(arm, ())]
    return replace(claim, caveats=(*claim.caveats, *compared)) if compared else claim


def _pairs(data: ExperimentData, factor: str, reference: Level) -> list[Pair]:
    levels = list(dict.fromkeys(run.level(factor) for run in data.runs))
    if reference in levels:
        return [(reference, level) for level in levels if level != reference]
    return list(combinations(levels, 2))


def _differences(
    data: ExperimentData, factor: str, pairs: Sequence[Pair], metric: str, system: str
) -> list[ArmDifference]:
    """The differences on one system; what other arms do there plays no part in the test, only in its check."""
    found = [_difference(_restricted(data, factor, pair), factor, pair, metric, system) for pair in pairs]
    if any(difference.paired for difference in found):
        return found
    values = values_by_arm(data, factor, metric, system)
    arms = [arm for arm, of_arm in values.items() if len(of_arm) >= 2]
    checked: dict[frozenset[Level], float] = {}
    if len(arms) >= 2 and 1.0 / rearrangements([len(values[arm]) for arm in arms]) < data.analysis.alpha / 2.0:
        tested = max_t([values[arm] for arm in arms], generator("permutation"))
        checked = {frozenset((arms[a], arms[b])): p for (a, b), p in tested.items()}
    return [
        replace(
            difference,
            permutation=checked.get(frozenset(difference.pair)),
            improved=probability_of_improvement(values[difference.pair[0]], values[difference.pair[1]])
            if all(values.get(arm) for arm in difference.pair)
            else None,
        )
        for difference in found
    ]


def _restricted(data: ExperimentData, factor: str, pair: Pair) -> ExperimentData:
    return replace(data, runs=tuple(run for run in data.runs if run.level(factor) in pair))


def _difference(data: ExperimentData, factor: str, pair: Pair, metric: str, system: str) -> ArmDifference:
    design = factorial(data, metric, system=system)
    runs = (_count(design, factor, pair[0]), _count(design, factor, pair[1]))
    paired = isinstance(design.cells, Cells) and not design.cells.independent
    contrast = _contrast(design, factor, pair)
    tested = isinstance(contrast, Contrast)
    return ArmDifference(
        system=system,
        pair=pair,
        scale=design.scale,
        contrast=contrast,
        observed=_observed(design, factor, pair),
        runs=runs,
        paired=paired,
        other=Robustness(data, design, system) if tested else None,
        weights=tuple(_weights(design, factor, pair).tolist()) if tested else (),
    )


def _count(design: Factorial, factor: str, level: Level) -> int:
    return sum(o.level(factor) == level for o in design.observations)


def _observed(design: Factorial, factor: str, pair: Pair) -> float | None:
    means = []
    for level in pair:
        values = [o.value for o in design.observations if o.level(factor) == level and o.value is not None]
        if not values:
            return None
        means.append(float(np.mean(values)))
    return means[1] - means[0]


def _contrast(design: Factorial, factor: str, pair: Pair) -> Contrast | Obstacle:
    if isinstance(design.cells, Obstacle):
        return design.cells
    if factor not in design.factors:
        return Obstacle(Status.NOT_TESTABLE, f"too few finished runs ({'; '.join(design.notes)})")
    if design.replicates[0] < 2 and len(design.factors) == 1:
        return Obstacle(Status.NOT_TESTABLE, "one run of each shows no spread")
    contrast = design.cells.contrast(_weights(design, factor, pair))
    return contrast if contrast.estimable else Obstacle(Status.NOT_TESTABLE, "the runs show no spread")


def _weights(design: Factorial, factor: str, pair: Pair) -> np.ndarray:
    """The second arm less the first, over the cells."""
    axis = design.factors.index(factor)
    rows = level_weights(tuple(len(levels) for levels in design.levels), axis)
    return np.asarray(rows[design.levels[axis].index(pair[1])] - rows[design.levels[axis].index(pair[0])])


def _family(data: ExperimentData, factor: str, differences: Sequence[ArmDifference]) -> list[Claim]:
    """One claim for each difference, corrected for all of them."""
    compared = _compare({k: d.contrast for k, d in enumerate(differences)}, data.analysis.alpha)
    return [_difference_claim(data, factor, d, compared.get(k)) for k, d in enumerate(differences)]


def _compare(contrasts: Mapping[int, Contrast | Obstacle], alpha: float) -> dict[int, Comparison]:
    """One family of those that can be tested."""
    return family_of({k: c for k, c in contrasts.items() if isinstance(c, Contrast)}, alpha)


def _difference_claim(
    data: ExperimentData, factor: str, difference: ArmDifference, compared: Comparison | None
) -> Claim:
    subject = ArmPair(factor, *difference.pair)
    first, second = subject.names
    paired = ", paired" if difference.paired else ""
    question = _Question(
        kind=ClaimKind.DIFFERENCE,
        subject=subject,
        system=difference.system,
        heading=f"{second} against {first}, {difference.system}",
        scale=difference.scale,
        observed=difference.observed,
        n_runs=sum(difference.runs),
        counts=f"{difference.runs[1]} and {counted(difference.runs[0], 'run')}{paired}{_check_text(difference)}",
        method=PAIRED if difference.paired else WELCH,
        evidence=DifferenceEvidence(
            metric=difference.scale.quantity.name,
            probability_of_improvement=difference.improved,
            permutation_p=difference.permutation,
        ),
    )
    if compared is None or difference.other is None or not isinstance(difference.contrast, Contrast):
        return _compose(data, question, difference.contrast)
    raw = t_comparison(difference.contrast, 1, data.analysis.alpha).p_adjusted
    doubts = contrast_doubts(difference.other, np.array(difference.weights), compared, raw, data.analysis.alpha)
    return _compose(data, question, compared, doubts)


def _check_text(difference: ArmDifference) -> str:
    """The permutation test that stands beside the t test, where there are four runs or more of each arm."""
    if difference.permutation is None or min(difference.runs) < LEAST_CHECKED:
        return ""
    return f", permutation check {p_text(difference.permutation)}"


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What a claim about one difference is about and made of."""

    kind: ClaimKind
    subject: ArmPair
    system: str | None = None
    heading: str
    scale: Scale
    observed: float | None
    n_runs: int
    counts: str
    method: str
    evidence: DifferenceEvidence | TheseSystemsEvidence | GeneralEvidence


def _compose(
    data: ExperimentData,
    question: _Question,
    outcome: _Compared | Comparison | Contrast | Obstacle,
    doubts: tuple[Sequence[str], Sequence[str]] = ((), ()),
) -> Claim:
    """A claim about one difference: which of the pair is better, by how much, or why that is open.

    Of a difference that failed runs put in doubt (the first of `doubts`) no interval is given: it is of survivors.
    """
    scale, (first, second) = question.scale, question.subject.names
    estimate_of = f"improvement of {second} over {first}"
    if not isinstance(outcome, Comparison | _Compared):
        obstacle = outcome if isinstance(outcome, Obstacle) else Obstacle(Status.NOT_TESTABLE, "no spread")
        return replace(_open(question, obstacle), estimate_of=estimate_of, evidence=question.evidence)
    improvement = scale.improvement(outcome.value)
    stated = outcome.interval is not None and not doubts[0]
    interval = scale.improvement_interval(outcome.interval) if stated and outcome.interval is not None else None
    facts = f"{_change_text(scale, second, improvement, interval)}, {p_text(outcome.p_adjusted)}, {question.counts}"
    shown = "the arms differ by more than their runs do"
    status, reason = verdict(data, outcome.p_adjusted, shown, doubts=[*doubts[0], *doubts[1]])
    better = second if improvement > 0.0 else first
    return Claim(
        kind=question.kind,
        subject=question.subject,
        system=question.system,
        heading=question.heading,
        statement=f"{better} is better ({facts})" if status is Status.SUPPORTED else f"not resolved: {facts}; {reason}",
        status=status,
        reason=reason,
        method=question.method,
        n_runs=question.n_runs,
        estimate=improvement,
        estimate_of=estimate_of,
        interval=interval,
        p_adjusted=outcome.p_adjusted,
        caveats=tuple(survivor_caveat(data)),
        evidence=replace(question.evidence, better=better, difference=outcome.value),
    )


def _open(question: _Question, obstacle: Obstacle) -> Claim:
    """The claim with what was observed, and with the reason why nothing was tested."""
    scale, second, seen = question.scale, question.subject.names[1], question.observed
    return unanswered(
        question.kind,
        question.heading,
        obstacle,
        subject=question.subject,
        system=question.system,
        observed="" if seen is None else f"{_change_text(scale, second, scale.improvement(seen))} as observed, but ",
        method=question.method,
        n_runs=question.n_runs,
    )


def _change_text(scale: Scale, arm: str, improvement: float, interval: tuple[float, float] | None = None) -> str:
    return f"{scale.quantity.label} of {arm} {change_text(improvement, interval, relative=scale.logarithmic)}"


def _over_these(
    data: ExperimentData, factor: str, pairs: Sequence[Pair], by_system: Sequence[ArmDifference]
) -> list[Claim]:
    """The mean difference over the systems that were tried, each system weighing the same."""
    contrasts = {k: _mean_contrast(data, factor, pair) for k, pair in enumerate(pairs)}
    compared = _compare(contrasts, data.analysis.alpha)
    claims = []
    for k, pair in enumerate(pairs):
        subject = ArmPair(factor, *pair)
        first, second = subject.names
        own = [d for d in by_system if d.pair == pair]
        seen = [d.observed for d in own if d.observed is not None]
        question = _Question(
            kind=ClaimKind.THESE_SYSTEMS,
            subject=subject,
            heading=f"{second} against {first}, mean of these {counted(len(data.systems), 'system')}",
            scale=own[0].scale,
            observed=float(np.mean(seen)) if len(seen) == len(own) else None,
            n_runs=sum(sum(d.runs) for d in own),
            counts=f"{listed(list(data.systems))}, which are taken as they are",
            method="stratified by system: Welch t on the mean of the systems' differences, Holm over pairs",
            evidence=TheseSystemsEvidence(metric=own[0].scale.quantity.name, systems=data.systems),
        )
        claims.append(_compose(data, question, compared.get(k, contrasts[k])))
    return claims


def _mean_contrast(data: ExperimentData, factor: str, pair: Pair) -> Contrast | Obstacle:
    design = factorial(_restricted(data, factor, pair), data.analysis.primary_metric)
    missing = [level for name, level in design.dropped if name == SYSTEM]
    if missing:
        systems = listed([level_text(level) for level in missing])
        return Obstacle(Status.NOT_TESTABLE, f"too few finished runs on {systems}")
    return _contrast(design, factor, pair)


def _over_others(
    data: ExperimentData, factor: str, pairs: Sequence[Pair], by_system: Sequence[ArmDifference]
) -> list[Claim]:
    """Whether the difference holds for systems in general: the system is the unit."""
    alpha = data.analysis.alpha
    observed = {pair: [d.observed for d in by_system if d.pair == pair and d.observed is not None] for pair in pairs}
    tests = {}
    for pair, values in observed.items():
        if least_p(len(values)) <= alpha and np.ptp(values) > 0.0:
            shared = _shared_variances(data, factor, pair)
            if shared:
                tests[pair] = over_runs_and_systems(values, shared, alpha / len(pairs))
            else:
                rng = generator("population", factor, *(level_text(level) for level in pair), len(values))
                tests[pair] = sign_flip(values, alpha / len(pairs), rng)
    adjusted = dict(zip(tests, effects.holm([test.p for test in tests.values()]), strict=True))
    claims = []
    for pair in pairs:
        subject = ArmPair(factor, *pair)
        first, second = subject.names
        own = [d for d in by_system if d.pair == pair]
        test = tests.get(pair)
        outcome: _Compared | Obstacle = _too_few(len(observed[pair]), alpha)
        if test is not None:
            outcome = _Compared(test.mean, test.interval, adjusted[pair])
        question = _Question(
            kind=ClaimKind.SYSTEMS_IN_GENERAL,
            subject=subject,
            heading=f"{second} against {first}, systems in general",
            scale=own[0].scale,
            observed=None,
            n_runs=sum(sum(d.runs) for d in own),
            counts=counted(len(observed[pair]), "system") + _described(own[0].scale, observed[pair], second),
            method=NORMAL if _shared_variances(data, factor, pair) else SIGN_FLIP,
            evidence=GeneralEvidence(metric=own[0].scale.quantity.name, differences=tuple(observed[pair])),
        )
        claims.append(_compose(data, question, outcome))
    return claims


def _described(scale: Scale, differences: Sequence[float], arm: str) -> str:
    """Where there are enough systems to leave out the outer ones: the middle half, and where the arm is better."""
    if len(differences) < ENOUGH_SYSTEMS:
        return ""
    middle = scale.improvement(interquartile_mean(differences))
    size = percent_text(middle) if scale.logarithmic else number_text(middle)
    better = sum(difference < 0.0 for difference in differences)
    return f", {size} over the middle half of them, {arm} better on {better}"


def _shared_variances(data: ExperimentData, factor: str, pair: Pair) -> list[tuple[float, float]]:
    """For each arm whose runs cover several systems: the variance of its mean over runs, and its df.

    What such a run has of its own moves all systems together; flipping signs of systems would not see it.
    """
    scale = Scale(data.quantity(data.analysis.primary_metric), data.analysis.scale == "log")
    found = []
    for level in pair:
        values: dict[str, list[float]] = {}
        for o in observe(data, scale):
            if o.run.level(factor) == level and len(o.run.systems) > 1 and o.value is not None:
                values.setdefault(o.run.name, []).append(o.value)
        means = [float(np.mean(of_run)) for of_run in values.values()]
        if len(means) >= 2:
            found.append((float(np.var(means, ddof=1)) / len(means), len(means) - 1.0))
    return found


def _too_few(systems: int, alpha: float) -> Obstacle:
    reason = (
        f"{counted(systems, 'system')} cannot show it: the smallest two-sided p-value that they can give is "
        f"{number_text(least_p(systems))}, and at least {least_systems(alpha)} are needed"
    )
    return Obstacle(Status.REFUSED, reason)


def interquartile_mean(values: Sequence[float]) -> float:
    """The mean of the middle half: a quarter of the values, rounded down, is left out at each end."""
    ordered = np.sort(np.asarray(values, dtype=float))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def probability_of_improvement(first: Sequence[float], second: Sequence[float]) -> float:
    """How often a value of `second` is smaller than one of `first`; ties count half."""
    a, b = np.asarray(first, dtype=float)[:, None], np.asarray(second, dtype=float)[None, :]
    return float(np.mean((b < a) + 0.5 * (b == a)))
