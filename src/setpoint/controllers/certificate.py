"""What is known about a solution that is called optimal."""

from dataclasses import dataclass

STATIONARITY_TOLERANCE = 1e-6
GAP_TOLERANCE = 1e-9
VIOLATION_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Certificate:
    """First-order optimality of one solve, measured after the solver returned, not taken from its status.

    Attributes:
        solver: which solver produced the point.
        stationarity: largest component of the Lagrangian's gradient, relative to the cost's own gradient (at least 1).
        gap: largest shooting gap, the difference between solver and simulator over one interval, in state units.
        violation: largest violation of a bound, in the bound's unit.
        complementarity: largest product of a multiplier with its bound's slack, relative like `stationarity`.
    """

    solver: str
    stationarity: float
    gap: float
    violation: float
    complementarity: float

    @property
    def holds(self) -> bool:
        """Whether the point may be called a (local) optimum; for convex problems, the global one."""
        return (
            self.stationarity <= STATIONARITY_TOLERANCE
            and self.complementarity <= STATIONARITY_TOLERANCE
            and self.gap <= GAP_TOLERANCE
            and self.violation <= VIOLATION_TOLERANCE
        )
