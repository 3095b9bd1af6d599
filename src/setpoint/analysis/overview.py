"""All claims of an experiment, according to its type."""

from collections.abc import Callable
from dataclasses import replace

from setpoint.analysis.arms.ablation import ablation_claims
from setpoint.analysis.arms.block_ranks import block_rank_claims
from setpoint.analysis.arms.comparisons import arm_claims
from setpoint.analysis.arms.transfer import transfer_claims
from setpoint.analysis.data.claim import Claim, Status
from setpoint.analysis.data.experiment import ExperimentData
from setpoint.analysis.factors.sweep import sweep_claims
from setpoint.analysis.runs.best_set import best_set_claims
from setpoint.analysis.runs.checkpoints import checkpoint_claims
from setpoint.analysis.runs.confirmation import confirmation_claims
from setpoint.analysis.runs.improvement import improvement_claims
from setpoint.analysis.runs.inert_parameters import inert_parameter_claims
from setpoint.analysis.runs.reliability import failure_claims
from setpoint.analysis.runs.secondary import secondary_claims

MODEL_TYPE = "model_type"
EXPLORATORY = "exploratory"
ADAPTIVE = "earlier results decided which runs were made; confirm it with a new experiment"


def cross_system_claims(data: ExperimentData) -> list[Claim]:
    """Compare universal and specialist models on every system, over the tested systems and over systems in general."""
    return arm_claims(data, MODEL_TYPE) if len({run.model_type for run in data.runs}) >= 2 else []


BY_TYPE: dict[str, Callable[[ExperimentData], list[Claim]]] = {
    "cross_system": cross_system_claims,
    "training_ablation": ablation_claims,
    "transfer_learning": transfer_claims,
}


def experiment_claims(data: ExperimentData) -> list[Claim]:
    """Return all claims in the order of a report."""
    own = BY_TYPE.get(data.type)
    of_sweep = sweep_claims(data)
    claims = [
        *of_sweep,
        *(own(data) if own is not None else []),
        *block_rank_claims(data),
        *best_set_claims(data, of_sweep),
        *confirmation_claims(data),
        *checkpoint_claims(data),
        *improvement_claims(data),
        *failure_claims(data),
        *secondary_claims(data),
    ]
    if data.analysis.adaptive:
        claims = [_exploratory(claim) for claim in claims]
    return [*claims, *inert_parameter_claims(data)]  # facts about equal digests, which no selection can bias


def _exploratory(claim: Claim) -> Claim:
    """Label a claim of an adaptive search, and downgrade a supported one: its runs were selected by their results."""
    claim = replace(claim, heading=f"{claim.heading} ({EXPLORATORY})")
    if claim.status is not Status.SUPPORTED:
        return claim
    return replace(
        claim,
        status=Status.SUGGESTIVE,
        statement=f"exploratory: {claim.statement}; {ADAPTIVE}",
        reason=f"{ADAPTIVE}; {claim.reason}",
    )
