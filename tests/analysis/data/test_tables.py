"""`setpoint analyze`: any tidy table, with the statistics of statsmodels as the judge where it has them."""

import json
import math
import random
import re
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from setpoint.analysis.data.design import _complete_levels
from setpoint.analysis.statistics.effects import holm
from setpoint.analysis.statistics.intervals import detectable_difference, share_interval
from setpoint.api.tables import analyze
from setpoint.cli.main import main
from setpoint.errors import InputError

HEADER = "rate,rank,seed,y\n"


def table(path: Path, rows: list[str], header: str = HEADER) -> Path:
    path.write_text(header + "".join(f"{row}\n" for row in rows))
    return path


def rows(effect: float = -1.0, seeds: int = 4, spread: float = 0.2) -> list[str]:
    rng = np.random.default_rng(7)
    return [
        f"{rate},{rank},{seed},{math.exp(spread * rng.standard_normal() + (effect if rate == '2e-4' else 0.0)):.6f}"
        for rate in ("1e-4", "2e-4", "5e-4")
        for rank in (4, 8)
        for seed in range(seeds)
    ]


def analyse(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, dict[str, object]]:
    assert main(["analyze", str(path), "--response", "y", "--factors", "rate,rank", "--json", *more]) == 0
    text = capsys.readouterr().out
    assert "NaN" not in text and "Infinity" not in text
    return {claim["id"]: claim for claim in json.loads(text)["claims"]}


def test_a_planted_effect_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path / "t.csv", rows())
    claims = analyse(path, capsys)
    assert claims["optimal_level:rate"]["status"] == "supported"
    assert claims["optimal_level:rate"]["details"]["observed_best"] == 2e-4  # type: ignore[index]
    assert claims["optimal_level:rank"]["status"] == "unresolved"
    assert main(["analyze", str(path), "--response", "y", "--factors", "rate,rank"]) == 0
    assert "- Best rate [supported]: 2e-4" in capsys.readouterr().out


def test_what_the_question_leaves_out_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path / "t.csv", rows())

    def notes(*more: str) -> list[str]:
        assert main(["analyze", str(path), "--response", "y", *more]) == 0
        return re.findall(r"^Note: (.*)$", capsys.readouterr().out, re.MULTILINE)

    pooled, asked, seed = notes("--factors", "rate")
    assert pooled.startswith("rows were pooled over rank, which varies at equal factors")
    assert asked.startswith("if rows with equal rank share a subject") and "--block" in asked and "--factors" in asked
    assert seed.startswith("column seed was not used") and "--block seed" in seed
    left = notes("--factors", "rate,rank", "--block", "seed")
    assert not [note for note in left if "pooled" in note or "column" in note]
    table(path, [*rows(), "1e-4,4,9,0.0"])
    assert any("scale linear" in note for note in notes("--factors", "rate,rank", "--block", "seed"))


def test_larger_is_better_turns_it_around(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims = analyse(table(tmp_path / "t.csv", rows(effect=1.0)), capsys, "--larger-is-better")
    assert claims["optimal_level:rate"]["details"]["observed_best"] == 2e-4  # type: ignore[index]


def test_a_search_is_exploratory_at_most(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path / "t.csv", rows())
    planned, searched = analyse(path, capsys), analyse(path, capsys, "--adaptive")
    assert {claim["status"] for claim in planned.values()} >= {"supported"}
    assert "supported" not in {claim["status"] for claim in searched.values()}
    assert str(searched["optimal_level:rate"]["statement"]).startswith("exploratory: ")


def test_a_block_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path / "t.csv", rows())
    assert analyse(path, capsys, "--block", "seed")["main_effect:rate"] != analyse(path, capsys)["main_effect:rate"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda lines: [line.rsplit(",", 1)[0] + ",1.5" for line in lines], "not_testable"),
        (lambda lines: [line.rsplit(",", 1)[0] + "," for line in lines], "not_testable"),
        (lambda lines: [line.rsplit(",", 1)[0] + ",nan" for line in lines], "not_testable"),
        (lambda lines: [lines[0].rsplit(",", 1)[0] + ",0", *lines[1:]], "refused"),
        (lambda lines: [lines[0].rsplit(",", 1)[0] + ",-1", *lines[1:]], "refused"),
        (lambda lines: [line for line in lines if line.split(",")[2] == "0"], "not_testable"),
        (lambda lines: lines[:1], "not_testable"),
    ],
    ids=["constant", "empty", "nan", "zero", "negative", "one seed", "one row"],
)
def test_bad_data_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: object, status: str) -> None:
    claims = analyse(table(tmp_path / "t.csv", change(rows())), capsys)  # type: ignore[operator]
    found = claims.get("most_impactful", next(iter(claims.values())))
    assert found["status"] == status


@pytest.mark.parametrize("missing", ["", "NA", "n/a", "null", "None", "nan", "inf"])
def test_missing_responses_are_failed_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str) -> None:
    lines = rows()
    path = table(tmp_path / "t.csv", [f"{lines[0].rsplit(',', 1)[0]},{missing}", *lines[1:]])
    claims = analyse(path, capsys)
    assert claims["main_effect:rate"]["n_runs"] == 23
    assert claims["failures:rate"]["details"]["failed_and_total"]["1e-4"] == [1, 8]  # type: ignore[index]


def test_a_factor_of_one_level_is_mentioned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path / "t.csv", [line for line in rows() if line.startswith("1e-4")])
    assert main(["analyze", str(path), "--response", "y", "--factors", "rate,rank"]) == 0
    assert "Note: rate has a single level" in capsys.readouterr().out


@pytest.mark.parametrize("evil", ["=HYPERLINK(1)", "<script>alert(1)</script>", "a\x1b[31mb", "a|b`c"])
def test_odd_names_stay_on_their_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], evil: str) -> None:
    path = table(tmp_path / "t.csv", [line.replace("1e-4", evil) for line in rows()])
    assert main(["analyze", str(path), "--response", "y", "--factors", "rate,rank"]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert all(line.startswith(("- ", "Note: ", "Response ")) for line in text.splitlines())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--response", "z", "--factors", "rate"], "unknown column"),
        (["--response", "y", "--factors", "rate,y"], "different columns"),
        (["--response", "rate", "--factors", "rank", "--alpha", "2"], "alpha must be at least 1e-09 and less than 1"),
    ],
)
def test_mistakes_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["analyze", str(table(tmp_path / "t.csv", rows())), *arguments]) == 3
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("name", "value"), [("nope.csv", "no such file or directory"), (".", "is a directory")])
def test_a_table_that_cannot_be_read_is_told_with_rule_value_and_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    assert main(["analyze", str(tmp_path / name), "--response", "y", "--factors", "a"]) == 3
    error = capsys.readouterr().err
    assert f"{tmp_path / name}: {value}. Give the path of a CSV file" in error and "Errno" not in error


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (HEADER.encode(), "no rows. Give a CSV file"),
        (f"{HEADER}1,2,3,4,5\n".encode(), "row 1 has 5 cells, but the header has 4"),
        (b"\xff\xfe\x00", "not a CSV file in UTF-8"),
    ],
)
def test_files_that_are_no_tables_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, words: str
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    assert main(["analyze", str(tmp_path / "t.csv"), "--response", "y", "--factors", "rate"]) == 3
    assert words in capsys.readouterr().err


def test_a_zero_under_a_logarithm_leaves_no_claim_about_configurations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """However far apart they are on the scale that was not declared."""
    clear = rows(effect=-3.0, spread=0.01)
    zero = [f"{clear[0].rsplit(',', 1)[0]},0", *clear[1:]]
    found = analyse(table(tmp_path / "t.csv", zero), capsys)
    assert {claim["status"] for claim in found.values()} == {"refused"}
    linear = analyse(table(tmp_path / "t.csv", zero), capsys, "--scale", "linear")
    assert "refused" not in {claim["status"] for claim in linear.values()}


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_and_spaces_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], delimiter: str
) -> None:
    plain = analyse(table(tmp_path / "t.csv", rows()), capsys)
    header = f" rate {delimiter}rank {delimiter} seed{delimiter} y\n"
    other = table(tmp_path / "u.csv", [line.replace(",", f" {delimiter} ") for line in rows()], header)
    assert analyse(other, capsys) == plain


@pytest.mark.parametrize(
    ("header", "line", "words"),
    [
        ("rate,rate,seed,y\n", "1e-4,4,9,0.1", "duplicate column rate"),
        (HEADER, "1e-4,4", "row 25 has 2 cells, but the header has 4"),
        (HEADER, " ,4,9,0.1", "column 'rate' is empty in row 25"),
    ],
)
def test_tables_that_say_too_little_or_too_much_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], header: str, line: str, words: str
) -> None:
    path = table(tmp_path / "t.csv", [*rows(), line], header)
    assert main(["analyze", str(path), "--response", "y", "--factors", "rate"]) == 3
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("unit", [1e-30, 1e-13, 1e6])
def test_the_unit_of_a_linear_response_does_not_matter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unit: float
) -> None:
    lines = [line.rsplit(",", 1) for line in rows()]
    plain, scaled = (
        analyse(table(tmp_path / "t.csv", [f"{a},{float(y) * u!r}" for a, y in lines]), capsys, "--scale", "linear")
        for u in (1.0, unit)
    )
    for name, claim in plain.items():
        assert scaled[name]["status"] == claim["status"]
        assert scaled[name]["p_adjusted"] == pytest.approx(claim["p_adjusted"])


@pytest.mark.parametrize("unit", [1e-310, 1e300])
def test_numbers_whose_squares_overflow_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unit: float
) -> None:
    lines = [line.rsplit(",", 1) for line in rows()]
    path = table(tmp_path / "t.csv", [f"{a},{float(y) * unit!r}" for a, y in lines])
    claim = analyse(path, capsys, "--scale", "linear")["most_impactful"]
    assert claim["status"] == "refused" and "change its unit" in str(claim["statement"])
    assert analyse(path, capsys)["most_impactful"]["status"] != "refused"


def test_text_in_the_response_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path / "t.csv", [*rows(), "1e-4,4,9,good"])
    assert main(["analyze", str(path), "--response", "y", "--factors", "rate"]) == 3
    assert "'good'" in capsys.readouterr().err


def test_levels_agree_with_statsmodels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of two levels the test is Welch's; of equal spreads the statistic is close to the F test."""
    weightstats = pytest.importorskip("statsmodels.stats.weightstats", reason="statsmodels is the oracle")
    lines = rows(effect=-0.3, seeds=6)
    kept = [line for line in lines if line.startswith(("1e-4,4", "2e-4,4"))]
    claims = analyse(table(tmp_path / "t.csv", kept), capsys)
    groups = [
        np.log([float(line.split(",")[3]) for line in kept if line.startswith(rate)]) for rate in ("1e-4", "2e-4")
    ]
    _, p, _ = weightstats.ttest_ind(*groups, usevar="unequal")
    assert claims["main_effect:rate"]["p_adjusted"] == pytest.approx(p)


def test_interactions_agree_with_statsmodels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    formula = pytest.importorskip("statsmodels.formula.api", reason="statsmodels is the oracle")
    anova = pytest.importorskip("statsmodels.stats.anova")
    lines = rows(effect=-0.15, seeds=8)
    claims = analyse(table(tmp_path / "t.csv", lines), capsys)
    columns = list(zip(*(line.split(",") for line in lines), strict=True))
    data = {"rate": columns[0], "rank": columns[1], "y": np.log(np.array(columns[3], dtype=float))}
    fitted = formula.ols("y ~ C(rate) * C(rank)", data).fit()
    p = anova.anova_lm(fitted, typ=2)["PR(>F)"]["C(rate):C(rank)"]
    assert claims["interaction:rate:rank"]["p_adjusted"] == pytest.approx(p, abs=0.05)


def test_one_seed_is_the_additive_model_of_statsmodels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without replicates the test is the F test against the interactions: equal, not close."""
    formula = pytest.importorskip("statsmodels.formula.api", reason="statsmodels is the oracle")
    anova = pytest.importorskip("statsmodels.stats.anova")
    rng = np.random.default_rng(11)
    table_rows = [(a, b, math.exp(0.4 * rng.standard_normal() + 0.3 * a)) for a in range(4) for b in range(5)]
    path = table(tmp_path / "t.csv", [f"{a},{b},0,{y!r}" for a, b, y in table_rows])
    claims = analyse(path, capsys)
    a, b, y = zip(*table_rows, strict=True)
    fitted = formula.ols("y ~ C(rate) + C(rank)", {"rate": a, "rank": b, "y": np.log(y)}).fit()
    expected = anova.anova_lm(fitted, typ=2)["PR(>F)"]
    for factor in ("rate", "rank"):
        found = claims[f"main_effect:{factor}"]["details"]["p_unadjusted"]  # type: ignore[index]
        assert found == pytest.approx(expected[f"C({factor})"])


def test_two_levels_in_blocks_are_the_repeated_measures_of_statsmodels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anova = pytest.importorskip("statsmodels.stats.anova", reason="statsmodels is the oracle")
    pandas = pytest.importorskip("pandas")
    kept = [line for line in rows(effect=-0.2, seeds=6) if line.startswith(("1e-4,4", "2e-4,4"))]
    claims = analyse(table(tmp_path / "t.csv", kept), capsys, "--block", "seed")
    rates, _, seeds, y = zip(*(line.split(",") for line in kept), strict=True)
    frame = pandas.DataFrame({"rate": rates, "seed": seeds, "y": np.log(np.array(y, dtype=float))})
    expected = anova.AnovaRM(frame, "y", "seed", within=["rate"]).fit().anova_table["Pr > F"].iloc[0]
    assert claims["main_effect:rate"]["p_adjusted"] == pytest.approx(expected)


def test_holm_exact_shares_and_power_agree_with_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is the oracle")
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    power = pytest.importorskip("statsmodels.stats.power")
    p_values = np.random.default_rng(5).random(9) ** 3
    assert holm(p_values.tolist()) == pytest.approx(multitest.multipletests(p_values, method="holm")[1])
    for hits, total in ((0, 5), (3, 20), (20, 20)):
        assert share_interval(hits, total, 0.05) == pytest.approx(
            proportion.proportion_confint(hits, total, 0.05, method="beta")
        )
    for runs in (3, 5, 17):
        smallest = detectable_difference(math.sqrt(2.0 / runs), 2.0 * (runs - 1), 2, 0.05)
        reached = power.TTestIndPower().power(smallest, runs, 0.05)
        assert reached == pytest.approx(0.8, abs=1e-3)  # ours leaves out the far tail


def test_a_run_that_is_there_twice_is_refused_or_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = [
        "analyze",
        str(table(tmp_path / "t.csv", [*rows(), rows()[3]])),
        "--response",
        "y",
        "--factors",
        "rate,rank",
    ]
    assert main(line) == 3
    assert f"rows 4 and {len(rows()) + 1} are equal in all columns, including seed" in capsys.readouterr().err
    unnamed = (tmp_path / "t.csv").read_text().replace("seed", "machine", 1)
    (tmp_path / "t.csv").write_text(unnamed)
    assert main(line) == 0
    assert "1 row equals an earlier row in all columns" in capsys.readouterr().out


def test_a_level_of_tests_that_cannot_be_computed_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(tmp_path / "t.csv", rows())
    assert main(["analyze", str(path), "--response", "y", "--factors", "rate,rank", "--alpha", "1e-300"]) == 3
    assert "alpha must be at least 1e-09 and less than 1" in capsys.readouterr().err


@pytest.mark.filterwarnings("error")
def test_means_that_overflow_say_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.rsplit(",", 1) for line in rows()]
    path = table(tmp_path / "t.csv", [f"{a},{float(y) * 1e308!r}" for a, y in lines if float(y) < 1.7])
    assert "by arithmetic means" not in json.dumps(analyse(path, capsys))


def claims_of(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "t.csv").write_text(text)
    found = analyze(tmp_path / "t.csv", response="y", factors="x")
    return [repr(claim) for claim in found.claims]


@pytest.mark.parametrize(
    ("cells", "same"), [(["8", "8.0", "auto"], ["8", "8", "auto"]), (["1e1", " 10", "x"], ["10"] * 2 + ["x"])]
)
def test_equal_numbers_are_one_level_beside_text(tmp_path: Path, cells: list[str], same: list[str]) -> None:
    values = [1.0, 1.2, 3.0, 1.1, 1.3, 3.3]
    texts = ["x,y\n" + "".join(f"{c},{v}\n" for c, v in zip(2 * each, values, strict=True)) for each in (cells, same)]
    assert claims_of(tmp_path, texts[0]) == claims_of(tmp_path, texts[1])


@pytest.mark.parametrize(
    ("cell", "column", "says"),
    [
        ("1_5", "y", "must hold numbers"),
        ("١٥", "y", "must hold numbers"),
        ("0x10", "y", "must hold numbers"),
        ('"0,5"', "y", "decimal point"),
        ('"0,0001"', "x", "decimal point"),
        ('"-1,5e-3"', "x", "decimal point"),
    ],
)
def test_cells_that_would_be_misread_are_refused(tmp_path: Path, cell: str, column: str, says: str) -> None:
    row = f"{cell},1" if column == "x" else f"1,{cell}"
    with pytest.raises(InputError, match=says):
        claims_of(tmp_path, f"x,y\n{row}\n2,2\n1,2\n2,3\n")


def test_an_underscore_makes_a_level_text(tmp_path: Path) -> None:
    assert claims_of(tmp_path, "x,y\n1_5,1\n15,2\n1_5,1.1\n15,2.2\n") != claims_of(
        tmp_path, "x,y\n15,1\n15,2\n15,1.1\n15,2.2\n"
    )


def test_levels_are_dropped_as_by_counting_every_cell() -> None:
    rng = random.Random(0)
    for _ in range(200):
        levels = {name: tuple(range(rng.randint(1, 4))) for name in "abc"}
        cells = list(product(*levels.values()))
        counts = Counter(rng.choice(cells) for _ in range(rng.randint(0, 60)))
        assert _complete_levels(counts, levels, 2) == by_enumeration(counts, levels, 2)


def by_enumeration(counts, levels, wanted):  # type: ignore[no-untyped-def]
    kept, dropped = dict(levels), []
    while True:
        deficient = [cell for cell in product(*kept.values()) if counts.get(cell, 0) < wanted]
        if not deficient or not all(kept.values()):
            return kept, dropped
        size = math.prod(map(len, kept.values()))
        shares = [
            (sum(cell[position] == level for cell in deficient) * len(values) / size, factor, level)
            for position, (factor, values) in enumerate(kept.items())
            for level in values
        ]
        _, factor, level = max(shares, key=lambda share: share[0])
        kept[factor] = tuple(value for value in kept[factor] if value != level)
        dropped.append((factor, level))
