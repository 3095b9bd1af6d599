"""`setpoint systems`, `setpoint data` and `setpoint evaluate`, as a user meets them."""

import json
import shutil
from pathlib import Path

import pytest

from setpoint import plants
from setpoint.cli import data
from setpoint.cli.main import main
from setpoint.language import parse_answer


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the dataset `mini`; only to be read."""
    root = tmp_path_factory.mktemp("workspace")
    words = ["data", "generate", "--systems", "di", "--dataset-name", "mini", "--total-samples", "40"]
    assert main([*words, "--workspace", str(root)]) == 0
    return root


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The message of a command that must be refused with one line per mistake and no traceback."""
    code, out, err = run(capsys, *words)
    assert (code, out) == (3, "")
    assert all(line.startswith("setpoint: error: ") for line in err.splitlines())
    return err


def test_systems_are_listed_and_described(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "systems")
    assert code == 0
    head, *lines, note = out.splitlines()
    assert head.split() == ["system", "short", "n_x", "n_u", "linear", "stable", "primary", "mode"]
    assert [line.split()[0] for line in lines] == list(plants.names())
    assert "double_integrator        di         2    1    yes     marginal  open loop" in lines
    assert "linear_oscillator        osc        2    1    yes     yes       open loop" in lines
    assert "pendulum                 pend       2    1    no      no        closed loop only" in lines
    assert max(map(len, (head, *lines))) <= 80 and note.startswith("stable: ")
    code, out, _ = run(capsys, "systems", "pend")
    assert code == 0
    for part in ("9.81*sin(x)", "rad/s^2", "-0.4 … 0.4", "50 steps of 0.05 s", "closed loop only"):
        assert part in out
    code, out, _ = run(capsys, "systems", "vdp", "--json")
    assert json.loads(out)["controls"] == [{"name": "force", "unit": "1/s^2", "lower": -5.0, "upper": 5.0}]
    assert len(json.loads(run(capsys, "systems", "--json")[1])) == len(plants.names())
    assert "Did you mean 'pendulum'?" in refused(capsys, "systems", "pendulm")


def test_a_dataset_is_made_once_and_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("data", "generate", "--systems", "di", "--total-samples", "20", "--workspace", tmp_path)
    code, out, err = run(capsys, *words)
    assert code == 0
    assert out.startswith("double_integrator: double_integrator; optimal expert; 16 train + 2 validation + 2 test rows")
    assert "20 rows solved and certified" in err
    assert run(capsys, *words)[1:] == (out, "")
    for listing in (("data", "list"), ("data", "generate", "--list-datasets")):
        assert run(capsys, *listing, "--workspace", tmp_path)[1] == out
    (listed,) = json.loads(run(capsys, "data", "list", "--json", "--workspace", tmp_path)[1])
    assert (listed["name"], listed["total_rows"], listed["rejection_rate"]) == (
        "double_integrator",
        20,
        {"double_integrator": 0.0},
    )


def test_a_log_shows_how_far_the_rows_are(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = iter([0.0, 1.0, 10.0, 10.0, 11.0])
    tell = data._progress(clock_s=lambda: next(seconds))
    for done in (20, 40, 60, 80):
        tell(done, 80)
    assert capsys.readouterr().err == "40 of 80 rows\n80 rows solved and certified\n"


def test_an_empty_workspace_has_no_data_sets(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, "data", "list", "--workspace", tmp_path)
    assert (code, out) == (0, "")
    assert "data generate" in err


def test_rows_are_shown_as_a_model_reads_them(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    code, out, _ = run(capsys, "data", "show", "mini", "--rows", "2", "--workspace", workspace)
    assert code == 0
    assert out.count("prompt: plant=double_integrator") == 2
    shown = json.loads(run(capsys, "data", "show", "mini", "--split", "test", "--json", "--workspace", workspace)[1])
    assert all(parse_answer(row["answer"], 10, 1).shape == (10, 1) for row in shown)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data", "generate"], "a dataset needs systems"),
        (["data", "generate", "--systems", "di,nothing"], "unknown system 'nothing'"),
        (["data", "generate", "--systems", "di", "--total-samples", "4"], "at least 6 rows"),
        (["data", "generate", "--systems", "di", "--total-samples", "-1"], "at least 6 rows"),
        (["data", "generate", "--systems", "di", "--total-samples", "99999999999999"], "Lower --total-samples"),
        (["data", "generate", "--systems", "di", "--split-ratio", "1"], "split ratio"),
        (["data", "generate", "--systems", "di", "--split-ratio", "nan"], "split ratio"),
        (["data", "generate", "--systems", "di", "--workers", "0"], "--workers must be at least 1"),
        (["data", "generate", "--systems", "di", "--expert", "detund"], "Did you mean 'detuned'?"),
        (["data", "generate", "--systems", "di", "--dataset-name", "../x"], "a dataset name must be"),
        (["data", "generate", "--systems", "vdp", "--dataset-name", "di"], "but not van_der_pol"),
        (["data", "generate", "--systems", "di", "--dataset-name", "mini"], "total_samples is 40, not 2000"),
        (["data", "show", "nothing"], "setpoint data generate"),
        (["data", "show", "mini", "--rows", "0"], "--rows must be an integer of at least 1, got '0'."),
        (["data", "show", "mini", "--rows", "-1"], "--rows must be an integer of at least 1, got '-1'."),
        (["data", "show", "mini", "--split", "val"], "unknown split 'val'"),
        (["data", "show", "mini", "--system", "pend"], "but not pendulum"),
        (["evaluate"], "nothing to evaluate"),
        (["evaluate", "--controller", "pid", "--system", "di"], "Known: lqr, mpc, optimum, tracking_lqr, zero"),
        (["evaluate", "--controller", "lqr"], "no system is given. Name one with --system"),
        (["evaluate", "--controller", "lqr", "--model-path", "x"], "--controller cannot be combined with"),
        (["evaluate", "--controller", "lqr", "--system", "di", "--num-test-cases", "0"], "at least one case"),
        (["evaluate", "--controller", "lqr", "--system", "di", "--num-test-cases", "100001"], "at most 100000"),
        (["evaluate", "--controller", "lqr", "--system", "di", "--mpc-horizon", "0"], "--replan-every must be 1 to 50"),
        (["evaluate", "--controller", "lqr", "--system", "di", "--test-type", "open"], "unknown test type 'open'"),
        (["evaluate", "--controller", "lqr", "--system", "pend", "--test-type", "standard"], "Use --test-type mpc"),
        (["evaluate", "--controller", "lqr", "--system", "pend", "--eval-dataset", "mini"], "but not pendulum"),
        (["evaluate", "--controller", "lqr", "--system", "di", "--eval-dataset", "x"], "setpoint data generate"),
        (["evaluate", "--model-path", "nowhere"], "no adapter folder 'nowhere'"),
    ],
)
def test_mistakes_are_named(
    capsys: pytest.CaptureFixture[str], workspace: Path, words: list[str], message: str
) -> None:
    assert message in refused(capsys, *words, "--workspace", workspace)


@pytest.mark.parametrize("missing", [True, False])
def test_a_dataset_with_a_damaged_file_is_not_shown_and_listed_as_such(
    missing: bool, capsys: pytest.CaptureFixture[str], workspace: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(workspace / "datasets" / "mini", tmp_path / "datasets" / "mini")
    assert json.loads(run(capsys, "data", "list", "--json", "--workspace", tmp_path)[1])[0]["damaged"] == []
    file = folder / "test.parquet"
    if missing:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-8])
    assert "test.parquet' is missing, truncated" in refused(capsys, "data", "show", "mini", "--workspace", tmp_path)
    code, out, _ = run(capsys, "data", "list", "--workspace", tmp_path)
    assert code == 0
    assert f"DAMAGED: test.parquet missing or truncated; delete the folder {str(folder)!r}" in out
    assert "remark   dataset: mini" in run(capsys, "doctor", "--workspace", tmp_path)[1]


def test_more_cases_than_the_test_split_has_are_refused(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    words = ("evaluate", "--controller", "lqr", "--system", "di", "--eval-dataset", "mini", "--num-test-cases", "50")
    assert "--num-test-cases must be 1 to 1" in refused(capsys, *words, "--workspace", workspace)


def test_an_adapter_of_somebody_else_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "is not an adapter trained by setpoint" in refused(capsys, "evaluate", "--model-path", tmp_path)


def test_the_table_always_shows_the_references(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plots = tmp_path / "plots"
    words = ("evaluate", "--controller", "lqr", "--system", "di", "--num-test-cases", "2")
    code, out, err = run(capsys, *words, "--mpc-horizon", "10", "--quiet", "--save-plots", plots)
    assert (code, err) == (0, "")
    # Without a disturbance replanning changes no reference, so one table serves both modes.
    assert out.count("optimum ") == out.count("clipped LQR ") == out.count("zero control ") == 1
    assert "double_integrator, open loop and replan 10, 2 cases" in out
    assert max(map(len, out.splitlines())) <= 80
    assert len(list(plots.glob("*.svg"))) == 4
    assert run(capsys, *words, "--replan-every", "10", "--quiet")[1] == out
    code, out, _ = run(capsys, *words, "--test-type", "mpc", "--json")
    (results,) = json.loads(out)["results"]["double_integrator"].values()
    assert results["lqr"]["success_rate"] == 1.0


def test_cases_may_come_from_the_test_split_of_a_dataset(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    words = ("evaluate", "--controller", "optimum", "--system", "di", "--eval-dataset", "mini", "--json")
    code, out, _ = run(capsys, *words, "--workspace", workspace)
    assert code == 0
    assert json.loads(out)["results"]["double_integrator"]["open_loop"]["optimum"]["cases"] == 1
