"""Numerical certificate of optimality."""

from dataclasses import dataclass

# Looser than the solvers' own tolerances (1e-10, 1e-11), which apply to their internally scaled problem.
KKT_TOLERANCE = 1e-8
# Tighter: a gap grows over the horizon like any error, on the cart-pole by a factor of 2e4.
GAP_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Certificate:
    """Karush–Kuhn–Tucker residuals of one solution, measured after the solve and independent of the solver's status.

    Source: Nocedal & Wright, Numerical Optimization, §12.3.

    Attributes:
        solver: solver that produced the point.
        stationarity: largest component of the Lagrangian's gradient, relative to the cost gradient (at least 1).
        gap: largest shooting gap, the difference between solver and simulator over one interval, in state units.
        violation: largest violation of a bound, in the bound's unit.
        complementarity: largest product of a multiplier and the slack of its bound, scaled like `stationarity`.
        duality_gap: cost minus the lower bound proved by the multipliers, relative to the cost (at least 1). Only for
            convex problems, where it proves global optimality; else None.
    """

    solver: str
    stationarity: float
    gap: float
    violation: float
    complementarity: float
    duality_gap: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the point is certified: a first-order (local) optimum, or the global one of a convex problem."""
        # Comparisons with NaN are false, so a certificate with NaN never holds.
        return (
            self.stationarity <= KKT_TOLERANCE
            and self.complementarity <= KKT_TOLERANCE
            and self.violation <= KKT_TOLERANCE
            and self.gap <= GAP_TOLERANCE
            and (self.duality_gap is None or self.duality_gap <= KKT_TOLERANCE)
        )

    @property
    def residual(self) -> float:
        """Largest of the KKT residuals."""
        return max(self.stationarity, self.complementarity, self.violation, self.gap)

    def worst(self, other: "Certificate") -> "Certificate":
        """Return the component-wise worse of both; differing solver names are joined."""
        gaps = [each.duality_gap for each in (self, other) if each.duality_gap is not None]
        return Certificate(
            solver=self.solver if self.solver == other.solver else f"{self.solver}+{other.solver}",
            stationarity=max(self.stationarity, other.stationarity),
            gap=max(self.gap, other.gap),
            violation=max(self.violation, other.violation),
            complementarity=max(self.complementarity, other.complementarity),
            duality_gap=max(gaps) if gaps else None,
        )
