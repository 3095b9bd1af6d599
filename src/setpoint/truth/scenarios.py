"""The simulated scenarios, and the targets for error rates, coverage and power of the claims."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from setpoint.analysis.data.claim import Claim, ClaimKind, Status, find
from setpoint.analysis.data.experiment import Level
from setpoint.analysis.data.subject import OneFactor
from setpoint.records.state import RunStatus
from setpoint.truth.field import field_scenarios
from setpoint.truth.grading import expect, grade_arms, grade_factorial, grade_informative_failures, grade_search
from setpoint.truth.planted import Planted, PlantedRun
from setpoint.truth.searches import Searched
from setpoint.truth.targets import (
    ALL,
    COVERAGE,
    EXACT_FAILURES,
    MEANS,
    NAMING,
    ONE_FACTOR,
    ONE_SEED,
    PAIR,
    RIGHT,
    TYPE_ONE,
    Generator,
    Scenario,
    Target,
)
from setpoint.truth.worlds import (
    CUBE,
    GRID,
    ONE_WAY,
    SQUARE,
    Arms,
    InformativeFailures,
    ManyConfigurations,
    World,
    heavy_tailed,
    straight,
)


@dataclass(frozen=True)
class Changed:
    """A generator whose experiments are changed after they were drawn."""

    world: Generator
    change: Callable[[Planted], Planted]

    def sample(self, rng: np.random.Generator) -> Planted:
        """Draw one experiment, and change it."""
        return self.change(self.world.sample(rng))


POWER = Target("found learning_rate", "of", 0.95, "F test finds learning_rate")
SEEDS = (2, 3, 5, 10)
HETERO = (0.09, 0.09, 0.3, 0.9)


def scenarios() -> list[Scenario]:
    """Return all scenarios, in order."""
    found = [
        *_nulls(),
        *_effects(),
        *_spreads(),
        *_failures(),
        *_dependence(),
        *_selection(),
        *_arms(),
        *_equivalence(),
        *_searches(),
        *_limits(),
    ]
    return [*found, *field_scenarios()]


def _nulls() -> list[Scenario]:
    designs: Sequence[tuple[str, Mapping[str, Sequence[Level]], int]] = (
        ("5×4×2", GRID, 2),
        ("5×4×2", GRID, 3),
        ("5×4×2", GRID, 5),
        ("3×3×3", CUBE, 3),
        ("4×4", SQUARE, 3),
        *(("one-way 3", ONE_WAY, r) for r in SEEDS),
    )
    return [
        Scenario(
            f"G0 {name} r={r}",
            "no effects",
            World(levels=levels, replicates=r),
            grade_factorial,
            (
                *((*ALL, Target("most impactful named", "at most", 0.05)) if len(levels) > 1 else ONE_FACTOR),
                *(PAIR if "batch_size" in levels and len(levels["batch_size"]) == 2 else ()),
                *MEANS,
                *_distribution(levels, r),
            ),
        )
        for name, levels, r in designs
    ]


def _distribution(levels: Mapping[str, Sequence[Level]], r: int) -> list[Target]:
    """Return targets for null p-values: uniform, or conservative with two seeds per cell or at most nine runs."""
    factors = list(levels)
    conservative = r == 2 or r * math.prod(len(found) for found in levels.values()) < 10
    names = [f"p of main_effect:{factor}" for factor in factors]
    names += [f"p of interaction:{a}:{b}" for a, b in combinations(factors, 2)][:1] if r >= 2 else []
    kind = Target("", "conservative", 3.0) if conservative else Target("", "uniform", 0.001)
    return [replace(kind, quantity=name) for name in names]


def _effects() -> list[Scenario]:
    found = []
    for size in (0.5, 1.0, 2.0):
        for r in (3, 5):
            world = World(replicates=r, effects={"learning_rate": straight(4, size)})
            targets = (*TYPE_ONE, Target("most impactful wrong", "at most", 0.01), *COVERAGE, *PAIR, *MEANS, POWER)
            found.append(Scenario(f"G1 {size:g} sd r={r}", "one effect", world, grade_factorial, targets))
    for r in SEEDS:
        world = World(levels=ONE_WAY, replicates=r, effects={"learning_rate": straight(3, 1.0)})
        name, targets = f"G1 one-way 1 sd r={r}", (*COVERAGE, *MEANS)
        found.append(Scenario(name, "one effect, one factor", world, grade_factorial, targets))
    tie = World(levels=SQUARE, effects={"lora_rank": straight(4, 1.0), "learning_rate": straight(4, 1.0)})
    found.append(Scenario("G2 r=3", "two equal effects", tie, grade_factorial, ALL))
    best_test = Target("found or suggested interaction", "of", 0.95, "F test finds interaction")
    supported = Target("found interaction", "beside", 1.0, "F test finds interaction")
    named = Target("most impactful named", "at most", 0.05)
    step = World(crossover=0.5)
    title = "step cross-over of ±½ SD, no main effect"
    found.append(Scenario("G3 step r=3", title, step, grade_factorial, (*ALL, named, best_test, supported)))
    slope = World(turning=1.0)
    title = "cross-over of slopes from −1 SD to +1 SD, no main effect"
    enough = Target("found or suggested interaction", "at least", 0.9)
    found.append(Scenario("G3 1 sd r=3", title, slope, grade_factorial, (*ALL, named, best_test, supported, enough)))
    return found


def _spreads() -> list[Scenario]:
    unequal = [
        Scenario(
            f"G4 r={r}",
            "SD 0.3 to 3 by learning rate, equal means",
            World(replicates=r, run_sd=HETERO),
            grade_factorial,
            (*ALL, Target("most impactful named", "at most", 0.05)),
        )
        for r in (2, 3, 5)
    ]
    effects = {"lora_rank": straight(5, 1.0), "learning_rate": straight(4, 1.0)}
    return [
        *unequal,
        Scenario(
            "G5 r=3",
            "multiplicative, lognormal σ=1",
            World(effects=effects, run_sd=1.0),
            grade_factorial,
            (*ALL, *MEANS),
        ),
        *(
            Scenario(
                f"G5 one-way r={r}",
                "multiplicative, lognormal σ=1",
                World(levels=ONE_WAY, replicates=r, effects={"learning_rate": straight(3, 1.0)}, run_sd=1.0),
                grade_factorial,
                (*COVERAGE, *MEANS),
            )
            for r in SEEDS
        ),
        Scenario("G6 r=3", "t(3) and 2 % outliers", World(noise=heavy_tailed), grade_factorial, ALL),
    ]


def _failures() -> list[Scenario]:
    missing = World(replicates=3, missing=0.1)
    effect = replace(missing, effects={"learning_rate": straight(4, 2.0)})
    direction = Target("wrong direction", "at most", 0.025)
    caveat = Target("caveat missing", "at most", 0.0)
    return [
        Scenario("G7 null r=3", "one run in ten fails", missing, grade_factorial, (*ALL, *EXACT_FAILURES)),
        Scenario(
            "G7 2 sd r=3",
            "one run in ten fails, one effect",
            effect,
            grade_factorial,
            (*TYPE_ONE, *NAMING, *COVERAGE, Target("found learning_rate", "at least", 0.9)),
        ),
        Scenario(
            "G8 n=5",
            "informative missingness (MNAR)",
            InformativeFailures(5),
            grade_informative_failures,
            (direction, caveat),
        ),
        Scenario(
            "G8 n=10",
            "informative missingness (MNAR)",
            InformativeFailures(10),
            grade_informative_failures,
            (direction, caveat),
        ),
        Scenario(
            "G8 n=20",
            "informative missingness (MNAR)",
            InformativeFailures(20),
            grade_informative_failures,
            (direction, caveat, Target("failures detected", "at least", 0.8)),
        ),
    ]


def _dependence() -> list[Scenario]:
    found = []
    sizes = [(correlation, 5) for correlation in (0.0, 0.6, 0.9)] + [(0.6, r) for r in SEEDS if r != 5]
    for correlation, r in sizes:
        for blocks in ((), ("seed",)):
            world = World(levels=ONE_WAY, replicates=r, seed_correlation=correlation, blocks=blocks)
            title = f"seed correlation {correlation:g}, {'declared' if blocks else 'not declared'}"
            name = f"G9 ρ={correlation:g} r={r}{' blocks' if blocks else ''}"
            # Two blocks leave one degree of freedom: single levels are then not testable.
            targets = TYPE_ONE[:1] if blocks and r == 2 else (*ONE_FACTOR, *MEANS)
            found.append(Scenario(name, title, world, grade_factorial, targets))
    for r in (2, 3, 5, 10):
        levels = GRID if r < 10 else ONE_WAY
        world = World(levels, r, cases=20, case_sd=1.0, configuration_case_sd=0.3, residual_sd=0.5)
        title = "case SD 1, configuration-by-case SD 0.3, new cases"
        kept = TYPE_ONE if r < 10 else tuple(t for t in TYPE_ONE if t.quantity != "false interaction")
        # The best configuration is that on the drawn cases, on which no two configurations are equal.
        kept = tuple(target for target in kept if target.quantity != "false best configuration")
        covered = tuple(target for target in COVERAGE if target.quantity != "best level in its set")
        name = f"G10 {'one-way ' if r == 10 else ''}r={r}"
        found.append(Scenario(name, title, world, grade_factorial, (*kept, *NAMING, *covered, *MEANS)))
    return found


def _selection() -> list[Scenario]:
    inside = Target("best configuration in the set", "at least", 0.94)
    return [
        Scenario(
            f"G11 τ={tau:g} n={n}",
            "the best of 40 configurations",
            ManyConfigurations(between_sd=tau, replicates=n),
            grade_factorial,
            (inside,),
        )
        for tau, n in ((0.5, 3), (1.0, 3), (0.5, 5), (0.5, 10))
    ]


def _arms() -> list[Scenario]:
    false = Target("false difference", "at most", 0.06)
    covered = Target("differences covered", "at least", 0.94)
    general = Target("false claim on systems in general", "at most", 0.06)
    wrong = Target("wrong direction", "at most", 0.025)
    pooled = Target("false main effect", "at most", 0.06)
    two, eight = ("double_integrator", "van_der_pol"), tuple(f"system_{k}" for k in range(8))
    found = []
    for names, system_sd in ((two, 0.0), (two, 1.0), (eight, 1.0)):
        arms = {"specialist": [0.0] * len(names), "universal": [0.0] * len(names)}
        world = Arms("model_type", "cross_system", names, arms, 3, system_sd=system_sd, shared=("universal",))
        refused = (Target("refused on systems in general", "at least", 1.0),) if len(names) < 6 else (general,)
        extra = (false, pooled) if system_sd == 0.0 else (wrong,)
        title = f"specialist and universal, {len(names)} systems, equal in general"
        name = f"G12 k={len(names)}{' equal' if system_sd == 0.0 else ''}"
        found.append(Scenario(name, title, world, grade_arms, (*extra, covered, *refused)))
    three = ("van_der_pol", "pendulum", "double_integrator")
    starts = {"base": [0.0, 0.0, 0.0], "adapter": [-2.0, 0.0, 2.0]}
    transfer = Arms("start", "transfer_learning", three, starts, 5)
    found.append(
        Scenario("G13 r=5", "transfer helps, has no effect, harms", transfer, grade_arms, (false, wrong, covered))
    )
    strategies = {name: [0.0] for name in ("sft_only", "sft_then_grpo", "grpo_from_scratch")}
    for r in (2, 3, 5):
        for spread, label in ((0.3, "equal spread"), ((0.1, 0.3, 0.9), "spread 1 to 9")):
            world = Arms("strategy", "training_ablation", two[:1], strategies, r, run_sd=spread)
            name = f"G4 ablation {label} r={r}"
            found.append(Scenario(name, f"strategies, {label}", world, grade_arms, (false, pooled, covered)))
    blocked = Arms("strategy", "training_ablation", two[:1], strategies, 5, seed_correlation=0.6, blocks=("seed",))
    found.append(Scenario("G9 ablation blocks", "shared seeds, ρ=0.6", blocked, grade_arms, (false, pooled, covered)))
    return found


def _equivalence() -> list[Scenario]:
    """Equivalence within 20 %, with true differences of 20 % and of zero."""
    false = Target("false equivalence", "at most", 0.06)
    covered = Target("largest difference covered", "at least", 0.94)
    best_test = Target("found equivalence", "of", 0.95, "TOST finds equivalence")
    pair, margin = {"learning_rate": (1e-4, 2e-4)}, 0.2
    at = math.log1p(margin) / 0.1
    found = []
    for r in SEEDS:
        world = World(pair, r, {"learning_rate": (0.0, at)}, run_sd=0.1, equivalence=margin)
        found.append(
            Scenario(f"G21 margin r={r}", "a difference equal to the margin", world, grade_factorial, (false,))
        )
        world = replace(world, effects={})
        power = (best_test, covered) if r > 2 else (covered,)
        found.append(Scenario(f"G21 equal r={r}", "two equal levels", world, grade_factorial, power))
    three = World(ONE_WAY, 5, {"learning_rate": (0.0, at / 2, at)}, run_sd=0.1, equivalence=margin)
    spread = (0.03, 0.1, 0.3)
    effect = (0.0, 0.0, math.log1p(margin) / float(np.mean(spread)))
    unequal = replace(three, run_sd=spread, effects={"learning_rate": effect})
    grid = World(GRID, 3, {f: [0.0] * (len(v) - 1) + [at] for f, v in GRID.items()}, run_sd=0.1, equivalence=margin)
    for name, title, world in (
        ("three levels", "three levels, the outer ones at the margin", three),
        ("unequal spread", "SD 0.03 to 0.3, a difference equal to the margin", unequal),
        ("5×4×2", "three parameters at the margin", grid),
        ("failures", "one run in ten fails", replace(three, missing=0.1)),
    ):
        found.append(Scenario(f"G21 {name}", title, world, grade_factorial, (false, covered)))
    return found


def _searches() -> list[Scenario]:
    never = (Target("supported in a search", "at most", 0.0), Target("search not labelled", "at most", 0.0))
    covered = (Target("fresh scores covered", "near", 0.95),)
    found = []
    for depth, title in ((0.0, "all trials equal"), (1.0, "one optimum")):
        world = Searched(depth=depth)
        found.append(Scenario(f"G22 search {depth:g}", f"a search, {title}", world, grade_search, never))
        for seeds in (3, 5):
            world = Searched(depth=depth, confirmed=3, seeds=seeds)
            name = f"G22 confirmed {depth:g} n={seeds}"
            found.append(Scenario(name, f"the best three of a search, {title}", world, grade_search, covered))
    return found


def _limits() -> list[Scenario]:
    small = World(levels={"lora_rank": (4, 8), "learning_rate": (1e-4, 2e-4)}, replicates=1)
    large = World(replicates=1)
    effect = World(levels=SQUARE, effects={"learning_rate": straight(4, 3.0)})
    never = Target("any false claim", "at most", 0.0)
    large_targets = (*ONE_SEED, *MEANS, *_distribution(GRID, 1))
    return [
        Scenario(
            "G14 2×2",
            "one seed, no error degrees of freedom",
            small,
            expect(most_impactful=Status.NOT_TESTABLE, optimal_level=Status.NOT_TESTABLE),
            RIGHT,
            True,
        ),
        Scenario(
            "G14 5×4×2", "one seed, main effects tested against interactions", large, grade_factorial, large_targets
        ),
        Scenario("G15", "interim analyses", Changed(World(replicates=3), _unfinished), _peek, (never,)),
        Scenario("G16", "all runs of a level failed", Changed(effect, _level_failed), _level_status, RIGHT, True),
        Scenario(
            "G17",
            "a constant metric",
            Changed(World(levels=SQUARE), _constant),
            expect(most_impactful=Status.NOT_TESTABLE, optimal_level=Status.NOT_TESTABLE),
            RIGHT,
            True,
        ),
        Scenario(
            "G18",
            "a zero on a log scale",
            Changed(effect, _zero),
            expect(most_impactful=Status.REFUSED, optimal_level=Status.REFUSED, best_configurations=Status.REFUSED),
            RIGHT,
            True,
        ),
        Scenario(
            "G20 all",
            "no run has a finite metric",
            Changed(World(levels=SQUARE), _no_numbers),
            expect(most_impactful=Status.NOT_TESTABLE, optimal_level=Status.NOT_TESTABLE),
            RIGHT,
            True,
        ),
        Scenario(
            "G20 some", "NaN and inf in some runs", Changed(World(levels=SQUARE), _some_nan), _noticed, RIGHT, True
        ),
    ]


def _map(planted: Planted, change: Callable[[int, PlantedRun], PlantedRun]) -> Planted:
    return replace(planted, runs=tuple(change(k, run) for k, run in enumerate(planted.runs)))


def _with_errors(run: PlantedRun, value: float) -> PlantedRun:
    return replace(run, errors={system: np.full_like(errors, value) for system, errors in run.errors.items()})


def _unfinished(planted: Planted) -> Planted:
    last = max(run.replicate for run in planted.runs)
    return _map(planted, lambda _, run: replace(run, state=RunStatus.PLANNED) if run.replicate == last else run)


def _level_failed(planted: Planted) -> Planted:
    return _map(planted, lambda _, run: replace(run, state=RunStatus.FAILED) if run.factors["lora_rank"] == 32 else run)


def _constant(planted: Planted) -> Planted:
    return _map(planted, lambda _, run: _with_errors(run, 0.1))


def _zero(planted: Planted) -> Planted:
    return _map(planted, lambda k, run: _with_errors(run, 0.0) if k == 5 else run)


def _no_numbers(planted: Planted) -> Planted:
    return _map(planted, lambda k, run: _with_errors(run, float("nan") if k % 2 else float("inf")))


def _some_nan(planted: Planted) -> Planted:
    return _map(planted, lambda k, run: _with_errors(run, float("inf")) if k < 2 else run)


def _peek(planted: Planted, claims: Sequence[Claim]) -> Mapping[str, float | None]:
    made = [c for c in claims if c.status is Status.SUPPORTED and c.kind is not ClaimKind.RESOLUTION]
    return {"any false claim": float(bool(made))}


def _level_status(planted: Planted, claims: Sequence[Claim]) -> Mapping[str, float | None]:
    ranks, rates = OneFactor("lora_rank"), OneFactor("learning_rate")
    best = find(claims, ClaimKind.OPTIMAL_LEVEL, subject=ranks)
    shown = (find(claims, ClaimKind.MAIN_EFFECT, subject=rates), find(claims, ClaimKind.FAILURES, subject=ranks))
    right = (
        best is not None
        and best.status is not Status.SUPPORTED
        and "32 could not be compared" in best.statement
        and all(claim is not None and claim.status is Status.SUPPORTED for claim in shown)
    )
    return {"correct status": float(right), "any false claim": 0.0}


def _noticed(planted: Planted, claims: Sequence[Claim]) -> Mapping[str, float | None]:
    """Grade whether a caveat mentions the missing values, and the other runs are still analysed."""
    claim = find(claims, ClaimKind.MOST_IMPACTFUL)
    right = (
        claim is not None
        and claim.status.tested
        and any("missing in 2 finished runs" in caveat for caveat in claim.caveats)
    )
    return {"correct status": float(right), "any false claim": 0.0}
