"""What a report may say: sentences with the numbers that earn them, and with the reason where they are not earned."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA = 1


class Status(StrEnum):
    """How far the data carry a claim."""

    SUPPORTED = "supported"
    """The pre-declared test says so at the declared level."""
    SUGGESTIVE = "suggestive"
    """A part of what is needed holds; the reason says which part does not."""
    UNRESOLVED = "unresolved"
    """Tested, and the data do not decide."""
    NOT_TESTABLE = "not_testable"
    """The design or what is left of it gives no error to test against."""
    REFUSED = "refused"
    """An answer would be wrong whatever the data: the metric or the question does not fit the method."""

    @property
    def tested(self) -> bool:
        """Whether a test stands behind the status."""
        return self in {Status.SUPPORTED, Status.SUGGESTIVE, Status.UNRESOLVED}


@dataclass(frozen=True)
class Claim:
    """One statement about an experiment.

    Attributes:
        id: stable name, such as `optimal_level:lora_rank`.
        heading: what is asked, the words before the colon in a report.
        statement: the answer, the words after it.
        status: how far the data carry it.
        reason: why that status, in words.
        method: how it was computed.
        n_runs: runs behind it.
        estimate: the size of the effect; what it measures is in `details["estimate_of"]`.
        interval: of the estimate, simultaneous over the claim's family.
        p_adjusted: adjusted over the claim's family.
        details: further finite numbers, text, lists and tables.
    """

    id: str
    heading: str
    statement: str
    status: Status
    reason: str
    method: str
    n_runs: int
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    p_adjusted: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be printed."""
        numbers = [self.estimate, self.p_adjusted, *(self.interval or ())]
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise ValueError(f"claim {self.id}: numbers must be finite, but are {numbers}")


def to_json(claim: Claim) -> dict[str, Any]:
    """The claim as plain JSON values."""
    fields = asdict(claim)
    fields["status"] = claim.status.value
    fields["interval"] = None if claim.interval is None else list(claim.interval)
    return fields


def from_json(fields: Mapping[str, Any]) -> Claim:
    """The claim that `to_json` wrote."""
    interval = fields["interval"]
    return Claim(
        **{
            **fields,
            "status": Status(fields["status"]),
            "interval": None if interval is None else (interval[0], interval[1]),
        }
    )
