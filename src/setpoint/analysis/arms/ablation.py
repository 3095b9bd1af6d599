"""Training strategies against each other, and whether runs with equal seeds resemble each other."""

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
    "sft_equal_compute": [
        "sft_equal_compute has as much compute as SFT and GRPO in the steps of training; the start of GRPO's stage is "
        "not counted"
    ]
}
"""What is to be known about single strategies."""


def ablation_claims(data: ExperimentData) -> list[Claim]:
    """All pairs of strategies on every system, and the resemblance of equal seeds."""
    return [*with_notes(arm_claims(data, strategy_factor(data)), NOTES), *_seed_correlation(data)]


def strategy_factor(data: ExperimentData) -> str:
    """The factor that tells the strategies apart."""
    return STRATEGY if any(STRATEGY in run.factors for run in data.runs) else "training_type"


def _seed_correlation(data: ExperimentData) -> list[Claim]:
    """The correlation between configurations of runs with equal seeds, from a two-way table without replication."""
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
    mean_square = arms * float((by_seed**2).sum()) / (count - 1)
    error = float(((centred - by_seed) ** 2).sum()) / ((count - 1) * (arms - 1))
    if not error > 0.0 or not math.isfinite(mean_square / error):
        return []
    correlation = (mean_square - error) / (mean_square + (arms - 1) * error)
    p = float(special.fdtrc(count - 1.0, (count - 1.0) * (arms - 1.0), mean_square / error))
    facts = f"correlation {number_text(correlation, 2)}, {p_text(p)}, {counted(count, 'seed')}"
    declared = data.analysis.blocked_by_seed
    status = Status.SUPPORTED if p < data.analysis.alpha else Status.UNRESOLVED
    treated = "runs with equal seeds are compared with each other" if declared else "seeds are treated as independent"
    return [
        Claim(
            kind=ClaimKind.SEED_CORRELATION,
            heading="Resemblance of runs with equal seeds",
            statement=f"equal seeds give similar runs ({facts}); {treated}"
            if status is Status.SUPPORTED
            else f"not resolved: {facts}; {treated}",
            status=status,
            reason="the declared analysis stays as it is; a next plan may declare the seed as a block",
            method="F test of seeds in the table of configurations and seeds; intraclass correlation",
            n_runs=table.size,
            estimate=correlation,
            p_adjusted=p,
            evidence=SeedEvidence(declared_block=declared, seeds=count),
        )
    ]
