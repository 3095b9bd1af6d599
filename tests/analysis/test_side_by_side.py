"""Experiments side by side: what differs, when their runs are tested, and why not otherwise."""

from dataclasses import replace

import pytest

from setpoint.analysis.data.claim import ClaimKind, Status, find
from setpoint.analysis.data.experiment import ExperimentData
from setpoint.analysis.data.reading import read_experiment
from setpoint.analysis.data.subject import OneFactor
from setpoint.analysis.side_by_side import SideBySide, side_by_side
from setpoint.api.side_by_side import compare
from setpoint.artifacts import Workspace
from setpoint.cli.main import main
from setpoint.errors import InputError
from setpoint.records.state import RunStatus
from setpoint.seeding import generator
from setpoint.truth.folders import write_folder
from setpoint.truth.worlds import World


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("compare"))
    for name, effect in (("one", 0.0), ("same", 0.0), ("worse", 6.0)):
        world = World({"lora_rank": (4,)}, 6, {"lora_rank": (effect,)}, run_sd=0.2)
        write_folder(world.sample(generator("compare", name)), workspace, name)
    write_folder(World({"lora_rank": (4, 8)}, 3).sample(generator("compare", "sweep")), workspace, "sweep")
    return workspace


def data_of(workspace: Workspace, name: str) -> ExperimentData:
    return read_experiment(workspace.experiment(name))


def compared(workspace: Workspace, *names: str, margin: float | None = None) -> SideBySide:
    return side_by_side([data_of(workspace, name) for name in names], margin)


def test_comparable_runs_are_tested(workspace: Workspace) -> None:
    (system,) = compared(workspace, "one", "worse").systems
    claim = find(system.claims, ClaimKind.OPTIMAL_LEVEL, subject=OneFactor("experiment"))
    assert not system.obstacle and claim is not None
    assert claim.status is Status.SUPPORTED and claim.statement.startswith("one (")
    assert "6 seeds per configuration" in claim.statement


def test_three_experiments_and_a_margin(workspace: Workspace) -> None:
    (system,) = compared(workspace, "one", "same", "worse", margin=0.5).systems
    claim = find(system.claims, ClaimKind.EQUIVALENCE, subject=OneFactor("experiment"))
    assert claim is not None and claim.status is Status.UNRESOLVED
    assert [len(line.values) for line in system.results] == [3, 3, 3, 3]


def test_the_best_of_several_is_shown_and_not_tested(workspace: Workspace) -> None:
    (system,) = compared(workspace, "one", "sweep").systems
    assert not system.claims and "setpoint experiment confirm sweep" in system.obstacle
    assert system.results[0].values == ("1", "best of 2")


def test_reasons_why_runs_are_not_comparable(workspace: Workspace) -> None:
    one, same = data_of(workspace, "one"), data_of(workspace, "same")
    planned = replace(same, runs=(*same.runs[:-1], replace(same.runs[-1], state=RunStatus.PLANNED, outcomes={})))
    few = replace(same, runs=same.runs[:1])
    other_cases = replace(
        same,
        plan=same.plan.model_copy(
            update={"shared": one.plan.shared.model_copy(update={"reference": {"double_integrator": "another"}})}
        ),
    )
    reasons = {
        "is not finished": planned,
        "fewer than 2 runs": few,
        "same test cases": other_cases,
        "they share 6 runs": replace(one, plan=one.plan.model_copy(update={"experiment": "copy"})),
    }
    for reason, other in reasons.items():
        (system,) = side_by_side([one, other]).systems
        assert reason in system.obstacle and not system.claims


def test_parameters_and_inputs_that_differ_are_listed(workspace: Workspace) -> None:
    one, same = data_of(workspace, "one"), data_of(workspace, "same")
    runs = tuple(replace(run, resolved={"lora": {"rank": 8}, "sft": {"steps": 5}}) for run in same.runs)
    mine = tuple(replace(run, resolved={"lora": {"rank": 4}, "sft": {"steps": 5}}) for run in one.runs)
    base = same.plan.base.model_copy(update={"digest": "other"})
    other = replace(same, runs=runs, plan=same.plan.model_copy(update={"base": base}))
    found = side_by_side([replace(one, runs=mine), other])
    assert [(line.name, line.values) for line in found.parameters["double_integrator"]] == [("lora.rank", ("4", "8"))]
    assert found.systems[0].differences == ("base model", "lora.rank")


def test_the_command_and_the_function_agree(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "one", "worse", "--workspace", str(workspace.root)]) == 0
    assert capsys.readouterr().out.strip() == repr(compare("one", "worse", workspace=workspace.root))
    assert "<table>" in compare("one", "worse", workspace=workspace.root)._repr_html_()
    assert main(["compare", "one", "worse", "--json", "--workspace", str(workspace.root)]) == 0
    assert '"obstacle": ""' in capsys.readouterr().out


@pytest.mark.parametrize("names", [("one",), ("one", "one"), ("one", "missing")])
def test_what_cannot_be_compared_is_refused(workspace: Workspace, names: tuple[str, ...]) -> None:
    with pytest.raises(InputError):
        compare(*names, workspace=workspace.root)
