"""Episode and trajectory files keep what was written, and refuse what they do not understand."""

import math
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from setpoint.episodes import (
    EpisodeResult,
    EpisodeTrajectory,
    read_episodes,
    read_trajectories,
    write_episodes,
    write_trajectories,
)
from setpoint.errors import InputError
from setpoint.trajectory import Termination

EPISODE = EpisodeResult(
    case_id=3,
    system="double_integrator",
    controller="llm",
    mode="open_loop",
    replan_interval=0,
    initial_state=(0.5, -0.25),
    final_state=(0.0, 1e-9),
    termination=Termination.PARSE_FAILURE,
    parsed=False,
    final_error=0.1,
    normalised_error=0.125,
    control_cost=12.0,
    optimal_cost=10.0,
    blocked_optimal_cost=10.5,
    regret=0.2,
    violation_max=0.0,
    violation_count=0,
    success=False,
    success_loose=False,
    tokens=80,
    plans=1,
    plans_parsed=0,
)


def test_episodes_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "episodes.parquet"
    episodes = [EPISODE, replace(EPISODE, case_id=4, final_error=math.inf, termination=Termination.DIVERGED)]
    write_episodes(path, episodes)
    assert read_episodes(path) == episodes


def test_no_episodes(tmp_path: Path) -> None:
    write_episodes(tmp_path / "e.parquet", [])
    assert read_episodes(tmp_path / "e.parquet") == []


def test_trajectories_come_back_as_they_were(tmp_path: Path) -> None:
    trajectory = EpisodeTrajectory(0, "pendulum", "optimum", "replan_5", 0.1, ((0.0, 1.0), (0.1, 0.9)), ((-1.0,),))
    write_trajectories(tmp_path / "t.parquet", [trajectory])
    assert read_trajectories(tmp_path / "t.parquet") == [trajectory]


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    write_episodes(path, [EPISODE])
    table = pq.read_table(path)
    version = table.schema.get_field_index("schema_version")
    pq.write_table(table.set_column(version, "schema_version", pa.array([9], pa.int8())), path)
    with pytest.raises(InputError, match=r"schema version 1, got \[9\]"):
        read_episodes(path)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    write_episodes(path, [EPISODE])
    pq.write_table(pq.read_table(path).drop_columns(["regret", "tokens"]), path)
    with pytest.raises(InputError, match="lacks regret, tokens"):
        read_episodes(path)


def test_a_file_that_is_not_parquet(tmp_path: Path) -> None:
    (tmp_path / "e.parquet").write_text("text")
    with pytest.raises(InputError, match="must be a Parquet file"):
        read_episodes(tmp_path / "e.parquet")
    with pytest.raises(InputError, match="must be a Parquet file"):
        read_episodes(tmp_path / "missing.parquet")
