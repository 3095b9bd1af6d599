"""An experiment from Python: planned, trained for real on the built-in base, resumed, read and reported."""

import subprocess
import sys
from pathlib import Path

import pytest

import setpoint as sp
from setpoint.cli.main import main
from setpoint.reports import read_claims

SWEEP = (
    'sp.Sweep(systems=["di"], training_types="sft", parameters={"lora_rank": [2, 4]}, fixed={"sft.steps": 2}, '
    "evaluation_cases=3)"
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a finished sweep, made by a script without `if __name__ == "__main__"`, as users write them."""
    root = tmp_path_factory.mktemp("api")
    script = root / "sweep.py"
    script.write_text(
        "import setpoint as sp\n"
        f"experiment = {SWEEP}.plan('work', experiment_id='tiny')\n"
        "assert not experiment.folder.exists()  # planning writes nothing\n"
        "experiment.run(workers=2)\n"
        "print(len(experiment.claims()), len(experiment.results))\n"
    )
    done = subprocess.run([sys.executable, str(script)], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("run lora_rank") == 2  # progress, a line for each event
    assert done.stdout.splitlines()[-1].split()[1] == "2"
    return root / "work"


@pytest.fixture
def experiment(workspace: Path) -> sp.Experiment:
    return sp.load_experiment(workspace, "tiny")


def test_the_same_sweep_is_the_same_experiment(workspace: Path) -> None:
    again = eval(SWEEP, {"sp": sp}).plan(workspace, experiment_id="tiny")
    lines: list[str] = []
    again.run(notify=lines.append)
    assert not [line for line in lines if "started" in line], "everything was finished already"
    assert again.status().counts == {"ok": 2}


def test_another_specification_under_the_same_name_is_refused(workspace: Path) -> None:
    with pytest.raises(sp.InputError, match="exists with another specification: seed was 0, now 1"):
        eval(SWEEP.replace("evaluation_cases=3", "evaluation_cases=3, seed=1"), {"sp": sp}).plan(
            workspace, experiment_id="tiny"
        )


def test_results_and_episodes_are_frames(experiment: sp.Experiment) -> None:
    results = experiment.results.to_pandas()
    assert list(results["lora_rank"]) == [2, 4] and set(results["state"]) == {"ok"}
    episodes = experiment.episodes().to_pandas()
    assert len(episodes) == 2 * 3 * 2  # runs, cases, modes
    assert "final_error" in experiment.results._repr_html_()
    assert repr(experiment.results).splitlines()[0].startswith("run")


def test_claims_name_what_one_seed_cannot_show(experiment: sp.Experiment) -> None:
    claims = experiment.claims()
    assert {claim.status.value for claim in claims} == {"not_testable"}
    assert len(claims.to_pandas()) == len(claims)
    report = experiment.report(figures=False)
    assert [claim.id for claim in read_claims(report)] == [claim.id for claim in claims]


def test_the_best_run_is_a_policy(experiment: sp.Experiment) -> None:
    best = experiment.best()
    assert best.parameters["lora_rank"] in {2, 4}
    policy = best.policy()
    assert policy.plan(0.0, [0.1, 0.2]).controls.shape == (50, 1)
    same = sp.load_policy(best.adapter)
    assert (same.plan(0.0, [[0.1, 0.2]]).controls[0] == policy.plan(0.0, [0.1, 0.2]).controls).all()
    with pytest.raises(sp.InputError, match="has no system 'pendulum'"):
        experiment.best("pendulum")


def test_a_report_a_figure_and_a_notebook_page(experiment: sp.Experiment) -> None:
    assert experiment.report(figures=False).read_text().startswith("<!doctype html>")
    assert experiment.plot().spec["layer"]
    page = experiment._repr_html_()
    assert "tiny" in page and "2 ok" in page


def test_the_estimate_knows_similar_stages(experiment: sp.Experiment, workspace: Path) -> None:
    assert experiment.estimate().stages == {}  # nothing is left to do
    longer = sp.Train(systems="di", training_type="sft", parameters={"sft.steps": 4}, evaluation_cases=3)
    planned = longer.plan(workspace)
    low, high = planned.estimate(workers=1).interval
    assert 0.0 < low < planned.estimate(workers=1).cpu_s < high


@pytest.mark.parametrize("verb", ["experiment status", "experiment resume", "report"])
def test_the_nearest_experiment_is_named(verb: str, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb.split(), "tny", "--workspace", str(workspace)]) == 3
    said = capsys.readouterr().err
    assert "there is no experiment 'tny'" in said and "Did you mean 'tiny'?" in said


def test_an_experiment_that_was_never_started_says_so(tmp_path: Path) -> None:
    planned = sp.Sweep(systems="di", parameters={"lora_rank": [4, 8]}).plan(tmp_path)
    for call in (planned.claims, planned.status, planned.report, planned.best):
        with pytest.raises(sp.InputError, match=r"has not been started. Call run\(\) first"):
            call()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(sp.InputError, match="no experiment 'nothing'"):
        sp.load_experiment(tmp_path, "nothing")


@pytest.mark.parametrize(
    "specification",
    [
        sp.Sweep(systems=["di", "pend"], parameters={"learning_rate": [1e-4, 2e-4]}, replicates=2),
        sp.CrossSystem(systems=["di", "vdp"]),
        sp.Ablation(systems="vdp", strategies=["sft_only", "sft_then_grpo"]),
        sp.Transfer(source_system="di", target_systems=["vdp", "pend"]),
        sp.Train(systems=["di"], parameters={"lora_rank": 8}),
    ],
    ids=lambda specification: type(specification).__name__,
)
def test_every_type_is_planned_and_shown(specification: sp.Sweep, tmp_path: Path) -> None:
    experiment = specification.plan(tmp_path)
    assert experiment.plan.runs
    assert experiment.id in experiment._repr_html_()
    assert type(specification).__name__ in repr(specification)


def test_every_mistake_of_a_specification_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(sp.InputError, match=r"(?s)unknown system 'dii'.*rank_of_lora"):
        sp.Sweep(systems=["dii"], parameters={"rank_of_lora": [4]}).plan(tmp_path)
