"""What is known about a solution that is called optimal."""

from dataclasses import dataclass

KKT_TOLERANCE = 1e-8
GAP_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Certificate:
    """First-order optimality of one solve, measured after the solver returned, not taken from its status.

    Attributes:
        solver: which solver produced the point.
        stationarity: largest component of the Lagrangian's gradient, relative to the cost's own gradient (at least 1).
        gap: largest shooting gap, the difference between solver and simulator over one interval, in state units.
        violation: largest violation of a bound, in the bound's unit.
        complementarity: largest product of a multiplier with its bound's slack, relative like `stationarity`.
        duality_gap: cost less the lower bound that the multipliers prove for every feasible point, relative to the cost
            (at least 1). Known for convex problems alone, where it makes the optimum a global one; else None.
    """

    solver: str
    stationarity: float
    gap: float
    violation: float
    complementarity: float
    duality_gap: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the point may be called a (local) optimum; for convex problems, the global one."""
        return (
            self.stationarity <= KKT_TOLERANCE
            and self.complementarity <= KKT_TOLERANCE
            and self.violation <= KKT_TOLERANCE
            and self.gap <= GAP_TOLERANCE
            and (self.duality_gap is None or self.duality_gap <= KKT_TOLERANCE)
        )

    @property
    def residual(self) -> float:
        """The largest of the Karush–Kuhn–Tucker conditions' residuals."""
        return max(self.stationarity, self.complementarity, self.violation, self.gap)

    def worst(self, other: "Certificate") -> "Certificate":
        """The worse of both, number by number; the solvers' names are joined where they differ."""
        gaps = [each.duality_gap for each in (self, other) if each.duality_gap is not None]
        return Certificate(
            solver=self.solver if self.solver == other.solver else f"{self.solver}+{other.solver}",
            stationarity=max(self.stationarity, other.stationarity),
            gap=max(self.gap, other.gap),
            violation=max(self.violation, other.violation),
            complementarity=max(self.complementarity, other.complementarity),
            duality_gap=max(gaps) if gaps else None,
        )
