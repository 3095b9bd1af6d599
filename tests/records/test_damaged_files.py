"""A damaged file costs only what it describes: it is named or left out, and everything else goes on."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from setpoint.analysis.data.reading import read_experiment
from setpoint.artifacts import Measured, Workspace, read_json, read_lock
from setpoint.artifacts.manifest import read_config
from setpoint.cli.main import main
from setpoint.errors import InputError
from setpoint.experiments.running.links import link_models
from setpoint.experiments.running.status import read_stages, run_states
from setpoint.records.estimate import EstimateRecord, StageEstimate, TotalEstimate, read_estimate, write_estimate
from setpoint.records.failure import FailureClass, read_failure
from setpoint.records.journal import Finished, Journal, StageFailed, read_events
from setpoint.records.plan import Plan, read_plan
from setpoint.records.state import ExperimentState, ExperimentStatus, RunState, RunStatus, read_state, write_state
from support.damage import TEXTS, damage_file
from support.plans import change_plan
from support.synthetic_experiment import Synthetic


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a finished experiment of which every kind of file is there."""
    root = tmp_path_factory.mktemp("finished")
    folder = Synthetic(
        root, factors={"lora_rank": (4, 8)}, replicates=2, cases=4, failed={"lora_rank=8": "diverged"}
    ).write()
    plan = planned(folder)
    states = {run.name: RunState(RunStatus.OK) for run in plan.runs}
    write_state(folder, ExperimentState(plan.experiment, ExperimentStatus.FINISHED, states))
    total = TotalEstimate(9.0, (8.0, 10.0), 9.0, workers=1, memory_gb_per_worker=1.0, gpu_hours=0.0, gpu_memory_gb=0.0)
    stages = {name: StageEstimate(1.0, (0.5, 2.0), 1.0, 1.0, 0.0) for name in plan.stages}
    write_estimate(folder, EstimateRecord(total, 0.9, {"sft: equal stages": 9}, (), stages))
    journal = Journal(folder, "0001-a")
    journal.record(StageFailed(next(iter(plan.stages)), FailureClass.CRASH, "it crashed", retry=False))
    journal.record(Finished())
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "work")


def experiment(root: Path) -> Path:
    return root / "experiments" / "sweep"


def planned(folder: Path) -> Plan:
    plan = read_plan(folder)
    assert plan is not None
    return plan


def one(root: Path, pattern: str) -> Path:
    return sorted(root.glob(pattern))[0]


READERS: dict[str, Callable[[Path], object]] = {
    "plan.json": lambda path: read_plan(path.parent),
    "state.json": lambda path: read_state(path.parent),
    "estimate.json": lambda path: read_estimate(path.parent),
    "manifest.json": lambda path: Workspace(path.parents[3]).stage("sft", path.parent.name).damaged_files(),
    "failure.json": read_failure,
    "claim.json": read_lock,
}


@pytest.mark.parametrize("name", READERS)
def test_no_content_of_a_file_is_a_crash_of_its_reader(root: Path, name: str) -> None:
    path, rng = one(root, f"**/{name}"), random.Random(name)
    whole = path.read_bytes()
    for text in TEXTS:
        path.write_bytes(text)
        try:
            READERS[name](path)
        except InputError as error:
            assert str(path) in str(error)
    for _ in range(60):
        path.write_bytes(whole)
        damage_file(path, rng)
        try:
            READERS[name](path)
        except InputError as error:
            assert str(path) in str(error)
            assert len(str(error)) < 1000 and "\n" not in str(error)


def test_no_damage_of_a_file_is_a_crash_of_a_command(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(3)
    for name in (*READERS, "resources.json"):
        for path in rng.sample(sorted(root.glob(f"**/{name}")), 1) * 2:
            whole = path.read_bytes()
            damage_file(path, rng)
            for words in ("experiment list", "experiment status sweep --check", "models list", "report sweep"):
                options = ["--no-figures"] if words.startswith("report") else []
                assert main([*words.split(), *options, "--workspace", str(root)]) in {0, 3}
            path.write_bytes(whole)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["../../../../../outside/file.txt", "/etc/passwd", "..", "a/b", ".hidden", "", "x" * 300, "a\nb", "\x1b[31m"],
)
def test_no_name_in_a_plan_leads_out_of_its_place(root: Path, name: str) -> None:
    folder = experiment(root)
    whole = (folder / "plan.json").read_bytes()
    stage = next(iter(planned(folder).stages))

    def rename_stage(content: dict) -> None:  # type: ignore[type-arg]
        content["stages"][name] = content["stages"].pop(stage)

    changes: list[Callable[[dict], object]] = [  # type: ignore[type-arg]
        lambda content: content["runs"][0].update(name=name),
        lambda content: content["runs"][0].update(systems=[name]),
        lambda content: content["runs"][0]["stages"].update(sft=name),
        lambda content: content["runs"][0].update(start=name or "none"),
        lambda content: content.update(experiment=name),
        lambda content: content.update(systems=[name]),
        lambda content: content.update(adapters=[f"sft/{name}"]),
        lambda content: content["shared"]["reference"].update(double_integrator=name),
        lambda content: content["stages"][stage].update(kind=name),
        rename_stage,
    ]
    for change in changes:
        (folder / "plan.json").write_bytes(whole)
        change_plan(folder, change)
        with pytest.raises(InputError, match=r"plan\.json"):
            read_plan(folder)


def test_a_plan_without_its_digest_is_refused(root: Path) -> None:
    path = experiment(root) / "plan.json"
    content = json.loads(path.read_text())
    del content["digest"]
    content["analysis"]["alpha"] = 0.5
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="changed after it was frozen"):
        read_plan(path.parent)


def test_the_plan_of_another_experiment_is_refused(root: Path) -> None:
    copy = experiment(root).with_name("copy")
    shutil.copytree(experiment(root), copy)
    with pytest.raises(InputError, match="'sweep'"):
        read_plan(copy)


def test_links_of_models_stay_among_the_models(root: Path) -> None:
    plan = planned(experiment(root))
    made = link_models(Workspace(root), plan)
    assert made and all(path.is_relative_to(root / "models") for path in made)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("files", {"x": "x"}),
        ("files", {"../x": {"sha256": "0", "bytes": 1}}),
        ("attempt", "1"),
        ("finished_at", "soon"),
    ],
)
def test_a_stage_with_a_damaged_manifest_is_not_finished(root: Path, field: str, value: object) -> None:
    path = one(root, "stages/sft/*/manifest.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    stage = Workspace(root).stage("sft", path.parent.name)
    assert (stage.finished(), stage.read_manifest(), stage.damaged_files()) == (False, None, [])
    plan = planned(experiment(root))
    states = run_states(plan, read_stages(Workspace(root), plan))
    waiting = [run.name for run in plan.runs if path.parent.name in run.stages.values()]
    assert {states[name].state for name in waiting} <= {RunStatus.WAITING, RunStatus.CANCELLED}
    assert {state.state for name, state in states.items() if name not in waiting} == {RunStatus.OK, RunStatus.FAILED}


def test_a_cost_that_is_no_number_is_not_measured_and_hurts_nothing_else(root: Path) -> None:
    for number, path in enumerate(sorted(root.glob("stages/sft/*/manifest.json"))):
        content = json.loads(path.read_text())
        content["measured"]["cpu_s"] = ["..", None, -1, 10**400][number % 4]
        path.write_text(json.dumps(content))
        stage = Workspace(root).stage("sft", path.parent.name).read_manifest()
        assert stage is not None and (stage.measured.cpu_s, stage.measured.wall_s) == (None, 12.5)
    data = read_experiment(experiment(root))
    assert data.cost.wall_s and data.cost.cpu_core_hours


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"message": None}, "message must be text"),
        ({"evidence": 1}, "evidence must be an object"),
        ({"failure_class": "of tomorrow"}, "failure_class"),
    ],
)
def test_a_damaged_failure_says_so_and_is_one_of_the_disk(root: Path, change: dict[str, object], says: str) -> None:
    path = one(root, "stages/sft/*/attempts/*/failure.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    failure = read_failure(path)
    assert failure is not None
    assert (failure.failure_class, str(path) in failure.message) == (FailureClass.CORRUPT_ARTIFACT, True)
    assert says in failure.message
    data = read_experiment(experiment(root))
    assert {run.failure.failure_class for run in data.runs if run.failure} == {
        FailureClass.CORRUPT_ARTIFACT,
        FailureClass.DIVERGED,
    }


def test_a_snapshot_that_cannot_be_read_is_told_from_the_stages(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in TEXTS:
        (experiment(root) / "state.json").write_bytes(text)
        assert main(["experiment", "list", "--workspace", str(root)]) == 0
        assert "2/4 ok" in capsys.readouterr().out


def test_lines_of_a_journal_that_are_no_events_are_passed_over(root: Path) -> None:
    before = list(read_events(experiment(root)))
    lines = [*TEXTS, b'{"event": "stage_failed"}', b'{"at": "2026-01-01", "event": "finished"}', b'{"event": 1}']
    lines.append(b'{"at": "2026-01-01T00:00:00+00:00", "event": "stage_reused", "stage": "../../x"}')
    with (experiment(root) / "journal" / "0001-a.jsonl").open("ab") as stream:
        stream.write(b"\n".join(lines) + b"\n")
    (experiment(root) / "journal" / "0002-b.jsonl").mkdir()
    assert list(read_events(experiment(root))) == before


def test_files_that_cannot_be_read_are_absent(tmp_path: Path) -> None:
    for text in TEXTS:
        path = tmp_path / "file.json"
        path.write_bytes(text)
        assert (read_lock(path), read_config(path)) == (None, None)
    assert read_json(tmp_path) is None
    assert Measured.from_json({"cpu_s": True, "wall_s": float("nan")}) == Measured()
