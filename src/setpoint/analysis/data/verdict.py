"""Status of a claim from its adjusted p-value."""

from collections.abc import Sequence

from setpoint.analysis.data.claim import Status
from setpoint.analysis.data.experiment import ExperimentData
from setpoint.formatting import counted


def verdict(data: ExperimentData, p_adjusted: float, shown: str, *, doubts: Sequence[str] = ()) -> tuple[Status, str]:
    """Return status and reason of a claim about a difference; `shown` is the reason of a significant one.

    The claim is at most suggestive while runs are pending, or if there are `doubts`.
    """
    if p_adjusted >= data.analysis.alpha:
        return Status.UNRESOLVED, "not statistically significant"
    if pending := interim(data):
        return Status.SUGGESTIVE, pending[0]
    return (Status.SUGGESTIVE, "; ".join(doubts)) if doubts else (Status.SUPPORTED, shown)


def interim(data: ExperimentData) -> list[str]:
    """Return the reason why no claim can be supported yet: unfinished runs; empty if all have ended."""
    pending = sum(run.pending for run in data.runs)
    return [f"interim: {counted(pending, data.words.run)} not finished"] if pending else []
