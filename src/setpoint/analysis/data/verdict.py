"""How far a corrected p-value carries a claim."""

from collections.abc import Sequence

from setpoint.analysis.data.claim import Status
from setpoint.analysis.data.experiment import ExperimentData
from setpoint.formatting import counted


def verdict(data: ExperimentData, p_adjusted: float, shown: str, *, doubts: Sequence[str] = ()) -> tuple[Status, str]:
    """Status and reason of a claim about a difference; `shown` is what a significant one shows.

    It is no more than suggestive as long as runs are pending, or where there are `doubts`.
    """
    if p_adjusted >= data.analysis.alpha:
        return Status.UNRESOLVED, "the difference may be chance"
    pending = sum(run.pending for run in data.runs)
    if pending:
        return Status.SUGGESTIVE, f"interim: {counted(pending, data.words.run)} still to come"
    return (Status.SUGGESTIVE, "; ".join(doubts)) if doubts else (Status.SUPPORTED, shown)
