"""How often a controller looks at the state again, and in which of these modes the numbers of a problem count."""

from enum import StrEnum

CLOSED_LOOP_REPLANNING = 5
"""Steps between two plans where a problem is judged in closed loop."""


def mode_name(replan_interval: int) -> str:
    """How a controller is asked: `replan_<steps>`, or `open_loop` for 0, one plan for the whole horizon."""
    return f"replan_{replan_interval}" if replan_interval else "open_loop"


class EvaluationMode(StrEnum):
    """The mode whose numbers count for a problem; others may be shown beside it."""

    OPEN_LOOP = "open_loop"
    """One plan from the initial state, carried out to the end."""
    CLOSED_LOOP = "closed_loop"
    """A new plan every `CLOSED_LOOP_REPLANNING` steps: where one plan says nothing, as for unstable plants."""

    @property
    def episodes(self) -> str:
        """The mode of the episodes that count."""
        return mode_name(CLOSED_LOOP_REPLANNING if self is EvaluationMode.CLOSED_LOOP else 0)
