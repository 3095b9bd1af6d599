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
    pending = sum(run.pending for run in data.runs)
    if pending:
        return Status.SUGGESTIVE, f"interim: {counted(pending, data.words.run)} not finished"
    return (Status.SUGGESTIVE, "; ".join(doubts)) if doubts else (Status.SUPPORTED, shown)
