"""The error rate of a whole report: how many families of tests it has, and a correction for all of them.

Each family of tests is corrected separately, so a report with F families has a false finding with probability up to
1 − (1 − alpha)^F if nothing has an effect. Testing each family at alpha / F bounds that probability by alpha.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace

from setpoint.analysis.data.claim import Claim, ClaimKind, Status
from setpoint.formatting import p_text, percent_text

OF_PARAMETERS = frozenset({ClaimKind.MOST_IMPACTFUL, ClaimKind.OPTIMAL_LEVEL, ClaimKind.MAIN_EFFECT, ClaimKind.TREND})
"""Kinds that require a significant main effect, and so belong to the family of main effects."""
NEVER_SUPPORTED = frozenset({ClaimKind.SECONDARY, ClaimKind.RESOLUTION, ClaimKind.INERT_PARAMETERS})
PER_SYSTEM = frozenset({ClaimKind.BEST_CONFIGURATIONS, ClaimKind.CHECKPOINTS})
"""Kinds that form one family per system."""


def family_of_claim(claim: Claim, claims: Sequence[Claim]) -> Hashable | None:
    """Return a label of the family of tests that a claim belongs to; None if it was not tested."""
    if not claim.status.tested or claim.p_adjusted is None or claim.kind in NEVER_SUPPORTED:
        return None
    if claim.kind in OF_PARAMETERS:
        return ClaimKind.MAIN_EFFECT
    if claim.kind is ClaimKind.BEST_CONFIGURATIONS and _restates_a_level(claim, claims):
        return ClaimKind.MAIN_EFFECT
    return (claim.kind, claim.system) if claim.kind in PER_SYSTEM else claim.kind


def _restates_a_level(claim: Claim, claims: Sequence[Claim]) -> bool:
    return any(c.kind is ClaimKind.OPTIMAL_LEVEL and c.statement == claim.statement for c in claims)


def families(claims: Sequence[Claim]) -> int:
    """Return the number of families of tests in a report."""
    return len({family for claim in claims if (family := family_of_claim(claim, claims)) is not None})


def error_note(claims: Sequence[Claim], alpha: float) -> str:
    """Return one sentence about the error rate of the whole report; empty with fewer than two families."""
    count = families(claims)
    if count < 2:
        return ""
    bound = 1.0 - (1.0 - alpha) ** count
    return (
        f"{count} families of tests, each with a false finding in at most {percent_text(alpha)} of reports without any "
        f"effect, and all together in at most {percent_text(bound)}; --strict corrects for all of them"
    )


def strict_note(claims: Sequence[Claim], alpha: float) -> str:
    """Return one sentence about the error rate of a report with corrected claims; empty with fewer than two families.

    A correction leaves the number of families as it is.
    """
    count = families(claims)
    if count < 2:
        return ""
    rate = percent_text(alpha)
    return (
        f"{count} families of tests, corrected together: a false finding in at most {rate} of reports without effects"
    )


def strict(claims: Sequence[Claim], alpha: float) -> list[Claim]:
    """Return the claims with a correction for all families: supported ones need a p-value below alpha / families."""
    count = families(claims)
    if count < 2:
        return list(claims)
    return [
        _weakened(claim, count, alpha)
        if claim.status is Status.SUPPORTED
        and family_of_claim(claim, claims) is not None
        and claim.p_adjusted is not None
        and claim.p_adjusted * count >= alpha
        else claim
        for claim in claims
    ]


def _weakened(claim: Claim, count: int, alpha: float) -> Claim:
    p = p_text(min(1.0, count * (claim.p_adjusted or 0.0)), alpha)
    reason = f"{p} after correction for the {count} families of tests of the report"
    return replace(
        claim,
        status=Status.SUGGESTIVE,
        statement=f"not resolved: {claim.statement}; {reason}",
        reason=f"{reason}; {claim.reason}",
    )
