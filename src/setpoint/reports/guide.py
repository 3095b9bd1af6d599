"""How to read a report: its statistics, for a reader who knows a t-test. Every HTML report contains it."""

from dataclasses import dataclass

from setpoint.analysis.data.claim import ClaimKind


@dataclass(frozen=True)
class Topic:
    """One paragraph of the guide.

    Attributes:
        anchor: its name in a link.
        text: plain text.
    """

    anchor: str
    title: str
    text: str


TOPICS = (
    Topic(
        "runs",
        "One trained run is one observation",
        "A run's score is its mean over the test cases. All runs use the same cases, so the cases add no noise to a "
        "comparison of two runs; the training seed does. As in a t-test with one value per subject, n is the number "
        "of runs, not the number of cases. With one run per configuration there is no estimate of the noise, and "
        "nothing is tested.",
    ),
    Topic(
        "ratios",
        "Effects are ratios",
        "Errors are compared on a logarithmic scale: 9 % better means that the error is 0.91 times that of the "
        "other. Means are therefore geometric, and a figure of effects has a logarithmic axis with 1 for no effect. "
        "Plans with a linear scale compare differences.",
    ),
    Topic(
        "levels",
        "Best level of a parameter",
        "The levels are compared by their means over all other parameters, with t-tests that allow different "
        "variances. The best level is supported if it is significantly better than every other one. Levels that are "
        "not significantly worse than the best are near-best: any of them may be the best.",
    ),
    Topic(
        "trends",
        "Trends over a numeric parameter",
        "If the plan declares a trend, two questions replace the question whether any levels differ. Linear: does "
        "the metric change along the line of least squares through the level means, as in a regression? Curvature: is "
        "it higher or lower half-way between the ends than on a straight line? Levels are spaced by their values or, "
        "if that is more even, by their logarithms. Both are t-tests that allow different variances.",
    ),
    Topic(
        "interactions",
        "Interactions, and effects that differ between configurations",
        "If the effect of one parameter depends on another one, the mean over that other one describes none of its "
        "levels. Then the report names the configurations first, the mean is at most suggestive, and the advice "
        "names the parameter along which the effect changes.",
    ),
    Topic(
        "best",
        "Best configurations",
        "Each configuration is compared with the best observed one. Near-best configurations are not significantly "
        "worse; the set contains the true best with the stated confidence. More seeds make it smaller.",
    ),
    Topic(
        "arms",
        "Two ways of training",
        "Two arms on one system are compared by a t-test of their runs. Over several systems, each system is one "
        "observation, as each subject is in a paired t-test: with few systems, no p-value can be small.",
    ),
    Topic(
        "stages",
        "SFT against the base, GRPO against SFT",
        "A paired t-test: each run is compared with what it started from. The base is one fixed model, so the "
        "spread is that of the trained runs alone.",
    ),
    Topic(
        "many",
        "Many tests at once",
        "Twenty tests of true null hypotheses give one p-value below 0.05 on average. P-values are therefore "
        "adjusted within their family (Holm), and intervals are widened to match: an interval excludes no effect "
        "exactly if its adjusted p-value is below the significance level. The families are fixed in the plan, "
        "before the first result.",
    ),
    Topic(
        "status",
        "What the badges mean",
        "Supported: significant in the test that the plan declared. Suggestive: significant, but a condition does "
        "not hold; the reason names it. Unresolved: tested and not significant, which is not evidence of no effect. "
        "Not testable: the design gives no estimate of the noise. Refused: the method does not apply. Descriptive: "
        "computed without a test.",
    ),
    Topic(
        "equivalence",
        "No difference, or none shown",
        "A difference that is not significant may still be large. Equivalence is tested on its own, against the "
        "largest difference that does not matter, which the plan declares (--equivalence). It is supported if the "
        "upper confidence limit of every difference is below that margin. Otherwise the question is open, and more "
        "seeds answer it.",
    ),
    Topic(
        "selection",
        "Why to confirm",
        "The best of many observed means is too good on average, because luck helped to select it (winner's curse). "
        "A confirmation trains the selected configurations again with new seeds. Its scores have no such bias, and "
        "the difference between old and fresh score shows how much was selection.",
    ),
    Topic(
        "modes",
        "Evaluation modes",
        "Open loop: one plan from the initial state, executed to the end. Replanning: a new plan every few steps, "
        "from the state that was reached. Each plant has one primary mode, in which its configurations are ranked "
        "and compared; the other one is shown beside it. Plants with different primary modes are never averaged.",
    ),
)

OF_KIND = {
    ClaimKind.MOST_IMPACTFUL: "levels",
    ClaimKind.OPTIMAL_LEVEL: "levels",
    ClaimKind.MAIN_EFFECT: "levels",
    ClaimKind.TREND: "trends",
    ClaimKind.EQUIVALENCE: "equivalence",
    ClaimKind.INTERACTION: "interactions",
    ClaimKind.BEST_CONFIGURATIONS: "best",
    ClaimKind.CHECKPOINTS: "best",
    ClaimKind.CONFIRMATION: "selection",
    ClaimKind.DIFFERENCE: "arms",
    ClaimKind.THESE_SYSTEMS: "arms",
    ClaimKind.SYSTEMS_IN_GENERAL: "arms",
    ClaimKind.RANKS: "arms",
    ClaimKind.SOURCE: "arms",
    ClaimKind.SFT_AGAINST_BASE: "stages",
    ClaimKind.DAGGER_AGAINST_SFT: "stages",
    ClaimKind.GRPO_AGAINST_SFT: "stages",
    ClaimKind.SECONDARY: "many",
    ClaimKind.FAILURES: "many",
    ClaimKind.RESOLUTION: "status",
    ClaimKind.SEED_CORRELATION: "runs",
    ClaimKind.INERT_PARAMETERS: "status",
}
"""Kind of claim -> the topic that explains it."""
