"""Planted errors in drafts are found, and true sentences are left alone."""

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from setpoint.analysis.data.claim import Claim, ClaimKind, Status
from setpoint.analysis.data.evidence import LevelEvidence
from setpoint.analysis.data.subject import OneCell, OneFactor
from setpoint.cli.main import main
from setpoint.drafts.checking import STAGE_OF, Facts, Finding, check_draft, read_facts
from setpoint.drafts.numbers import Role, numbers_in
from setpoint.drafts.sentences import Vocabulary, sentences
from setpoint.formatting import factor_label, level_text
from support.synthetic_experiment import Synthetic

LEVELS = {"lora_rank": (4, 8, 16), "learning_rate": (1e-4, 5e-4)}
STAGES = {"sft": "SFT", "grpo": "GRPO", "dagger": "DAgger"}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Experiments with a strong effect of the rank, without any effect, and on two systems with a harmful GRPO."""
    harmful: dict[str, Any] = {"factors": {"learning_rate": (1e-4, 5e-4)}, "sft_excess": lambda run: -0.4}
    settings: dict[str, dict[str, Any]] = {
        "strong": {"factors": LEVELS, "log_error": lambda run: math.log(0.3 / run["lora_rank"]), "noise": 0.08},
        "flat": {"factors": LEVELS, "sft_excess": lambda run: 0.0, "noise": 0.4},
        "harmful": {**harmful, "systems": ("double_integrator", "van_der_pol"), "replicates": 4, "noise": 0.1},
    }
    roots = {name: tmp_path_factory.mktemp(name) for name in settings}
    for name, root in roots.items():
        Synthetic(root, name, **settings[name]).write()
    return roots


@pytest.fixture(scope="module")
def facts(roots: dict[str, Path]) -> dict[str, Facts]:
    return {name: read_facts(root / "experiments" / name) for name, root in roots.items()}


def percent(share: float) -> str:
    return f"{100 * abs(share):.3g} %"


def other(value: float, draw: random.Random) -> float:
    """Another number of the same size."""
    return value * draw.choice([0.35, 0.55, 1.45, 2.2])


def about_stages(claim: Claim, draw: random.Random) -> Iterator[tuple[str, bool]]:
    """Sentences about what a training stage changed, and whether each is true."""
    assert claim.estimate is not None and claim.p_adjusted is not None
    stage, better = STAGES[STAGE_OF[claim.kind]], claim.estimate > 0
    where = f" on {claim.system}" if claim.system else ""
    cell = f" with {_cell_text(claim.subject.cell)}" if isinstance(claim.subject, OneCell) else ""
    right, wrong = ("improved", "worsened") if better else ("worsened", "improved")
    size, p = percent(claim.estimate), f"{claim.p_adjusted:.2g}"
    size_wrong = percent(other(claim.estimate, draw))
    verb, verb_wrong = ("reduces", "raises") if better else ("raises", "reduces")
    if claim.status is Status.SUPPORTED:
        yield f"{stage} {right} the final error by {size}{where}{cell} (p = {p}).", True
        yield f"{stage} {verb} the final error by {size}{where}{cell}.", True
        yield f"{stage} {wrong} the final error by {size}{where}{cell}.", False
        yield f"{stage} {verb_wrong} the error{where}{cell}, by {size} on average.", False
        yield f"{stage} {right} the final error by {size_wrong}{where}{cell}.", False
        yield f"The gain of {stage}{where}{cell} is not significant.", False
        return
    if abs(claim.estimate) > 5e-3:
        yield f"{stage} changed the final error by {size}{where}{cell}, which is not significant (p = {p}).", True
        yield f"{stage} changed the final error by {size_wrong}{where}{cell}, which is not significant.", False
    yield f"The effect of {stage}{where}{cell} is inconclusive.", True
    yield f"{stage} significantly {right} the final error{where}{cell}.", False
    yield f"{stage} has no effect on the final error{where}{cell}.", False


def _cell_text(cell: str) -> str:
    pairs = (part.partition("=") for part in cell.split(", "))
    return " and ".join(f"{factor_label(name)} {level}" for name, _, level in pairs)


def about_factors(claim: Claim, draw: random.Random) -> Iterator[tuple[str, bool]]:
    """Sentences about a swept parameter, and whether each is true."""
    assert isinstance(claim.subject, OneFactor)
    name = factor_label(claim.subject.factor)
    supported = claim.status is Status.SUPPORTED
    if isinstance(claim.evidence, LevelEvidence):
        best = level_text(claim.evidence.observed_best)
        levels = [level_text(level) for level in LEVELS[claim.subject.factor]]
        wrong = draw.choice([level for level in levels if level != best])
        yield f"The best {name} is {best}.", supported
        yield f"The optimal {name} is {wrong}.", False
        if not supported:
            yield (
                f"Which {name} is best remains open; {name} {best} was observed best, but it is not significant.",
                True,
            )
    elif claim.p_adjusted is not None:
        p, size = f"{claim.p_adjusted:.2g}", math.exp(abs(claim.estimate or 0.0))
        if supported:
            yield f"The effect of the {name} is significant (p = {p}).", True
            yield f"The worst {name} has {size:.2f} times the error of the optimum level.", False
            yield f"The {name} does not matter.", False
        else:
            yield f"No significant effect of the {name} was found (p = {p}).", True
            yield f"The {name} significantly affects the final error (p = {p}).", False
            yield f"The {name} has no influence on the final error.", False
        shown = "significant" if supported else "not significant"
        yield f"An effect of the {name} is {shown} (p = {other(claim.p_adjusted, draw):.2g}).", False


def about_rows(facts: Facts, draw: random.Random) -> Iterator[tuple[str, bool]]:
    """Sentences with the results of a configuration, and whether each is true."""
    means = [row for row in facts.rows if "seeds" in row]
    for row in draw.sample(means, min(4, len(means))):
        named = " and ".join(f"{factor_label(f)} {level_text(row[f])}" for f in facts.vocabulary.factors)
        where = f"On {row['system']}, the runs with {named}"
        error, success = row["final_error"], row["success_rate"]
        yield f"{where} reach a final error of {error:.4g}.", True
        yield f"{where} reach a final error of {other(error, draw):.4g}.", False
        yield f"{where} succeed in {100 * success:.3g} % of the cases.", True
    yield f"The runs with LoRA rank 32 reach a final error of {0.0123}.", False


def generated(facts: dict[str, Facts]) -> list[tuple[str, str, bool]]:
    """Experiment, sentence, and whether it is true."""
    draw = random.Random(0)
    found = []
    for name, each in facts.items():
        for claim in each.claims:
            if claim.kind in STAGE_OF and claim.estimate is not None and claim.p_adjusted is not None:
                found += [(name, *pair) for pair in about_stages(claim, draw)]
            elif claim.kind in {ClaimKind.MAIN_EFFECT, ClaimKind.OPTIMAL_LEVEL} and claim.estimate is not None:
                found += [(name, *pair) for pair in about_factors(claim, draw)]
        found += [(name, *pair) for pair in about_rows(each, draw)]
    return found


def test_planted_errors_are_found_and_true_sentences_are_not(facts: dict[str, Facts]) -> None:
    found = generated(facts)
    missed, false_alarms = [], []
    for name, text, true in found:
        checked = check_draft(text, facts[name])
        alarm = any(each.finding is not Finding.SUPPORTED for each in checked)
        if alarm == true:
            (false_alarms if true else missed).append((name, text, [each.reason for each in checked]))
    planted = sum(not true for *_, true in found)
    assert len(found) >= 200
    assert planted >= 80
    assert len(found) - planted >= 70
    assert len(missed) <= 0.05 * planted, missed
    assert len(false_alarms) <= 0.05 * (len(found) - planted), false_alarms


def test_a_draft_is_read_sentence_by_sentence() -> None:
    draft = (
        "# Results\n\nWe ran 3 seeds. GRPO, i.e. the second stage,\nimproved the error by 4.5 %.\n\n"
        "```text\nGRPO improved it by 99 %.\n```\n- Table 2 shows the p-values.\n- See https://example.org/a.b.\n"
    )
    found = list(sentences(draft, Vocabulary(("double_integrator",), {"lora_rank": ("4",)})))
    assert [(each.line, each.checkable) for each in found] == [
        (1, False), (3, True), (3, True), (9, False), (10, False),
    ]  # fmt: skip
    assert [number.value for each in found for number in each.numbers] == [3.0, pytest.approx(0.045)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fell by 16 % (95 % CI -4.4 to 12 %)", [(0.16, Role.PERCENT), (-4.4, Role.PLAIN), (0.12, Role.PERCENT)]),
        ("p = 0.012, p<0.001 and p-value of 3e-4", [(0.012, "p-value"), (0.001, "p-value"), (3e-4, "p-value")]),
        ("×1.2, 2.5 times, 3 seeds and 1,200 cases", [(1.2, "ratio"), (2.5, "ratio"), (3, "count"), (1200, "count")]),
        ("setpoint 0.1.0, run s0, arXiv 2601.04334v2, Figure 3", [(2601.04334, Role.PLAIN)][:0]),
        ("1. First, 5 µm", [(5.0, Role.PLAIN)]),
    ],
)
def test_numbers_have_roles(text: str, expected: list[tuple[float, str]]) -> None:
    assert [(pytest.approx(number.value), number.role) for number in numbers_in(text)] == expected


def test_the_command(roots: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draft = tmp_path / "draft.md"
    draft.write_text("# Results\n\nThe best LoRA rank is 4. We report the claims.\n", encoding="utf-8")
    words = ["check", str(draft), "--experiment", "strong", "--workspace", str(roots["strong"])]
    assert main(words) == 4
    assert f"{draft}:3: not supported: The best LoRA rank is 4." in capsys.readouterr().out
    draft.write_text("The best LoRA rank is 16.\n", encoding="utf-8")
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["claims"] == ["optimal_level:lora_rank"]
    draft.write_bytes(b"\xff\xfe")
    assert main(words) == 3
    assert (
        main(["check", str(tmp_path / "none.md"), "--experiment", "strong", "--workspace", str(roots["strong"])]) == 3
    )
    assert main(["check", str(draft), "--experiment", "strng", "--workspace", str(roots["strong"])]) == 3
