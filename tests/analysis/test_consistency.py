"""No two statements of one report contradict each other, on random tables of all kinds."""

import json

import numpy as np
import pytest

from setpoint.analysis.data.claim import from_json, to_json
from setpoint.api.results import answer
from setpoint.api.tables import analyze
from setpoint.seeding import generator
from setpoint.truth.consistency import contradictions

FACTORS = ("rank", "rate", "batch")


def random_table(rng: np.random.Generator) -> tuple[dict[str, list[object]], dict[str, object]]:
    """Columns and the question: designs, effects, spreads, blocks, missing runs, failures and scales at random."""
    count = int(rng.integers(1, 4))
    shape = [int(rng.integers(2, 6 if count < 3 else 4)) for _ in range(count)]
    replicates = int(rng.integers(1, 7))
    cells = [tuple(int(k) for k in cell) for cell in np.ndindex(*shape)]
    effects = [rng.normal(0, rng.choice([0.0, 0.5, 2.0]), n) for n in shape]
    spread = rng.choice([0.0, 1.0]) * rng.normal(0, 0.7, len(cells))
    blocks = rng.normal(0, rng.choice([0.0, 1.0, 3.0]), replicates)
    interaction = rng.normal(0, rng.choice([0.0, 0.0, 1.5]), len(cells))
    missing, failing = rng.choice([0.0, 0.0, 0.1]), rng.choice([0.0, 0.0, 0.1, 0.3])
    columns: dict[str, list[object]] = {name: [] for name in (*FACTORS[:count], "seed", "y")}
    for k, cell in enumerate(cells):
        for replicate in range(replicates):
            if rng.random() < missing:
                continue
            noise = np.exp(spread[k]) * rng.choice([rng.standard_normal(), rng.standard_t(2)])
            value = sum(float(e[c]) for e, c in zip(effects, cell, strict=True)) + float(interaction[k])
            value = float(np.exp(0.3 * (value + noise + blocks[replicate]) - 3.0))
            for name, level in zip(FACTORS, cell, strict=False):
                columns[name].append(level)
            columns["seed"].append(replicate)
            columns["y"].append(None if rng.random() < failing else value)
    question = {
        "factors": list(FACTORS[:count]),
        "block": "seed" if rng.random() < 0.4 else None,
        "larger_is_better": bool(rng.random() < 0.3),
        "scale": str(rng.choice(["log", "linear"])),
        "alpha": float(rng.choice([0.05, 0.05, 0.01, 0.1])),
    }
    if rng.random() < 0.4:
        question["trend"] = [name for name in FACTORS[:count] if len(set(columns[name])) >= 3] or None
    margin = float(rng.choice([0.02, 0.1, 0.5]))
    question["equivalence"] = f"{100 * margin:g}%" if question["scale"] == "log" else 0.1 * margin
    return columns, question


def found_in(seed: int) -> list[str]:
    columns, question = random_table(generator("consistency", seed))
    if not columns["y"]:
        return []
    analysis = analyze(columns, response="y", **question)  # type: ignore[arg-type]
    found = []
    for each in (analysis, analysis.strict()):
        claims = list(each.claims)
        written = [from_json(json.loads(json.dumps(to_json(claim)))) for claim in claims]
        found += contradictions(written, each.question.alpha)
        found += [f"{a.id}: changed by its file" for a, b in zip(claims, written, strict=True) if a != b]
        found += [
            f"{claim.id}: not in the text" for claim in claims if f"{claim.heading}: {answer(claim)}" not in repr(each)
        ]
    return found


def test_statements_agree_on_random_tables() -> None:
    assert [(seed, text) for seed in (*range(100), 2862) for text in found_in(seed)] == []


@pytest.mark.slow
def test_statements_agree_on_thousands_of_random_tables() -> None:
    assert [(seed, text) for seed in range(100, 5100) for text in found_in(seed)] == []
