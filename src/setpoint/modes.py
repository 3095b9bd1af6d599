"""Replanning intervals of controllers, and the primary evaluation mode of a problem."""

from enum import StrEnum

CLOSED_LOOP_REPLANNING = 5
"""Replanning interval in steps, for problems with closed loop as primary evaluation mode."""


def mode_name(replan_interval: int) -> str:
    """Return the name of the mode: `replan_<steps>`, or `open_loop` for 0 (one plan for the whole horizon)."""
    return f"replan_{replan_interval}" if replan_interval else "open_loop"


class EvaluationMode(StrEnum):
    """Primary evaluation mode of a problem; other modes are only shown with it."""

    OPEN_LOOP = "open_loop"
    """One plan from the initial state, executed to the end."""
    CLOSED_LOOP = "closed_loop"
    """A new plan every `CLOSED_LOOP_REPLANNING` steps, for example for unstable plants."""

    @property
    def episodes(self) -> str:
        """Name of the mode of the primary episodes."""
        return mode_name(CLOSED_LOOP_REPLANNING if self is EvaluationMode.CLOSED_LOOP else 0)
