"""Secondary metrics: the same tests, corrected over all metrics, and suggestive at most."""

from setpoint.analysis.data.claim import Claim, ClaimKind, Obstacle, Status
from setpoint.analysis.data.design import SYSTEM, factorial
from setpoint.analysis.data.evidence import SecondaryEvidence
from setpoint.analysis.data.experiment import ExperimentData, Level
from setpoint.analysis.data.subject import MetricByFactor
from setpoint.analysis.statistics import effects
from setpoint.analysis.statistics.levels import order
from setpoint.formatting import factor_label, level_text, p_text


def secondary_claims(data: ExperimentData) -> list[Claim]:
    """Test each swept parameter on each secondary metric that varies."""
    entries: list[tuple[str, str, Level, float, int]] = []
    for metric in data.analysis.secondary_metrics:
        quantity = data.quantity(metric)
        logarithmic = data.analysis.scale == "log" and quantity.better == "smaller"
        design = factorial(data, metric, logarithmic=logarithmic)
        if isinstance(design.cells, Obstacle):
            continue
        for axis, factor in enumerate(design.factors):
            if factor != SYSTEM:
                means = design.cells.marginal_weights(axis) @ design.cells.means
                best = design.levels[axis][order(means)[0]]
                p = effects.anova_type_test(design.cells, (axis,)).p
                entries.append((metric, factor, best, p, design.n_runs))
    adjusted = effects.holm([p for *_, p, _ in entries])
    return [_claim(data, *entry, p) for entry, p in zip(entries, adjusted, strict=True)]


def _claim(data: ExperimentData, metric: str, factor: str, best: Level, _: float, n_runs: int, p: float) -> Claim:
    label = data.quantity(metric).label
    status = Status.SUGGESTIVE if p < data.analysis.alpha else Status.UNRESOLVED
    reason = (
        f"{metric} is not the primary metric"
        if status is Status.SUGGESTIVE
        else "not distinguishable from seed-to-seed variability"
    )
    answer = (
        f"{factor} changes it, {level_text(best)} observed best" if status is Status.SUGGESTIVE else "no effect shown"
    )
    return Claim(
        kind=ClaimKind.SECONDARY,
        subject=MetricByFactor(metric, factor),
        heading=f"Effect of {factor_label(factor)} on {label}",
        statement=f"{'' if status is Status.SUGGESTIVE else 'not resolved: '}{answer} ({p_text(p)} after Holm over all "
        f"secondary tests); {reason}",
        status=status,
        reason=reason,
        method="as for the primary metric, Holm over all secondary metrics and parameters",
        n_runs=n_runs,
        p_adjusted=p,
        evidence=SecondaryEvidence(best),
    )
