"""Claims of an ablation: pairwise comparisons of strategies, and the correlation between runs that share a seed."""

import math

import numpy as np

from setpoint.analysis.arms.comparisons import arm_claims, with_notes
from setpoint.analysis.data.claim import Claim, ClaimKind, Status
from setpoint.analysis.data.design import Scale, observe
from setpoint.analysis.data.evidence import SeedEvidence
from setpoint.analysis.data.experiment import ExperimentData
from setpoint.formatting import counted, number_text, p_text

STRATEGY = "strategy"
NOTES = {
    f"sft_equal_compute{ending}": [
        f"sft_equal_compute{ending} matches the training compute of {stages}; start-up of {later} is not counted"
    ]
    for ending, stages, later in (
        ("", "SFT and GRPO", "the GRPO stage"),
        ("_dagger", "SFT and DAgger", "the DAgger stage"),
        ("_dagger_grpo", "SFT, DAgger and GRPO", "the later stages"),
    )
}
"""Caveats of single strategies."""


def ablation_claims(data: ExperimentData) -> list[Claim]:
    """Compare all pairs of strategies on every system, and test the correlation between runs that share a seed."""
    return [*with_notes(arm_claims(data, strategy_factor(data)), NOTES), *_seed_correlation(data)]


def strategy_factor(data: ExperimentData) -> str:
    """Return the factor whose levels are the strategies."""
    return STRATEGY if any(STRATEGY in run.factors for run in data.runs) else "training_type"


def _seed_correlation(data: ExperimentData) -> list[Claim]:
    """Estimate the intraclass correlation between runs that share a seed, from a two-way table without replication."""
    from scipy import special

    scale = Scale(data.quantity(data.analysis.primary_metric), data.analysis.scale == "log")
    values: dict[tuple[str, int], dict[int, float]] = {}
    for o in observe(data, scale):
        if o.value is not None:
            values.setdefault((o.system, o.run.configuration), {})[o.run.replicate] = o.value
    seeds = sorted(set.intersection(*(set(found) for found in values.values()))) if values else []
    if len(seeds) < 3 or len(values) < 2:
        return []
    table = np.array([[found[seed] for seed in seeds] for found in values.values()])
    arms, count = table.shape
    centred = table - table.mean(axis=1, keepdims=True)
    by_seed = centred.mean(axis=0)
    # Two-way ANOVA with one value per cell. ICC(C,1) of McGraw and Wong (1996): (MS_seed − MS_error) / (MS_seed +
    # (k − 1) MS_error), with k configurations; the F test has (n − 1) and (n − 1)(k − 1) degrees of freedom.
    mean_square = arms * float((by_seed**2).sum()) / (count - 1)
    error = float(((centred - by_seed) ** 2).sum()) / ((count - 1) * (arms - 1))
    if not error > 0.0 or not math.isfinite(mean_square / error):
        return []
    correlation = (mean_square - error) / (mean_square + (arms - 1) * error)
    p = float(special.fdtrc(count - 1.0, (count - 1.0) * (arms - 1.0), mean_square / error))
    facts = f"{number_text(correlation, 2)} ({p_text(p)}, {counted(count, 'seed')})"
    declared = data.analysis.blocked_by_seed
    status = Status.SUPPORTED if p < data.analysis.alpha else Status.UNRESOLVED
    treated = "seeds are analysed as blocks" if declared else "seeds are analysed as independent"
    return [
        Claim(
            kind=ClaimKind.SEED_CORRELATION,
            heading="Correlation between runs that share a seed",
            statement=f"{'' if status is Status.SUPPORTED else 'not resolved: '}{facts}; {treated}",
            status=status,
            reason="this test does not change the declared analysis; the next plan can declare the seed as a block",
            method="intraclass correlation and F test of seeds, two-way table of configurations and seeds",
            n_runs=table.size,
            estimate=correlation,
            p_adjusted=p,
            evidence=SeedEvidence(declared_block=declared, seeds=count),
        )
    ]
