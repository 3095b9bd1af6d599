"""Data sets and reference evaluations of every shipped system, from the generator to the rows."""

from pathlib import Path

import numpy as np
import pytest

from setpoint import plants, problems
from setpoint.artifacts import Workspace
from setpoint.demonstrations import Recipe, create, load_rows
from setpoint.evaluation import EvaluationConfig
from setpoint.evaluation.references import evaluate_references
from setpoint.language import PromptFormat, compose_answer, parse_answer
from setpoint.problems import COARSE_TO_FINE, require_disjoint, suite_states


@pytest.mark.parametrize("name", plants.shipped_names())
def test_demonstrations_are_made_certified_and_apart_from_the_tests(name: str, tmp_path: Path) -> None:
    problem = problems.get(name)
    info = create(Workspace(tmp_path), None, Recipe((name,), 6))
    assert info.certificate["optimum"] == {name: problem.optimum_label}
    assert max(info.certificate[f"worst_{part}"] for part in ("stationarity", "violation")) <= 1e-8
    assert (info.certificate["worst_duality_gap"] is not None) == problem.plant.linear
    rows = load_rows(info, "train", name)
    require_disjoint(problem, rows.states, suite_states(problem, "nominal", 200))
    for state, moves, feedback in zip(rows.states, rows.moves, rows.feedback, strict=True):
        text = compose_answer(problem, state, moves, feedback, PromptFormat())
        assert parse_answer(text, 10, problem.plant.n_u) == pytest.approx(moves, abs=0.0051)


@pytest.mark.parametrize("name", plants.shipped_names())
def test_references_are_evaluated(name: str) -> None:
    problem = problems.get(name)
    config = EvaluationConfig.named("standard", name, 2)
    optima, found = evaluate_references(problem, config.states(), config.modes, COARSE_TO_FINE)
    assert len(optima) + optima.rejected == 2
    assert {row.controller for row in found.episodes} == {"optimum", "lqr", "zero"}
    regret = np.array([row.regret for row in found.episodes if row.controller == "optimum"])
    assert np.abs(regret).max() < 1e-6
