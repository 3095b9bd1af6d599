"""Pairwise comparisons of arms (model types, strategies or starting points) on every system and over systems.

An arm is a level of one factor. On each system the arms' means are compared with Welch's t test (paired if runs share
their seed or their training); all systems and pairs form one family. The mean difference over the tested systems is a
claim about these systems only; a claim about systems in general needs enough of them for an exact test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from setpoint.analysis.arms.equivalence import ArmContrast, arm_equivalence
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

WELCH = "Welch t test of run means, Holm over all systems and pairs"
PAIRED = "paired t test of runs that share a seed or training, Holm over all systems and pairs"

LEAST_CHECKED = 4
"""Runs per arm from which a permutation test of two arms can reach the 5 % level."""

SIGN_FLIP = "exact sign-flip test of the systems' differences, Holm over pairs"
NORMAL = (
    "t test of the systems' mean difference with systems and runs as random effects (one run covers all systems); "
    "assumes normality; Holm over pairs"
)

Pair = tuple[Level, Level]
ENOUGH_SYSTEMS = 6


@dataclass(frozen=True)
class ArmDifference:
    """Second arm minus first arm on one system, on the analysis scale.

    Attributes:
        contrast: the difference, or why it cannot be tested.
        observed: difference of the observed means; None if an arm has no runs.
        runs: number of runs of each arm.
        improved: probability that a run of the second arm is better than one of the first; None if an arm has no run.
        permutation: p-value of a max-T permutation test over all arms of the system; None if runs are paired, or if
            there are too few permutations to reach the significance level.
        paired: runs that share their seed or training were paired.
        other: other analyses of the same runs; None if there is no difference to confirm.
        weights: weights of the contrast, second arm minus first, over the cells of those analyses.
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
class _TestedDifference:
    """A tested difference; the interval is None if the test has none at the corrected level."""

    value: float
    interval: tuple[float, float] | None
    p_adjusted: float


def arm_claims(data: ExperimentData, factor: str, *, reference: Level = None) -> list[Claim]:
    """Compare all pairs of levels of `factor`, or each level with `reference`.

    The comparisons are made on each system, over the tested systems, and over systems in general.
    """
    pairs = _pairs(data, factor, reference)
    metric = data.analysis.primary_metric
    by_system = [d for system in data.systems for d in _differences(data, factor, pairs, metric, system)]
    claims = [*_family(data, factor, by_system), *arm_equivalence(data, factor, _contrasts(factor, by_system))]
    if len(data.systems) >= 2:
        claims += rank_claims(data, factor)
        claims += _over_these(data, factor, pairs, by_system)
        claims += _over_others(data, factor, pairs, by_system)
    return claims


def _contrasts(factor: str, differences: Sequence[ArmDifference]) -> list[ArmContrast]:
    return [ArmContrast(ArmPair(factor, *d.pair), d.system, d.scale, d.contrast, sum(d.runs)) for d in differences]


def with_notes(claims: Sequence[Claim], notes: Mapping[str, Sequence[str]]) -> list[Claim]:
    """Add to each claim the caveats of the arms it compares; `notes` are keyed by arm."""
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
    """Compute the differences on one system; other arms enter the permutation check, but not the t test."""
    found = [_difference(_restricted(data, factor, pair), factor, pair, metric, system) for pair in pairs]
    if any(difference.paired for difference in found):
        return found
    values = values_by_arm(data, factor, metric, system)
    arms = [arm for arm, of_arm in values.items() if len(of_arm) >= 2]
    checked: dict[frozenset[Level], float] = {}
    # The smallest attainable p-value is 1 / permutations; skip the check where it cannot fall well below alpha.
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
        return Obstacle(Status.NOT_TESTABLE, "one run per arm gives no variance estimate")
    contrast = design.cells.contrast(_weights(design, factor, pair))
    return contrast if contrast.estimable else Obstacle(Status.NOT_TESTABLE, "the runs do not vary")


def _weights(design: Factorial, factor: str, pair: Pair) -> np.ndarray:
    """Return the contrast weights of second arm minus first arm, over the cells."""
    axis = design.factors.index(factor)
    rows = level_weights(tuple(len(levels) for levels in design.levels), axis)
    return np.asarray(rows[design.levels[axis].index(pair[1])] - rows[design.levels[axis].index(pair[0])])


def _family(data: ExperimentData, factor: str, differences: Sequence[ArmDifference]) -> list[Claim]:
    """Make one claim per difference, corrected for all of them."""
    compared = _compare({k: d.contrast for k, d in enumerate(differences)}, data.analysis.alpha)
    return [_difference_claim(data, factor, d, compared.get(k)) for k, d in enumerate(differences)]


def _compare(contrasts: Mapping[int, Contrast | Obstacle], alpha: float) -> dict[int, Comparison]:
    """Correct all testable contrasts as one family."""
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
    """Return the p-value of the permutation check, if each arm has at least `LEAST_CHECKED` runs."""
    if difference.permutation is None or min(difference.runs) < LEAST_CHECKED:
        return ""
    return f", permutation check {p_text(difference.permutation)}"


@dataclass(frozen=True, kw_only=True)
class _Question:
    """The parts of a claim about one difference that do not depend on the outcome of the test."""

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
    outcome: _TestedDifference | Comparison | Contrast | Obstacle,
    doubts: tuple[Sequence[str], Sequence[str]] = ((), ()),
) -> Claim:
    """Make the claim about one difference: which arm is better and by how much, or why that is not resolved.

    If failed runs cast doubt on the difference (the first of `doubts`), no interval is given: it excludes failed runs.
    """
    scale, (first, second) = question.scale, question.subject.names
    estimate_of = f"improvement of {second} over {first}"
    if not isinstance(outcome, Comparison | _TestedDifference):
        obstacle = outcome if isinstance(outcome, Obstacle) else Obstacle(Status.NOT_TESTABLE, "the runs do not vary")
        return replace(_open(question, obstacle), estimate_of=estimate_of, evidence=question.evidence)
    improvement = scale.improvement(outcome.value)
    stated = outcome.interval is not None and not doubts[0]
    interval = scale.improvement_interval(outcome.interval) if stated and outcome.interval is not None else None
    facts = f"{_change_text(scale, second, improvement, interval)}, {p_text(outcome.p_adjusted)}, {question.counts}"
    shown = "the difference between the arms exceeds run-to-run variability"
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
    """Make the claim of a difference that was not tested, with the observed difference and the reason."""
    scale, second, difference = question.scale, question.subject.names[1], question.observed
    return unanswered(
        question.kind,
        question.heading,
        obstacle,
        subject=question.subject,
        system=question.system,
        observed=""
        if difference is None
        else f"observed: {_change_text(scale, second, scale.improvement(difference))}; ",
        method=question.method,
        n_runs=question.n_runs,
    )


def _change_text(scale: Scale, arm: str, improvement: float, interval: tuple[float, float] | None = None) -> str:
    return f"{scale.quantity.label} of {arm} {change_text(improvement, interval, relative=scale.logarithmic)}"


def _over_these(
    data: ExperimentData, factor: str, pairs: Sequence[Pair], by_system: Sequence[ArmDifference]
) -> list[Claim]:
    """Compare the arms over the tested systems, with equal weights per system."""
    contrasts = {k: _mean_contrast(data, factor, pair) for k, pair in enumerate(pairs)}
    compared = _compare(contrasts, data.analysis.alpha)
    claims = []
    for k, pair in enumerate(pairs):
        subject = ArmPair(factor, *pair)
        first, second = subject.names
        own = [d for d in by_system if d.pair == pair]
        observed = [d.observed for d in own if d.observed is not None]
        question = _Question(
            kind=ClaimKind.THESE_SYSTEMS,
            subject=subject,
            heading=f"{second} against {first}, mean of the {counted(len(data.systems), 'tested system')}",
            scale=own[0].scale,
            observed=float(np.mean(observed)) if len(observed) == len(own) else None,
            n_runs=sum(sum(d.runs) for d in own),
            counts=f"{listed(list(data.systems))} as fixed systems",
            method="stratified by system: Welch t test of the systems' mean difference, Holm over pairs",
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
    """Test whether the difference holds for systems in general: each system counts as one observation."""
    alpha = data.analysis.alpha
    observed = {pair: [d.observed for d in by_system if d.pair == pair and d.observed is not None] for pair in pairs}
    tests = {}
    for pair, values in observed.items():
        if least_p(len(values)) <= alpha and np.ptp(values) > 0.0:
            shared = _shared_variances(data, factor, pair)
            if shared:  # sign flips are not exchangeable if one run covers several systems
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
        outcome: _TestedDifference | Obstacle = _too_few(len(observed[pair]), alpha)
        if test is not None:
            outcome = _TestedDifference(test.mean, test.interval, adjusted[pair])
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
    """Describe many systems: the interquartile mean, and on how many systems the arm is better."""
    if len(differences) < ENOUGH_SYSTEMS:
        return ""
    middle = scale.improvement(interquartile_mean(differences))
    size = percent_text(middle) if scale.logarithmic else number_text(middle)
    better = sum(difference < 0.0 for difference in differences)
    return f", interquartile mean {size}, {arm} better on {better}"


def _shared_variances(data: ExperimentData, factor: str, pair: Pair) -> list[tuple[float, float]]:
    """Return variance and degrees of freedom of the mean over runs, for each arm whose runs cover several systems.

    The random effect of such a run shifts all systems together, which a sign-flip test over systems cannot see.
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
        f"{counted(systems, 'system')} {'is' if systems == 1 else 'are'} too few: the smallest attainable two-sided "
        f"p-value is {number_text(least_p(systems))} (at least {least_systems(alpha)} systems needed)"
    )
    return Obstacle(Status.REFUSED, reason)


def interquartile_mean(values: Sequence[float]) -> float:
    """Return the interquartile mean: a quarter of the values, rounded down, is trimmed at each end.

    See Agarwal et al., "Deep RL at the Edge of the Statistical Precipice", 2021.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def probability_of_improvement(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the share of pairs in which the value of `second` is smaller than that of `first`; ties count half.

    This is the Mann–Whitney statistic, see Agarwal et al. (2021).
    """
    a, b = np.asarray(first, dtype=float)[:, None], np.asarray(second, dtype=float)[None, :]
    return float(np.mean((b < a) + 0.5 * (b == a)))
