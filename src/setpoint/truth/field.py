"""Scenarios like published tables: few and many levels, blocks, unequal variances, failures, skewness, power."""

from collections.abc import Iterable
from dataclasses import replace

from setpoint.truth.grading import grade_factorial
from setpoint.truth.targets import COVERAGE, MEANS, ONE_FACTOR, TRENDS, TYPE_ONE, Generator, Scenario, Target
from setpoint.truth.worlds import (
    GRID,
    ONE_WAY,
    EqualCentres,
    Grouped,
    ManyConfigurations,
    RawLevels,
    SplitPlots,
    World,
    exponential,
    heavy_tailed,
    rates_near_one,
    straight,
    zero_inflated,
)

TWO = {"learning_rate": (1e-4, 2e-4)}
FIVE = {"learning_rate": (5e-5, 1e-4, 2e-4, 4e-4, 8e-4)}
TEN = {"learning_rate": tuple(k * 1e-4 for k in range(1, 11))}
TWELVE = {"learning_rate": tuple(k * 1e-4 for k in range(1, 13))}
FORTY = {"learning_rate": tuple(k * 1e-5 for k in range(1, 41))}
FOUR_BY_THREE = {"lora_rank": (4, 8, 16, 32), "learning_rate": (1e-4, 2e-4, 5e-4)}
ONE_BETTER = (-1.0, 0.0, 0.0, 0.0)
NOT_FALSE = tuple(target for target in ONE_FACTOR if target.quantity.startswith("false"))
IN_SET = Target("best level in its set", "at least", 0.94)
LEVEL, EITHER = "found the best level", "found or suggested the best level"


def _graded(name: str, title: str, world: Generator, targets: Iterable[Target]) -> Scenario:
    return Scenario(name, title, world, grade_factorial, tuple(targets))


def field_scenarios() -> list[Scenario]:
    """Return all of these scenarios, in order."""
    return [
        *_few_and_many_levels(),
        *_blocks(),
        *_spreads(),
        *_failures(),
        *_shapes(),
        *_power(),
        *_reports(),
        *_trends(),
        *_split_plots(),
    ]


def _few_and_many_levels() -> list[Scenario]:
    two = [
        _graded(f"F1 two levels r={r}", "two equal levels", World(TWO, r), (*NOT_FALSE, *COVERAGE))
        for r in (2, 3, 4, 5, 10, 20)
    ]
    many = [
        _graded(
            f"F2 {name} r={r}",
            f"{len(levels['learning_rate'])} equal levels",
            World(levels, r),
            wanted,
        )
        for name, levels in (("12 levels", TWELVE), ("40 levels", FORTY))
        for r in (2, 3, 5)
        if (wanted := (*NOT_FALSE, *COVERAGE) if r > 2 else NOT_FALSE[:1])  # two runs of many levels: only their effect
    ]
    return [*two, *many]


def _blocks() -> list[Scenario]:
    found = []
    for levels in (2, 3, 5):
        title = f"{levels} levels, 6 blocks with 3 rows of each, level × block sd 2 × row sd"
        rows = _graded(f"F3 rows {levels} levels", title, Grouped(levels=levels), (*NOT_FALSE, *COVERAGE))
        found.append(replace(rows, table=True))
    for r in (2, 3, 5):
        for blocks in ((), ("seed",)):
            world = World(FOUR_BY_THREE, r, seed_correlation=0.6, blocks=blocks)
            title = f"4 × 3 cells, seeds correlate .6, {'declared' if blocks else 'not declared'}"
            name = f"F3 4×3 r={r}{' blocks' if blocks else ''}"
            found.append(_graded(name, title, world, (*TYPE_ONE, *COVERAGE, *MEANS)))
    noisy = World(ONE_WAY, 5, run_sd=(0.3, 0.3, 0.9), seed_correlation=0.6, blocks=("seed",))
    title = "seeds correlate .6, declared, spread 1 to 3"
    return [*found, _graded("F3 spread r=5 blocks", title, noisy, (*NOT_FALSE, *COVERAGE))]


def _spreads() -> list[Scenario]:
    found = []
    for r in (3, 5):
        world = World(FOUR_BY_THREE, r, noisy_cell=5.0)
        found.append(_graded(f"F4 4×3 r={r}", "one cell spreads five times wider", world, TYPE_ONE))
    for levels, spreads in ((TWO, (0.3, 1.2)), (ONE_WAY, (0.3, 0.3, 1.5))):
        count = len(levels["learning_rate"])
        for r in (4, 10):
            world = World(levels, r, run_sd=spreads)
            name, title = f"F4 {count} levels r={r}", "one level spreads four or five times wider"
            found.append(_graded(name, title, world, (*NOT_FALSE, *COVERAGE)))
    for levels, r in ((FIVE, 3), (FIVE, 5), (TWELVE, 3), (TWELVE, 5)):
        count = len(levels["learning_rate"])
        world = World(levels, r, run_sd=(*(0.3,) * (count - 1), 1.5))
        found.append(_graded(f"F4 {count} levels r={r}", "one level spreads five times wider", world, NOT_FALSE))
    best = World(ONE_WAY, 5, {"learning_rate": (0.0, 0.0, -0.3)}, run_sd=(0.3, 0.3, 1.5))
    found.append(_graded("F4 noisy best level", "the best level spreads most", best, (IN_SET,)))
    inside = Target("best configuration in the set", "at least", 0.94)
    many = ManyConfigurations(noisy_best=5.0)
    title = "the best of 40 configurations spreads most"
    return [*found, _graded("F4 noisy best of 40", title, many, (inside,))]


def _failures() -> list[Scenario]:
    found = []
    for levels, r in ((2, 5), (2, 10), (2, 20), (3, 10)):
        title = "informative missingness: equal centres, the wide level's bad runs fail"
        wrong = Target("gain stated and wrong", "at most", 0.06)
        name = f"F5 {levels} levels r={r}"
        found.append(_graded(name, title, EqualCentres(r, levels=levels), (*NOT_FALSE, wrong)))
    world = World(ONE_WAY, 10, {"learning_rate": straight(3, 4.0)}, missing=0.1)
    title = "one run in ten fails whatever its result, one effect of 2 sd between neighbours"
    enough = Target("found learning_rate", "at least", 0.8)
    return [*found, _graded("F5 effect r=10", title, world, (enough,))]


def _shapes() -> list[Scenario]:
    near = Target("level means covered", "near", 0.95)
    found = [
        _graded(f"F6 {name} r={r}", title, RawLevels(draw, mean, replicates=r), NOT_FALSE)
        for name, draw, mean, title in (
            ("zeros", zero_inflated, 0.6, "four in ten are zero"),
            ("rates", rates_near_one, 0.95, "rates near 1"),
            ("exponential", exponential, 1.0, "exponential, without logarithms"),
        )
        for r in (5, 20)
    ]
    heavy = World(ONE_WAY, 5, noise=heavy_tailed)
    title = "t(3) and 2 % outliers, one factor"
    return [*found, _graded("F6 heavy r=5", title, heavy, (*NOT_FALSE, *COVERAGE, near))]


def _against(*rivals: str, effect: str = "", by: str = "F test", beside: tuple[str, ...] = ()) -> list[Target]:
    """Return targets for power, compared with textbook tests that are valid in the design.

    The tests must reach nine tenths of their power. Supported claims also need confirmation by other analyses, which
    costs power and is shown beside.
    """
    found = [Target(EITHER, "of", 0.9, f"{rival} finds the best level") for rival in rivals]
    found += [Target(LEVEL, "beside", 0.0, f"{rivals[0]} finds the best level")] if rivals else []
    if effect:
        found.append(Target(f"found or suggested {effect}", "of", 0.9, f"{by} finds {effect}"))
        found += [Target(f"found {effect}", "beside", 0.0, f"{other} finds {effect}") for other in (by, *beside)]
    return found


def _power() -> list[Scenario]:
    """Return scenarios for power."""
    found = []
    for r, size in ((3, 2.0), (5, 1.5), (10, 1.0)):
        world = World(ONE_WAY, r, {"learning_rate": (-size, 0.0, 0.0)})
        rivals = ("Welch-Holm", "permutation") if r > 3 else ("Welch-Holm",)
        wanted = _against(*rivals, effect="learning_rate", by="Welch ANOVA", beside=("F test",))
        found.append(_graded(f"F7 one-way r={r}", "one level better", world, wanted))
    for name, levels, r in (("4×3", FOUR_BY_THREE, 3), ("5×4×2", GRID, 3)):
        world = World(levels, r, {"lora_rank": (-1.0, *(0.0,) * (len(levels["lora_rank"]) - 1))})
        wanted = _against("Welch-Holm", effect="lora_rank")
        found.append(_graded(f"F7 {name} r={r}", "one level 1 sd better", world, wanted))
    return [*found, *_power_of_blocks()]


def _power_of_blocks() -> list[Scenario]:
    title = "4 × 3 cells, seeds correlate .6, one level 1 sd better"
    shared = World(FOUR_BY_THREE, 3, {"lora_rank": ONE_BETTER}, seed_correlation=0.6)
    declared = replace(shared, blocks=("seed",))
    wanted = [Target(LEVEL, "at least", 0.58), *_against("block Tukey", effect="lora_rank", by="block ANOVA")]
    found = [
        _graded("F7 4×3 r=3 blocks", f"{title}, declared", declared, wanted),
        _graded(
            "F7 4×3 r=3 seeds",
            f"{title}, not declared",
            shared,
            [Target(LEVEL, "beside", 0.0, "Tukey finds the best level")],
        ),
    ]
    for r, size in ((3, 2.0), (5, 1.0), (10, 0.7)):
        world = World(ONE_WAY, r, {"learning_rate": (-size, 0.0, 0.0)}, seed_correlation=0.6, blocks=("seed",))
        wanted = _against(effect="learning_rate", by="Greenhouse-Geisser", beside=("block ANOVA",))
        wanted.append(Target(LEVEL, "beside", 0.0, "block Tukey finds the best level"))
        title = "one level better, seeds correlate .6, declared"
        found.append(_graded(f"F7 one-way r={r} blocks", title, world, wanted))
    return found


def _reports() -> list[Scenario]:
    """Return scenarios for the report-wise error rate."""
    return [
        _graded(
            f"F8 {name} r={r}",
            "nothing matters: any finding in the report",
            World(levels, r),
            (Target("any false claim", "at most", bound),),
        )
        for name, levels, r, bound in (("5×4×2", GRID, 5, 0.1), ("4×3", FOUR_BY_THREE, 3, 0.1), ("3", ONE_WAY, 5, 0.06))
    ]


def _trends() -> list[Scenario]:
    """Return scenarios of numeric factors with declared trends: no trend, unequal variances, power."""
    rate, title = ("learning_rate",), "a numeric factor without a trend"
    null = [
        *((f"5 levels r={r}", title, World(FIVE, r, trends=rate)) for r in (2, 3, 5, 10)),
        ("10 levels r=3", title, World(TEN, 3, trends=rate)),
        ("4×3 r=3", f"{title}, two factors", World(FOUR_BY_THREE, 3, trends=("lora_rank", "learning_rate"))),
    ]
    for levels, name in ((FIVE, "5"), (TEN, "10")):
        count = len(levels["learning_rate"])
        for place, where in ((count - 1, "end"), (count // 2, "middle")):
            spreads = tuple(1.5 if k == place else 0.3 for k in range(count))
            wide = f"{title}, the level at the {where} spreads five times wider"
            null += [
                (f"{name} levels wide {where} r={r}", wide, World(levels, r, run_sd=spreads, trends=rate))
                for r in (3, 5)
            ]
    for r in (3, 6):
        shared = World(FIVE, r, seed_correlation=0.6, blocks=("seed",), trends=rate)
        null.append((f"5 levels r={r} blocks", f"{title}, seeds correlate .6, declared", shared))
        spread = replace(shared, run_sd=(0.3, 0.3, 0.3, 0.3, 0.9))
        null.append((f"5 levels wide r={r} blocks", f"{title}, declared seeds, spread 1 to 3", spread))
    found = [_graded(f"F9 {name}", text, world, TRENDS) for name, text, world in null]
    return [*found, *_power_of_trends()]


def _power_of_trends() -> list[Scenario]:
    """Return scenarios with a linear or a curved trend, compared with regression, which assumes equal variances."""
    found = []
    for shape, effects in (("linear", straight(5, 1.0)), ("curvature", [0.5, -0.1, -0.5, -0.1, 0.5])):
        for r, size in ((3, 3.0), (5, 2.2), (10, 1.5)):
            scaled = {"learning_rate": tuple(size * effect for effect in effects)}
            world = World(FIVE, r, scaled, trends=("learning_rate",))
            rival, seen = f"regression finds {shape} learning_rate", f"found or suggested {shape} learning_rate"
            power = [Target(seen, "of", 0.9, rival)] if r > 3 else [Target(seen, "beside", 0.0, rival)]
            power.append(Target(f"found {shape} learning_rate", "beside", 0.0, rival))
            covered = Target("trends covered", "at least", 0.94)
            found.append(_graded(f"F9 {shape} r={r}", f"a {shape} trend", world, [*power, covered]))
    return found


def _split_plots() -> list[Scenario]:
    """Return scenarios of a factor that is constant within blocks, beside one that varies within them."""
    targets = [target for target in TYPE_ONE if target.quantity != "false best configuration"]
    found = [
        _graded(
            f"F10 split plot {plots} blocks",
            f"{plots} blocks per level of a factor that is constant within blocks; block sd 1.5 × run sd",
            SplitPlots(plots),
            targets,
        )
        for plots in (3, 5, 10)
    ]
    seen = Target("found or suggested learning_rate", "at least", 0.8)
    world = SplitPlots(5, effects=(-1.5, 0.0, 0.0))
    title = "one level 1.5 sd better within blocks"
    effect = _graded("F10 split plot effect", title, world, [seen, *targets[:1]])
    return [replace(scenario, table=True) for scenario in (*found, effect)]
