"""Claims against the truth: 1 where the thing happened, 0 where it did not, nothing where it could not happen."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from setpoint.analysis.data.claim import Claim, Status
from setpoint.analysis.data.experiment import Level
from setpoint.analysis.statistics.effects import effect_projector, holm
from setpoint.truth.planted import Planted

Grades = Mapping[str, float | None]
Grade = Callable[[Planted, Sequence[Claim]], Grades]
NOT_A_NUMBER = re.compile(r"\b(nan|NaN|inf|None)\b")
SAME = 1e-9
P_VALUE = "p of "
"""Grades whose names begin so are p-values; their distribution is looked at, not their mean."""


def prose_is_sound(claims: Sequence[Claim]) -> bool:
    """Whether no sentence holds a number that is none."""
    return not any(NOT_A_NUMBER.search(f"{claim.statement} {claim.reason}") for claim in claims)


def supported(claims: Sequence[Claim], prefix: str) -> list[Claim]:
    """Supported claims whose id begins with `prefix`."""
    return [claim for claim in claims if claim.status is Status.SUPPORTED and claim.id.startswith(prefix)]


def grade_factorial(planted: Planted, claims: Sequence[Claim]) -> Grades:
    """All that can be said about a factorial: families of errors, naming, coverage, best sets, power."""
    wrong = {
        "false main effect": _any_null(planted, claims, "main_effect:", _false_main),
        "false interaction": _any_null(planted, claims, "interaction:", _false_interaction),
        "false best level": _any_null(planted, claims, "optimal_level:", _false_level),
        "false best configuration": _any_null(planted, claims, "best_configurations:", _false_configuration),
        "false failure claim": _any_null(planted, claims, "failures:", lambda *_: True),
    }
    return {
        **wrong,
        "any false claim": float(any(value == 1.0 for value in wrong.values())),
        **_naming(planted, claims),
        "gain covered": _share(_gain_covered(planted, c) for c in claims if c.id.startswith("optimal_level:")),
        "differences covered": _share(
            _difference_covered(planted, c) for c in claims if c.id.startswith("main_effect:")
        ),
        "level means covered": _share(
            held for c in claims if c.id.startswith("optimal_level:") for held in _means_covered(planted, c)
        ),
        "best level in its set": _share(
            _best_in_set(planted, c) for c in claims if c.id.startswith("optimal_level:") and c.status.tested
        ),
        **{f"found {f}": float(bool(supported(claims, f"main_effect:{f}"))) for f in _true_factors(planted)},
        **{f"F finds {f}": found for f, found in _reference_test(planted).items()},
        "found interaction": float(bool(supported(claims, "interaction:"))),
        **{P_VALUE + c.id: c.details["p_unadjusted"] for c in claims if "p_unadjusted" in c.details},
        **_configurations(planted, claims),
    }


def _any_null(
    planted: Planted, claims: Sequence[Claim], prefix: str, false: Callable[[Planted, Claim], bool]
) -> float | None:
    made = [claim for claim in claims if claim.id.startswith(prefix) and claim.status.tested]
    return float(any(false(planted, claim) for claim in supported(made, prefix))) if made else None


def _false_main(planted: Planted, claim: Claim) -> bool:
    return bool(np.ptp(list(planted.marginal(claim.details["parameter"]).values())) < SAME)


def _false_interaction(planted: Planted, claim: Claim) -> bool:
    _, first, second = claim.id.split(":")
    return not planted.interacts(first, second)


def _false_level(planted: Planted, claim: Claim) -> bool:
    """Claimed to be better than every other level, and is not."""
    means = planted.marginal(claim.details["parameter"])
    named = claim.details["observed_best"]
    return any(means[level] <= means[named] + SAME for level in means if level != named)


def _false_configuration(planted: Planted, claim: Claim) -> bool:
    """Claimed to be better than every other configuration, and is not."""
    means = list(planted.truth.values())
    named = means[claim.details["observed_best"]]
    return bool(sum(mean <= named + SAME for mean in means) > 1)


def _share(values: Iterable[bool | None]) -> float | None:
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else None


def _naming(planted: Planted, claims: Sequence[Claim]) -> dict[str, float | None]:
    claim = next((c for c in claims if c.id == "most_impactful"), None)
    if claim is None or not claim.status.tested:
        return {"named": None, "named wrongly": None}
    named = claim.status is Status.SUPPORTED
    spread = {factor: float(np.var(list(planted.marginal(factor).values()))) for factor in planted.factors}
    top = max(spread.values())
    true = {factor for factor, value in spread.items() if value > top - SAME and top > SAME}
    wrong = named and not (len(true) == 1 and claim.details["parameter"] in true)
    return {"named": float(named), "named wrongly": float(wrong)}


def _gain_covered(planted: Planted, claim: Claim) -> bool | None:
    """Whether the interval of the observed best against the others' mean holds the truth."""
    if claim.interval is None:
        return None
    means = planted.marginal_here(claim.details["parameter"])
    best = claim.details["observed_best"]
    compared = [means[level] for level in _levels_in(claim, means) if level != best]
    gain = 1.0 - math.exp(means[best] - float(np.mean(compared)))
    return claim.interval[0] <= gain <= claim.interval[1]


def _levels_in(claim: Claim, means: Mapping[Level, float]) -> list[Level]:
    """The levels that were compared, which may be fewer than were planted."""
    count = len(claim.details["level_means"])
    return list(means) if count == len(means) else [level for level in means if _named(level, claim)]


def _named(level: Level, claim: Claim) -> bool:
    from setpoint.analysis.data.formatting import level_text

    return level_text(level) in claim.details["level_means"]


def _difference_covered(planted: Planted, claim: Claim) -> bool | None:
    """Whether the interval of the worst level against the best, observed, holds the truth."""
    if claim.interval is None or "worst_level" not in claim.details:
        return None
    means = planted.marginal_here(claim.details["parameter"])
    truth = means[claim.details["worst_level"]] - means[claim.details["best_level"]]
    return claim.interval[0] <= truth <= claim.interval[1]


def _means_covered(planted: Planted, claim: Claim) -> list[bool]:
    """For each level whether the interval of its mean holds the truth."""
    from setpoint.analysis.data.formatting import level_text

    intervals = claim.details.get("level_intervals", {})
    if not intervals:
        return []
    means = {level_text(k): math.exp(v) for k, v in planted.marginal_here(claim.details["parameter"]).items()}
    return [low <= means[name] <= high for name, (low, high) in intervals.items()]


def _best_in_set(planted: Planted, claim: Claim) -> bool:
    means = planted.marginal(claim.details["parameter"])
    best = min(means[level] for level in _levels_in(claim, means))
    return any(means[level] <= best + SAME for level in claim.details["possibly_best"])


def _true_factors(planted: Planted) -> list[str]:
    return [f for f in planted.factors if float(np.ptp(list(planted.marginal(f).values()))) > SAME]


def _reference_test(planted: Planted) -> dict[str, float]:
    """What the F test on logarithms with Holm finds, where the design is complete and all spreads are equal."""
    from scipy import special

    cells = list(planted.truth)
    values: dict[tuple[Level, ...], list[float]] = {}
    for run in planted.runs:
        if run.state != "ok":
            return {}
        levels = tuple(run.factors[factor] for factor in planted.factors)
        values.setdefault(levels, []).append(math.log(run.mean_error(run.systems[0])))
    table = np.array([values[cell] for cell in cells])
    if table.shape[1] < 2:
        return {}
    shape = tuple(len(planted.marginal(factor)) for factor in planted.factors)
    error_df = table.size - len(cells)
    mean_square = float(((table - table.mean(axis=1, keepdims=True)) ** 2).sum()) / error_df
    p_values = []
    pairs = list(combinations(range(len(shape)), 2))
    for axes in [*((axis,) for axis in range(len(shape))), *pairs]:
        explained = table.mean(axis=1) @ effect_projector(shape, axes) @ table.mean(axis=1) * table.shape[1]
        df = math.prod(shape[axis] - 1 for axis in axes)
        p_values.append(float(special.fdtrc(float(df), float(error_df), float(explained) / df / mean_square)))
    main, both = holm(p_values[: len(shape)]), holm(p_values[len(shape) :])
    found = dict(zip(planted.factors, main, strict=True))
    reference = {factor: float(found[factor] < 0.05) for factor in _true_factors(planted)}
    return {**reference, **({"interaction": float(min(both) < 0.05)} if both else {})}


def _configurations(planted: Planted, claims: Sequence[Claim]) -> dict[str, float | None]:
    """Whether the set of possibly best configurations holds the true best, and how large it is."""
    claim = next((c for c in claims if c.id.startswith("best_configurations:")), None)
    if claim is None or not claim.status.tested or any(run.state != "ok" for run in planted.runs):
        return {"best configuration in the set": None, "size of the set": None}
    means = list(planted.truth.values())
    kept = claim.details["possibly_best"]
    held = any(means[k] <= min(means) + SAME for k in kept)
    return {"best configuration in the set": float(held), "size of the set": float(len(kept))}


def grade_dying(planted: Planted, claims: Sequence[Claim]) -> Grades:
    """Two levels of which the second is worse and dies: the direction that is claimed, and whether deaths are seen."""
    best = next((c for c in claims if c.id == "optimal_level:learning_rate"), None)
    flagged = bool(supported(claims, "failures:learning_rate"))
    wrong = best is not None and best.status is Status.SUPPORTED and best.details["observed_best"] == 5e-4
    compared = best is not None and best.status.tested and any(run.state == "failed" for run in planted.runs)
    hidden = compared and not any("survive" in _caveats(c) for c in claims)
    return {"wrong direction": float(wrong), "failures seen": float(flagged), "caveat missing": float(hidden)}


def _caveats(claim: Claim) -> str:
    return " ".join(str(text) for text in claim.details.get("caveats", ()))


def grade_arms(planted: Planted, claims: Sequence[Claim]) -> Grades:
    """Differences of arms on each system, over these systems and over systems in general."""
    truth = {(c.id): _true_difference(planted, c) for c in claims if c.id.startswith("difference:")}
    own = [c for c in claims if c.id in truth]
    null = [c for c in own if abs(truth[c.id]) < SAME and c.status.tested]
    real = [c for c in own if abs(truth[c.id]) >= SAME and c.status.tested]
    covered = [_covers(c, truth[c.id]) for c in own if c.interval is not None]
    everywhere = [c for c in claims if c.id.startswith("systems_in_general:")]
    tested = [c for c in everywhere if c.status.tested]
    wrong = [c for c in supported(real, "") if (c.details["difference"] > 0) != (truth[c.id] > 0)]
    return {
        "false difference": float(bool(supported(null, ""))) if null else None,
        "wrong direction": float(bool(wrong)) if real else None,
        "found difference": float(np.mean([c.status is Status.SUPPORTED for c in real])) if real else None,
        "differences covered": float(np.mean(covered)) if covered else None,
        "false claim on systems in general": float(bool(supported(tested, ""))) if tested else None,
        "refused on systems in general": float(all(c.status is Status.REFUSED for c in everywhere))
        if everywhere
        else None,
        **_pooled_false(claims, planted),
    }


def _pooled_false(claims: Sequence[Claim], planted: Planted) -> dict[str, float | None]:
    """Main effects of a factor whose arms are equal everywhere."""
    if any(abs(value) >= SAME for value in planted.extra.values()):
        return {}
    made = [c for c in claims if c.id.startswith(("main_effect:", "optimal_level:", "these_systems:"))]
    return {"false main effect": float(bool(supported(made, "")))} if made else {}


def _true_difference(planted: Planted, claim: Claim) -> float:
    first, second = claim.details["pair"]
    system = claim.details["system"]
    return planted.extra.get(f"{system}:{second}", 0.0) - planted.extra.get(f"{system}:{first}", 0.0)


def _covers(claim: Claim, difference: float) -> bool:
    if claim.interval is None:
        return False
    improvement = 1.0 - math.exp(difference)
    return claim.interval[0] <= improvement <= claim.interval[1]


def expect(**wanted: Status) -> Grade:
    """Grades whether every claim whose id begins with a name has the status that it must have.

    That runs gave the same files is seen, not inferred, and so never false.
    """

    def grade(planted: Planted, claims: Sequence[Claim]) -> Grades:
        right = all(_matches(claims, prefix, status) for prefix, status in wanted.items())
        made = [claim for claim in supported(claims, "") if not claim.id.startswith("dead_axis:")]
        return {"correct status": float(right), "any false claim": float(bool(made))}

    return grade


def _matches(claims: Sequence[Claim], prefix: str, status: Status) -> bool:
    found = [claim for claim in claims if claim.id.startswith(prefix)]
    return bool(found) and all(claim.status is status for claim in found)
