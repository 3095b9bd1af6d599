"""A search as an experiment: trials appended to its plan, stopped and resumed, reused, and told to other searches."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from setpoint.errors import InputError
from setpoint.experiments.planning.build import Inputs, build_plan
from setpoint.experiments.planning.confirmation import confirmation
from setpoint.records.journal import Event, Extended, StageFinished
from support.searches import DATA, plan_of, search, spec_of
from support.sweeps import BASE, executions


def points(root: Path, name: str = "search") -> list[dict[str, Any]]:
    return list(plan_of(root, name).spec["points"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    assert set(search(root).counts) == {"ok"}
    return root


def test_a_search_spends_its_budget_with_all_seeds(whole: Path) -> None:
    plan = plan_of(whole)
    assert len(points(whole)) == 9 and len(plan.runs) == 18
    assert plan.analysis.adaptive and plan.analysis.factors == ("lora_rank", "learning_rate")
    assert len(executions(whole)) == len(set(executions(whole))) == len(plan.stages)
    assert [run.configuration for run in plan.runs] == [k // 2 for k in range(18)]


def test_the_plan_is_the_first_file_with_sealed_trials_after_it(whole: Path) -> None:
    files = sorted((whole / "experiments" / "search" / "trials").iterdir())
    assert len(files) == 4
    first = json.loads((whole / "experiments" / "search" / "plan.json").read_text())
    assert len(first["runs"]) == 4


def test_a_search_that_was_stopped_at_any_stage_continues_with_the_same_trials(whole: Path, tmp_path: Path) -> None:
    stops = iter((1, 7, 12))

    class StopAfter:
        def __init__(self, stages: int) -> None:
            self.left = stages

        def __call__(self, event: Event) -> None:
            if isinstance(event, StageFinished):
                self.left -= 1
                if self.left == 0:
                    raise KeyboardInterrupt

    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path, listener=StopAfter(stop))
    search(tmp_path)
    assert points(tmp_path) == points(whole)
    assert [run.name for run in plan_of(tmp_path).runs] == [run.name for run in plan_of(whole).runs]


def test_a_search_killed_between_two_batches_continues_with_the_same_trials(whole: Path, tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Extended) and event.runs >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, listener=stop)
    assert 0 < len(points(tmp_path)) < 9
    search(tmp_path)
    assert points(tmp_path) == points(whole)
    search(tmp_path)  # complete: nothing is added
    assert points(tmp_path) == points(whole)


@pytest.mark.slow
def test_a_search_killed_at_random_moments_continues_with_the_same_trials(whole: Path, tmp_path: Path) -> None:
    chance, kills = random.Random(7), 0
    tests = Path(__file__).parents[2]
    while kills < 60:
        process = subprocess.Popen(
            [sys.executable, "-m", "support.searches", str(tmp_path)], cwd=tests, start_new_session=True
        )
        try:
            process.wait(timeout=chance.uniform(2.0, 9.0))
            break
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            time.sleep(0.2)
    assert kills > 0 and process.returncode == 0
    assert points(tmp_path) == points(whole)
    finished = [path.parent.name for path in (tmp_path / "stages").glob("*/*/manifest.json")]
    assert set(finished) == set(plan_of(tmp_path).stages)


def test_finished_configurations_of_the_workspace_are_told_and_cost_nothing(whole: Path, tmp_path: Path) -> None:
    search(tmp_path)
    before = len(executions(tmp_path))
    search(tmp_path, "again", search={"sampler": "random", "trials": 3, "batch": 3})
    again = plan_of(tmp_path, "again")
    assert again.search is not None and (again.search.reused, again.search.done) == (9, 3)
    assert points(tmp_path, "again")[:9] == points(tmp_path)
    assert len(executions(tmp_path)) == before + 3 * 2 * 2


def test_edited_and_lost_trials_are_noticed(tmp_path: Path) -> None:
    search(tmp_path, search={"sampler": "random", "trials": 6, "batch": 2})
    folder = tmp_path / "experiments" / "search" / "trials"
    first, second = sorted(folder.iterdir())
    kept = first.read_text()
    first.write_text(kept.replace('"lora_rank": ', '"lora_rank": 1'))
    with pytest.raises(InputError, match="changed after it was frozen"):
        plan_of(tmp_path)
    first.unlink()
    with pytest.raises(InputError, match="does not follow the file before it"):
        plan_of(tmp_path)
    first.write_text(kept)
    assert len(points(tmp_path)) == 6
    second.unlink()  # the last batch was never written: it is proposed again
    assert len(points(tmp_path)) == 4


def test_the_confirmation_of_a_search_runs_chosen_points_with_new_seeds(whole: Path) -> None:
    best = points(whole)[3]
    spec = confirmation(plan_of(whole), [{**best, "system": "double_integrator"}], 4)
    plan = build_plan(spec, "confirmed", Inputs(BASE, DATA))
    assert [run.seed for run in plan.runs] == [2, 3, 4, 5]
    assert all({**best}.items() <= run.factors.items() for run in plan.runs)
    assert plan.confirms == "search" and not plan.analysis.adaptive and plan.search is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"systems": ["di", "pendulum"]}, "a search takes one system"),
        ({"training_types": ["sft", "both"]}, "a search takes one training type"),
        ({"design": "sobol", "configurations": 4}, "chooses its own points"),
        ({"parameters": {}, "ranges": {}}, "a search needs a space"),
        ({"search": {"sampler": "tpe"}}, "trials"),
        ({"search": {"sampler": "cma", "trials": 3}}, "sampler"),
    ],
)
def test_what_cannot_be_searched_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        spec_of(**fields)
