"""Claims about a factorial of swept parameters: the most impactful one, best levels, main effects and interactions.

All claims are about the training procedure: each trained run counts as one observation, and the tests are fixed before
the results. Levels are compared on their means over all other parameters.
"""

from setpoint.analysis.data.claim import Claim, ClaimKind, Obstacle, Status, unanswered
from setpoint.analysis.data.design import Factorial, factorial, swept
from setpoint.analysis.data.experiment import ExperimentData
from setpoint.analysis.factors.best_levels import level_claim
from setpoint.analysis.factors.claim_builder import no_level_claim
from setpoint.analysis.factors.equivalence import equivalence_claims, no_equivalence_claims
from setpoint.analysis.factors.factor_tests import run_tests
from setpoint.analysis.factors.impact import MOST_IMPACTFUL, main_effect, most_impactful
from setpoint.analysis.factors.interactions import interactions
from setpoint.analysis.factors.resolution import resolution
from setpoint.analysis.factors.trends import trend_claims, untested_trends
from setpoint.formatting import listed


def sweep_claims(data: ExperimentData) -> list[Claim]:
    """Return the claims of the factorial in the order of a report, as declared in the plan's `analysis` block."""
    design = factorial(data, data.analysis.primary_metric)
    if isinstance(design.cells, Obstacle):
        return _refusals(data, design, design.cells)
    sweep = run_tests(data, design, design.cells)
    equivalence = equivalence_claims(sweep)
    bounds = {claim.factor: claim for claim in equivalence}
    return [
        most_impactful(sweep),
        *(level_claim(sweep, factor) for factor in sweep.parameters),
        *_dropped_factor_claims(data, design),
        *(main_effect(sweep, factor, bounds.get(factor)) for factor in sweep.parameters),
        *trend_claims(sweep),
        *equivalence,
        *interactions(sweep),
        resolution(sweep),
    ]


def _refusals(data: ExperimentData, design: Factorial, obstacle: Obstacle) -> list[Claim]:
    """Return the untested claims, each with the reason."""
    return [
        unanswered(ClaimKind.MOST_IMPACTFUL, MOST_IMPACTFUL, obstacle, n_runs=design.n_runs),
        *(no_level_claim(design, factor, obstacle) for factor in swept(data)),
        *untested_trends(data, design, obstacle),
        *(no_equivalence_claims(design, data.analysis.margin, swept(data), obstacle)),
    ]


def _dropped_factor_claims(data: ExperimentData, design: Factorial) -> list[Claim]:
    """Return claims about swept parameters with fewer than two levels left."""
    few = f"fewer than two levels have enough finished runs ({'; '.join(design.notes)})"
    dropped = [factor for factor in swept(data) if factor not in design.factors]
    reasons = {f: f"aliased with {listed(design.aliases[f])}" if f in design.aliases else few for f in dropped}
    return [no_level_claim(design, f, Obstacle(Status.NOT_TESTABLE, reason)) for f, reason in reasons.items()]
