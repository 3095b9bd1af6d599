"""What claims rest on, with its type."""

from typing import TypeVar

from setpoint.analysis.data.claim import Claim

E = TypeVar("E")


def evidence_of(claim: Claim, form: type[E]) -> E:
    """The evidence of `claim`, which must be of this form."""
    assert isinstance(claim.evidence, form)
    return claim.evidence
