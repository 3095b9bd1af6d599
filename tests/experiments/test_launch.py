"""Which experiment a request means, and when an experiment may not go on."""

from dataclasses import replace
from pathlib import Path

import pytest

from setpoint.analysis.data.reading import read_experiment
from setpoint.artifacts import Workspace, create_json
from setpoint.errors import InputError
from setpoint.experiments import launch
from setpoint.experiments.planning.spec import make_spec
from setpoint.experiments.request import Lineage, make_request, resume_request
from setpoint.experiments.running.lease import lease, lease_holder
from setpoint.records.journal import Event, Finished, Journal, Started, read_events
from setpoint.records.plan import Plan, plan_path, read_plan
from support.sweeps import BASE, make_plan, save_plan


@pytest.fixture(autouse=True)
def a_base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = replace(BASE, location=str(tmp_path))  # a folder, so that no hub is asked for it
    monkeypatch.setattr("setpoint.experiments.request.resolve_base", lambda _name: here)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


SPEC = make_spec({"systems": "di", "parameters": {"lora_rank": ["4", "8"]}})


def test_without_an_id_the_specification_names_the_experiment(workspace: Workspace) -> None:
    one = make_request(workspace, SPEC)
    assert one.experiment_id.startswith("hyperparameter_sweep-")
    same = make_spec({"systems": "double_integrator", "dataset_name": "di", "parameters": {"lora.rank": [4, 8]}})
    assert make_request(workspace, same).experiment_id == one.experiment_id
    other = make_spec({"systems": "di", "parameters": {"lora_rank": [4, 16]}})
    assert make_request(workspace, other).experiment_id != one.experiment_id


def test_an_id_belongs_to_one_specification(workspace: Workspace) -> None:
    plan = make_plan(systems="di", parameters={"lora_rank": [4, 8]})
    save_plan(workspace.root, plan)
    assert make_request(workspace, SPEC, experiment_id="sweep").existing == plan
    other = make_spec({"systems": "di", "parameters": {"lora_rank": [4]}, "seed": 3})
    with pytest.raises(InputError, match=r": seed was 0, now 3; lora_rank was 4,8, now 4\. Choose another --exp"):
        make_request(workspace, other, experiment_id="sweep")
    assert make_request(workspace, other, experiment_id="sweep", fresh=True).experiment_id == "sweep-2"


def test_values_that_exclude_each_other_are_refused_before_anything_is_made(workspace: Workspace) -> None:
    spec = make_spec({"systems": "di", "parameters": {"batch_size": [8, 12]}})
    with pytest.raises(InputError, match="batch_size is 12"):
        make_request(workspace, spec)
    assert list(workspace.root.iterdir()) == []


def changed_code(plan: Plan) -> Plan:
    """The plan as older code would have made it: other stage ids, other digests of the code."""
    text = plan.model_dump_json(by_alias=True)
    for name in plan.stages:
        text = text.replace(name, f"{name[:-4]}ffff")
    older = Plan.model_validate_json(text)
    code = older.provenance["code"]
    sft = {**code["sft"], "layers": {**code["sft"]["layers"], "training": "older"}, "packages": {"torch": "1.0"}}
    return older.model_copy(update={"provenance": {**older.provenance, "code": {**code, "sft": sft}}})


def test_an_experiment_does_not_go_on_with_other_code(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(systems="di", parameters={"lora_rank": [4, 8]})
    monkeypatch.setattr(launch, "ensure_datasets", lambda *_: plan.datasets)
    save_plan(workspace.root, plan)
    assert launch.prepare(resume_request(workspace, "sweep"), print).plan == plan
    save_plan(workspace.root, changed_code(plan))
    with pytest.raises(InputError, match=r"the code of sft stages \(training; torch 1.0, now .*\) changed since"):
        launch.prepare(resume_request(workspace, "sweep"), print)


def test_accepted_changes_make_an_experiment_that_follows(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(systems="di", parameters={"lora_rank": [4, 8]})
    monkeypatch.setattr(launch, "ensure_datasets", lambda *_: plan.datasets)
    save_plan(workspace.root, plan)
    same = launch.start_or_resume(resume_request(workspace, "sweep"), print, accept_changes=True)
    assert (same.request.experiment_id, same.plan) == ("sweep", plan)
    save_plan(workspace.root, changed_code(plan))
    for _ in range(2):  # the second time it is that experiment, not yet another
        prepared = launch.start_or_resume(resume_request(workspace, "sweep"), print, accept_changes=True)
        following = prepared.plan
        assert prepared.request.experiment_id == following.experiment == "sweep-2"
        assert following.stages.keys() == plan.stages.keys()
        assert following.provenance["follows"]["experiment"] == "sweep"
        assert "the code of sft stages (training;" in following.provenance["follows"]["changes"][0]
        save_plan(workspace.root, following)
    save_plan(workspace.root, changed_code(following))
    prepared = launch.start_or_resume(resume_request(workspace, "sweep-2"), print, accept_changes=True)
    assert prepared.request.experiment_id == "sweep-3"


def test_another_specification_is_accepted_as_a_new_identity(workspace: Workspace) -> None:
    save_plan(workspace.root, make_plan(systems="di", parameters={"lora_rank": [4, 8]}))
    other = make_spec({"systems": "di", "parameters": {"lora_rank": [4, 8]}, "seed": 3})
    wanted = make_request(workspace, other, experiment_id="sweep", accept_changes=True)
    assert (wanted.experiment_id, wanted.existing) == ("sweep-2", None)
    assert wanted.follows == Lineage("sweep", "sweep", ("seed was 0, now 3",))
    assert make_request(workspace, SPEC, experiment_id="sweep", accept_changes=True).experiment_id == "sweep"


def test_limits_of_retries_are_no_part_of_the_identity(workspace: Workspace) -> None:
    save_plan(workspace.root, make_plan(systems="di", parameters={"lora_rank": [4, 8]}))
    patient = make_spec({"systems": "di", "parameters": {"lora_rank": [4, 8]}, "retries": {"lost": 7}})
    assert make_request(workspace, patient, experiment_id="sweep").existing is not None
    assert make_request(workspace, patient).experiment_id == make_request(workspace, SPEC).experiment_id
    with pytest.raises(InputError, match="unknown retryable failure class 'diverged'"):
        make_spec({"systems": "di", "retries": {"diverged": 1}})


def test_a_plan_that_was_edited_by_hand_is_refused(workspace: Workspace) -> None:
    save_plan(workspace.root, make_plan(systems="di", parameters={"lora_rank": [4, 8]}))
    path = plan_path(workspace.experiment("sweep"))
    path.write_text(path.read_text().replace('"rank": 4', '"rank": 5', 1))
    with pytest.raises(InputError, match="changed after it was frozen"):
        resume_request(workspace, "sweep")
    with pytest.raises(InputError, match="changed after it was frozen"):
        read_experiment(path.parent)


def test_a_damaged_plan_is_refused(workspace: Workspace) -> None:
    create_json(plan_path(workspace.experiment("sweep")), {"schema": 1})
    with pytest.raises(InputError, match="damaged"):
        read_plan(workspace.experiment("sweep"))


def test_files_that_are_no_locks_and_lines_that_are_no_events_are_passed_over(workspace: Workspace) -> None:
    folder = workspace.experiment("sweep")
    (folder / "leases").mkdir(parents=True)
    for name in ("zz.json", "0001 (copy).json"):
        (folder / "leases" / name).write_text("{}")
    with lease(folder) as token:
        assert token.startswith("0001-")
    Journal(folder, "0001-a").record(Started(stages=1, runs=1))
    with (folder / "journal" / "0001-a.jsonl").open("a") as stream:
        stream.write('[1, 2]\n{"event": "stage_fai')
    assert [event.event for event in read_events(folder)] == ["started"]


def test_a_lease_names_its_holder_and_tokens_sort_by_tenure(workspace: Workspace) -> None:
    folder = workspace.experiment("sweep")
    tokens = []
    for _ in range(3):
        assert lease_holder(folder) is None
        with lease(folder) as token:
            tokens.append(token)
            assert lease_holder(folder) is not None
            with pytest.raises(InputError, match="process"), lease(folder):
                pass
    assert tokens == sorted(tokens)


def test_a_journal_line_that_was_cut_off_is_skipped(workspace: Workspace) -> None:
    folder = workspace.experiment("sweep")
    heard: list[Event] = []
    journal = Journal(folder, "0001-a", (heard.append,))
    journal.record(Started(stages=1, runs=1))
    with (folder / "journal" / "0001-a.jsonl").open("a") as stream:
        stream.write('{"event": "stage_sta')
    Journal(folder, "0002-b").record(Finished())
    assert [event.event for event in read_events(folder)] == ["started", "finished"]
    assert [event.event for event in heard] == ["started"]
