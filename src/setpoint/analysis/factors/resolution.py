"""Minimum detectable differences of the design, and of the same design with more seeds.

They belong to the method that names the best level: t against every other level, at the smallest significance level
that Holm's correction can leave. The best level must beat every other one, and all rivals may be as close as the
nearest, so the power of each comparison is raised until all of them together have the nominal power (Bonferroni).
"""

import math
from collections.abc import Mapping

import numpy as np

from setpoint.analysis.data.claim import Claim, ClaimKind, Status
from setpoint.analysis.data.design import ratio
from setpoint.analysis.data.evidence import Detectable, ResolutionEvidence
from setpoint.analysis.factors.factor_tests import SweepTests
from setpoint.analysis.statistics.intervals import detectable_difference, planned_contrast
from setpoint.formatting import counted, factor_label, listed, number_text, percent_text

NOMINAL_POWER = 0.85
"""Power of the t test that gives the claim a power of 0.8: the analyses that must agree with the test (the other scale,
exact tests, failed runs ranked worst) cost about three hundredths (measured: .77 at a nominal .80)."""
SEEDS = (3, 5, 10, 20)
"""Numbers of seeds for which a report states the detectable difference; more are rarely affordable."""


def resolution(sweep: SweepTests) -> Claim:
    """Make the claim about the minimum detectable difference of two levels, now and with more seeds."""
    seeds = sweep.design.replicates[0]
    parameters = {factor: _detectable(sweep, factor) for factor in sweep.parameters}
    now = [found.by_seeds[seeds] for found in parameters.values() if seeds in found.by_seeds]
    shown = [
        f"{_between(parameters, count)} with {counted(count, sweep.words.replicate)}"
        for count in (seeds, *(count for count in SEEDS[:3] if count > seeds))
        if now
    ]
    return Claim(
        kind=ClaimKind.RESOLUTION,
        heading="Minimum detectable difference",
        statement="; ".join(shown)
        if now
        else "not resolved: the metric does not vary within levels: no variance estimate",
        status=Status.DESCRIPTIVE if now else Status.NOT_TESTABLE,
        reason=f"from the observed {sweep.variability}: a level that is better than all others by "
        "this much is named in at least 80 % of experiments",
        method="t against every other level with Bonferroni's correction, alpha divided by the number of effects; "
        "noncentral t power",
        n_runs=sweep.cells.n_runs,
        estimate=max(now, default=None),
        estimate_of="largest minimum detectable difference of all parameters, on the analysis scale",
        evidence=ResolutionEvidence(parameters),
    )


def _detectable(sweep: SweepTests, factor: str) -> Detectable:
    """Return the detectable, the observed and the largest plausible lead of the best level of `factor`."""
    smallest, observed, allowed = _by_seeds(sweep, factor), _observed(sweep, factor), _allowed(sweep, factor)
    return Detectable(
        by_seeds=smallest,
        text_by_seeds={count: _formatted(sweep, value) for count, value in smallest.items()},
        observed=observed,
        observed_text=_formatted(sweep, observed),
        allowed=allowed,
        allowed_text=None if allowed is None else _formatted(sweep, allowed),
    )


def _between(parameters: Mapping[str, Detectable], seeds: int) -> str:
    """Return texts such as `12 % between levels of LoRA rank`; parameters with equal sizes are joined."""
    sizes: dict[str, list[str]] = {}
    for factor, found in parameters.items():
        if seeds in found.text_by_seeds:
            sizes.setdefault(found.text_by_seeds[seeds], []).append(f"of {factor_label(factor)}")
    return listed([f"{size} between levels {listed(factors)}" for size, factors in sizes.items()])


def _by_seeds(sweep: SweepTests, factor: str) -> dict[int, float]:
    """Return number of seeds -> minimum detectable difference of two levels; empty without a variance estimate."""
    weights, best = sweep.tables[factor].weights, sweep.tables[factor].ranked[0]
    contrasts = [sweep.cells.contrast(row - weights[best]) for k, row in enumerate(weights) if k != best]
    if not all(contrast.estimable for contrast in contrasts):
        return {}
    seeds = sweep.design.replicates[0]
    error = math.sqrt(float(np.mean([contrast.standard_error**2 for contrast in contrasts])))
    df = max(1.0, float(np.mean([contrast.df for contrast in contrasts])))
    alpha = sweep.alpha / sweep.tests
    power = 1.0 - (1.0 - NOMINAL_POWER) / len(contrasts)
    found = {seeds: detectable_difference(error, df, len(weights), alpha, power)}
    for count in SEEDS:
        if count > seeds:
            # Shared seeds are blocks, so the degrees of freedom grow with their number.
            planned = planned_contrast(count, len(sweep.cells.means) // len(weights))[1]
            later = planned if sweep.cells.independent else df * (count - 1) / max(1, seeds - 1)
            found[count] = detectable_difference(error * math.sqrt(seeds / count), later, len(weights), alpha, power)
    return found


def _observed(sweep: SweepTests, factor: str) -> float:
    """Return the observed lead of the best level over its nearest rival."""
    table = sweep.tables[factor]
    best, rival = table.ranked[:2]
    return float(table.means[rival] - table.means[best])


def _allowed(sweep: SweepTests, factor: str) -> float | None:
    """Return an upper confidence limit of the lead of the true best level over its nearest rival; None if unknown.

    From the simultaneous intervals of every other level minus the observed best: the lead of the observed best is at
    most the smallest upper end, and the lead of any other level is at most minus its lower end.
    """
    pairs = list(sweep.tables[factor].best.against_best.values())
    intervals = [pair.interval for pair in pairs if pair is not None]
    if len(intervals) < len(pairs):
        return None
    return max(min(high for _, high in intervals), *(-low for low, _ in intervals))


def _formatted(sweep: SweepTests, difference: float) -> str:
    """Return a difference as text: relative on a logarithmic scale, else in the metric's unit."""
    return percent_text(1.0 - ratio(-difference)) if sweep.design.scale.logarithmic else number_text(difference)
