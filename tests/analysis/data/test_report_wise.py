"""The error rate of a whole report, and the strict correction for all families."""

import numpy as np

from setpoint.analysis.data.claim import Status
from setpoint.analysis.data.report_wise import error_note, families
from setpoint.api.tables import TableAnalysis, analyze
from setpoint.seeding import generator
from setpoint.truth.consistency import contradictions


def table(effect: float, draw: int) -> TableAnalysis:
    rng = generator("report-wise", draw)
    rows = [
        {"a": a, "b": b, "y": float(np.exp(effect * (a == 0) + 0.3 * rng.standard_normal()))}
        for a in range(3)
        for b in range(2)
        for _ in range(4)
    ]
    return analyze(rows, response="y", factors=["a", "b"])


def test_the_families_of_a_factorial_are_effects_interactions_and_configurations() -> None:
    found = table(0.0, 1)
    assert families(list(found.claims)) == 3
    assert "3 families of tests" in error_note(list(found.claims), 0.05)
    assert any("at most 14 %" in note and "--strict" in note for note in found.notes)


def test_strict_makes_borderline_findings_suggestive_and_keeps_clear_ones() -> None:
    assert [c.status for c in table(3.0, 2).strict().claims] == [c.status for c in table(3.0, 2).claims]
    changed = 0
    for draw in range(60):
        plain = table(-0.35, draw)
        corrected = plain.strict()
        assert contradictions(list(corrected.claims), 0.05) == []
        assert not any("families" in note for note in corrected.notes)
        for before, after in zip(plain.claims, corrected.claims, strict=True):
            assert after.status in {before.status, Status.SUGGESTIVE}
            if after != before:
                changed += 1
                assert before.status is Status.SUPPORTED
                assert before.p_adjusted is not None and before.p_adjusted * 3 >= 0.05
                assert "after correction for the 3 families" in after.statement
    assert changed > 0
