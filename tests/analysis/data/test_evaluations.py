"""ArmScores of an arm: each name is one statistic, the same as elsewhere."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from setpoint.analysis.data.evaluations import ArmScores
from setpoint.analysis.data.quantities import MEANS, QUANTITIES, summarise
from setpoint.episodes import EpisodeResult, read_episode_columns, write_episodes
from setpoint.evaluation.summary import summarise as summarise_rows
from setpoint.trajectory import Termination

EPISODE = EpisodeResult(
    case_id=0,
    system="pendulum",
    controller="llm",
    mode="open_loop",
    replan_interval=0,
    initial_state=(1.0, 0.0),
    final_state=(0.1, 0.0),
    termination=Termination.COMPLETED,
    parsed=True,
    final_error=0.1,
    normalised_error=0.1,
    control_cost=2.0,
    optimal_cost=1.0,
    blocked_optimal_cost=1.0,
    regret=1.0,
    violation_max=0.0,
    violation_count=0,
    success=False,
    success_loose=True,
    tokens=80,
    plans=1,
    plans_parsed=1,
)
ERRORS = (0.1, 0.2, 0.9)


@pytest.fixture
def episodes() -> list[EpisodeResult]:
    return [
        replace(EPISODE, case_id=k, final_error=error, normalised_error=2.0 * error, regret=3.0 * error)
        for k, error in enumerate(ERRORS)
    ]


def test_a_median_is_called_a_median(episodes: list[EpisodeResult]) -> None:
    scores = ArmScores.of(episodes)
    assert scores.normalised_error_median == pytest.approx(0.4)
    assert scores.final_error == pytest.approx(np.mean(ERRORS))


def test_what_is_called_the_same_is_the_same_everywhere(episodes: list[EpisodeResult], tmp_path: Path) -> None:
    path = tmp_path / "episodes.parquet"
    write_episodes(path, episodes)
    of_runs = summarise(read_episode_columns(path))
    of_evaluations = summarise_rows(episodes)["pendulum"]["open_loop"]["llm"]
    scores = vars(ArmScores.of(episodes))
    assert of_runs is not None and {"normalised_error", *MEANS} <= set(of_runs)
    for name, value in {**of_evaluations, **scores}.items():
        if name in of_runs:
            assert value == pytest.approx(of_runs[name]), name
    assert "normalised_error" in QUANTITIES and "normalised_error" not in scores
