"""What a plan refers to is never removed, whatever the workspace looks like; links are not followed."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from setpoint.artifacts import Lock, Workspace
from setpoint.artifacts.leftovers import temporary_path
from setpoint.cli.main import main
from setpoint.errors import InputError
from setpoint.housekeeping.cleaning import clean, removable
from setpoint.housekeeping.deletion import archive, delete, deletion, restore
from setpoint.housekeeping.references import planned_experiments
from setpoint.housekeeping.usage import disk_usage
from setpoint.records.plan import Plan, write_plan
from support.finished_stage import add_stage
from support.sweeps import make_plan

PLANS = [
    make_plan(systems="di", parameters={"lora_rank": ranks}, training_types=types, replicates=replicates)
    for ranks, types, replicates in (([4, 8], "both", 1), ([8, 16], "both", 2), ([4], "sft", 1), ([32, 64], "grpo", 1))
]
"""Plans that share some of their stages."""


def add_experiment(workspace: Workspace, name: str, plan: Plan, **provenance: object) -> None:
    recorded = {**plan.provenance, **provenance}
    write_plan(workspace.experiment(name), plan.model_copy(update={"experiment": name, "provenance": recorded}))


def add_stages(workspace: Workspace, plan: Plan) -> None:
    for name, stage in plan.stages.items():
        if not workspace.stage(stage.kind, name).path.exists():
            add_stage(workspace, stage.kind, name)


def results(workspace: Workspace) -> dict[str, bytes]:
    """Every published file and plan."""
    found = [*workspace.root.glob("stages/*/*/adapter/*"), *workspace.root.glob("stages/*/*/manifest.json")]
    found += [*workspace.root.glob("*/*/plan.json")]
    return {str(path.relative_to(workspace.root)): path.read_bytes() for path in found}


@pytest.mark.parametrize("seed", range(24))
def test_clean_never_removes_what_a_plan_refers_to(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    workspace, outside = Workspace(tmp_path / "work"), tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    kept = [plan for plan in PLANS if draw.random() < 0.5]
    for number, plan in enumerate(kept):
        add_experiment(workspace, f"e{number}", plan)
        if draw.random() < 0.3:
            archive(workspace, f"e{number}")
    referenced = {(stage.kind, name) for plan in kept for name, stage in plan.stages.items()}
    for plan in PLANS:
        add_stages(workspace, plan)
    expected = {path: data for path, data in results(workspace).items() if _referenced(path, referenced)}
    _disturb(draw, workspace, outside)
    listed = removable(workspace)
    before = results(workspace)
    assert clean(workspace) == listed
    after = results(workspace)
    assert {path: after.get(path) for path in expected} == expected
    gone = before.keys() - after.keys()
    assert all(not _referenced(path, referenced) for path in gone)
    assert [path for path in gone if "running" in path] == []
    unreferenced = {tuple(path.split("/")[1:3]) for path in after if path.startswith("stages/")} - referenced
    assert all(name.startswith(("running", "linked")) for _, name in unreferenced)
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert removable(workspace) == []


def _referenced(path: str, stages: set[tuple[str, str]]) -> bool:
    parts = path.split("/")
    return parts[0] in {"experiments", "archive"} or (parts[1], parts[2]) in stages


def _disturb(draw: random.Random, workspace: Workspace, outside: Path) -> None:
    """Add what killed commands, other processes and people leave in a workspace."""
    for path in list(workspace.stages.glob("*/*")):
        if draw.random() < 0.2:
            (path / "checkpoints" / "0001").mkdir(parents=True)
        if draw.random() < 0.2:
            (path / "attempts" / "0001" / "output").mkdir()
        if draw.random() < 0.1:
            (path / "attempts" / "0001" / "link").symlink_to(outside)
        if draw.random() < 0.1:
            (path / "checkpoints").exists() or (path / "checkpoints").symlink_to(outside)
    running = add_stage(workspace, "sft", "running")
    running.manifest.unlink()
    (running.path / "attempts" / "0001" / "claim.json").unlink()
    assert Lock.of_this_process().create(running.path / "attempts" / "0001" / "claim.json")
    (workspace.stages / "sft" / "linked").symlink_to(outside)
    (workspace.stages / "notes").mkdir()
    models = workspace.models / "single_system" / "double_integrator" / "sft"
    models.mkdir(parents=True)
    for number, stage in enumerate(workspace.stages.glob("sft/*")):
        (models / f"run{number}").symlink_to(os.path.relpath(stage / "adapter", models))
    temporary = temporary_path(workspace.stages / "sft" / "abc")
    temporary.mkdir()
    os.utime(temporary, (0, 0))


def test_a_damaged_plan_stops_everything(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    add_experiment(workspace, "good", PLANS[0])
    for plan in PLANS:
        add_stages(workspace, plan)
    broken = workspace.experiment("broken") / "plan.json"
    broken.parent.mkdir()
    before = results(workspace)
    for content in ("", "{}", json.dumps({"schema": 1, "stages": {}})):
        broken.write_text(content)
        for action in (clean, removable, disk_usage):
            with pytest.raises(InputError, match="broken"):
                action(workspace)
        with pytest.raises(InputError, match="broken"):
            deletion(workspace, "good")
    broken.unlink()
    broken.symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="leads nowhere"):
        clean(workspace)
    assert {path: data for path, data in results(workspace).items() if "broken" not in path} == before


def test_an_experiment_takes_only_its_own_stages_along(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for number, plan in enumerate(PLANS[:2]):
        add_experiment(workspace, f"e{number}", plan)
        add_stages(workspace, plan)
    planned = deletion(workspace, "e0")
    own = PLANS[0].stages.keys() - PLANS[1].stages.keys()
    assert 0 < len(own) < len(PLANS[0].stages)
    assert {stage.path.name for stage in planned.stages} == own
    used = {row.experiment: row.own for row in disk_usage(workspace).experiments}
    assert planned.bytes == used["e0"]
    before = results(workspace)
    delete(workspace, planned)
    assert {path for path in before.keys() - results(workspace).keys() if path.startswith("experiments")} == {
        "experiments/e0/plan.json"
    }
    assert {path.name for path in workspace.stages.glob("*/*")} == PLANS[1].stages.keys()
    assert removable(workspace) == []
    with pytest.raises(InputError, match="no experiment 'e0'"):
        deletion(workspace, "e0")


def test_a_deletion_that_was_killed_is_finished_by_the_same_command(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    add_experiment(workspace, "e0", PLANS[0])
    add_stages(workspace, PLANS[0])
    first = deletion(workspace, "e0").stages[0]
    shutil.rmtree(first.path)
    delete(workspace, deletion(workspace, "e0"))
    assert not list(workspace.stages.glob("*/*"))
    assert not list(workspace.experiments.iterdir())


def test_what_others_build_on_and_what_runs_stays(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    add_experiment(workspace, "first", PLANS[0])
    add_experiment(workspace, "second", PLANS[1], follows={"origin": "first", "experiment": "first", "changes": []})
    with pytest.raises(InputError, match="second confirms or follows 'first'"):
        deletion(workspace, "first")
    delete(workspace, deletion(workspace, "second"))
    leases = workspace.experiment("first") / "leases"
    leases.mkdir()
    assert Lock.of_this_process().create(leases / "0001.json")
    for action in (deletion, archive):
        with pytest.raises(InputError, match="being run by process"):
            action(workspace, "first")
    (leases / "0001.json").unlink()
    name, stage = next(iter(PLANS[0].stages.items()))
    attempt = workspace.stage(stage.kind, name).path / "attempts" / "0001"
    attempt.mkdir(parents=True)
    assert Lock.of_this_process().create(attempt / "claim.json")
    with pytest.raises(InputError, match="is being computed"):
        deletion(workspace, "first")
    assert deletion(workspace, "first", keep_stages=True).stages == ()


def test_links_are_refused_and_never_followed(tmp_path: Path) -> None:
    workspace, outside = Workspace(tmp_path / "work"), tmp_path / "outside"
    add_experiment(workspace, "e0", PLANS[0])
    add_stages(workspace, PLANS[0])
    shutil.move(workspace.experiment("e0"), outside)
    workspace.experiment("e0").symlink_to(outside)
    assert [planned.folder.name for planned in planned_experiments(workspace)] == ["e0"]
    assert clean(workspace) == []
    for action in (deletion, archive):
        with pytest.raises(InputError, match="is a link"):
            action(workspace, "e0")
    assert (outside / "plan.json").exists()
    shutil.move(workspace.stages, tmp_path / "stages")
    workspace.stages.symlink_to(tmp_path / "stages")
    workspace.experiment("e0").unlink()
    assert clean(workspace) == []
    assert len(list((tmp_path / "stages").glob("*/*"))) == len(PLANS[0].stages)


def test_the_archive_hides_an_experiment_and_gives_it_back(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    add_experiment(workspace, "e0", PLANS[0])
    add_stages(workspace, PLANS[0])
    before = results(workspace)
    archive(workspace, "e0")
    assert not workspace.experiment("e0").exists()
    assert removable(workspace) == []
    add_experiment(workspace, "e0", PLANS[1])
    with pytest.raises(InputError, match="exists already"):
        archive(workspace, "e0")
    delete(workspace, deletion(workspace, "e0"))
    restore(workspace, "e0")
    assert results(workspace) == before


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace(tmp_path)
    add_experiment(workspace, "e0", PLANS[0])
    add_stages(workspace, PLANS[0])
    add_stages(workspace, PLANS[3])
    place = ["--workspace", str(tmp_path)]
    assert main(["clean", *place]) == 0
    assert "Delete it with --delete" in capsys.readouterr().out
    assert main(["clean", *place, "--json", "--delete"]) == 0
    cleaned = json.loads(capsys.readouterr().out)
    assert {item["reason"] for item in cleaned["items"]} == {"unreferenced"}
    assert {path.name for path in workspace.stages.glob("*/*")} == PLANS[0].stages.keys()
    assert main(["clean", *place]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"
    assert main(["du", *place]) == 0
    assert "e0" in capsys.readouterr().out
    assert main(["experiment", "delete", "e0", *place]) == 3
    assert "--yes" in capsys.readouterr().err
    assert main(["experiment", "archive", "e0", *place]) == 0
    assert main(["experiment", "archive", "e0", "--restore", *place, "--json"]) == 0
    assert main(["experiment", "delete", "e0", "--dry-run", *place]) == 0
    assert workspace.experiment("e0").exists()
    assert main(["experiment", "delete", "e0", "--yes", *place]) == 0
    assert not list(workspace.stages.glob("*/*"))
