"""`setpoint evaluate` on suites, on one state and in disturbed worlds, as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from setpoint import problems
from setpoint.artifacts import write_json
from setpoint.cli.main import main
from setpoint.controllers import ClippedLqr
from setpoint.language import PromptFormat
from setpoint.problems import suite_states
from setpoint.simulation import Disturbance, run_controller


def run(capsys: pytest.CaptureFixture[str], line: str) -> tuple[int, str, str]:
    code = main(["evaluate", "--quiet", *line.split()])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def results(capsys: pytest.CaptureFixture[str], line: str) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    code, out, _ = run(capsys, f"{line} --json")
    assert code == 0
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = json.loads(out)["results"]
    return found


@pytest.mark.parametrize(
    ("options", "world"),
    [
        ("--state-noise 0.05", Disturbance(state_noise=0.05)),
        ("--input-noise 0.1 --disturbance-seed 4", Disturbance(input_noise=0.1, seed=4)),
        ("--mismatch 0.2", Disturbance(mismatch=0.2)),
        ("--delay-steps 2", Disturbance(delay_steps=2)),
    ],
)
@pytest.mark.parametrize("interval", [1, 10, 50])
def test_a_disturbance_is_that_of_the_simulator(
    options: str, world: Disturbance, interval: int, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"--controller lqr --system vdp --num-test-cases 4 --test-type mpc --mpc-horizon {interval} {options}"
    found = results(capsys, line)["van_der_pol"][f"replan_{interval}"]
    assert set(found) == {"tracking_lqr", "lqr", "zero"}
    problem = problems.get("van_der_pol")
    states = suite_states(problem, "nominal", 4)
    rough, calm = (
        problem.cost(trajectory.states, trajectory.controls).mean()
        for trajectory in (
            run_controller(problem, ClippedLqr(problem), states, interval, *worlds).trajectory
            for worlds in ((world,), ())
        )
    )
    assert found["lqr"]["control_cost"] == pytest.approx(rough, rel=1e-12)
    assert rough != pytest.approx(calm, rel=1e-4)


def test_a_disturbed_table_says_so_and_keeps_the_optimum_of_open_loop(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--controller optimum --system di --num-test-cases 3 --mismatch 0.1")
    assert code == 0
    assert "disturbance: mismatch=0.1; regret is relative to the undisturbed optimum" in out
    names = ("optimum", "clipped LQR", "zero control", "tracking LQR along the optimum")
    found = [name for line in out.splitlines() for name in names if line.startswith(name)]
    assert found == [*names[:3], names[3], *names[1:3]]
    assert "an LQR that" in out and "stands in for it." in out


def test_feedback_around_the_optimum_and_prediction_are_controllers_too(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("mpc", "tracking_lqr"):
        found = results(capsys, f"--controller {name} --system vdp_tight --num-test-cases 3 --test-type mpc")
        assert found["van_der_pol_tight"]["replan_5"][name]["regret_median"] == pytest.approx(0, abs=1e-4)


def test_suites_are_reached_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    tight = results(capsys, "--controller lqr --system di_tight --suite tight --num-test-cases 4")
    assert tight["double_integrator_tight"]["open_loop"]["optimum"]["cases"] == 4
    nominal, held_out = (
        results(capsys, f"--controller lqr --system osc --suite {suite} --num-test-cases 12")["linear_oscillator"]
        for suite in ("nominal", "held_out")
    )
    assert held_out["open_loop"]["optimum"]["cases"] == 12
    assert held_out["open_loop"]["zero"] != nominal["open_loop"]["zero"]


def test_one_state_can_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--controller lqr --system di --initial-state -0.5 0.3")
    assert code == 0
    assert "double_integrator, open loop and replan 5, 1 case\n" in out


def test_a_state_outside_the_initial_set_is_evaluated_with_a_remark(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--controller lqr --system di --initial-state 0.9 0")
    assert code == 0
    assert "clipped LQR" in out
    assert "remark: " in err and "must lie in its initial set (position -0.8 … 0.8" in err


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--initial-state nan 0", "an initial state must be finite"),
        ("--initial-state 0.1", "an initial state of double_integrator needs 2 values (position, velocity), got 1"),
        ("--initial-state 0 0 --num-test-cases 3", "--num-test-cases has no effect with --initial-state"),
        ("--initial-state 0 0 --suite nominal", "--suite and --initial-state cannot be combined"),
        ("--suite tight", "double_integrator is not in suite 'tight'"),
        ("--suite nominl", "Did you mean 'nominal'?"),
        ("--num-test-cases 0", "at least one case"),
        ("--state-noise -1", "must be finite and not negative"),
        ("--mismatch nan", "must be finite and not negative"),
        ("--delay-steps -2", "delay_steps must be a whole number of at least 0, got -2"),
    ],
)
def test_mistakes_are_named(line: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, f"--controller lqr --system di {line}")
    assert (code, out) == (3, "")
    assert says in err


def test_plots_that_could_not_be_written_are_refused_before_the_evaluation(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a_file").touch()
    line = f"evaluate --controller lqr --system di --save-plots {tmp_path / 'a_file'}"
    assert main(line.split()) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("setpoint: error: --save-plots must name a writable folder")


@pytest.mark.parametrize("words", ["--num-test-cases 0", "--test-type open", "--suite tigth", "--save-plots FILE"])
def test_a_mistake_is_found_before_the_model_is_loaded(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_arguments: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("setpoint.api.policies.load_model", load)
    (tmp_path / "FILE").write_text("")
    line = f"--base-model builtin:tiny --system di {words.replace('FILE', str(tmp_path / 'FILE'))}"
    assert run(capsys, line)[:2] == (3, "")


def test_an_adapter_of_another_base_is_found_before_torch_is_loaded(tmp_path: Path) -> None:
    record = {"base": {"name": "other", "digest": "0"}, "systems": ["pendulum"], "dialect": PromptFormat().definition()}
    for name, content in (("adapter_config", {}), ("adapter_model", {}), ("setpoint", record)):
        write_json(tmp_path / f"{name}.{'safetensors' if name == 'adapter_model' else 'json'}", content)
    code = (
        "import sys\nfrom setpoint.cli.main import main\n"
        f"code = main(['evaluate', '--base-model', 'builtin:tiny', '--model-path', {str(tmp_path)!r}])\n"
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "False"], done.stderr
    assert "belongs to 'other' (0), not to 'builtin:tiny'" in done.stderr


POLICIES = """
def proportional(observation):
    return [-8.0 * observation[0] - 3.0 * observation[1]]

def breaks(observation):
    return "left"

def raises(observation):
    return 1 / 0

NUMBER = 3
"""


def test_a_function_is_evaluated_as_a_controller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_policies.py").write_text(POLICIES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    line = "evaluate --system double_integrator --num-test-cases 5 --mpc-horizon 1 --quiet --policy"
    assert main([*line.split(), "my_policies:proportional"]) == 0
    assert "my_policies:proportional" in capsys.readouterr().out
    for name, says in (
        ("my_policies", "must be MODULE:FUNCTION"),
        ("absent_module:f", "cannot import module 'absent_module'"),
        ("my_policies:absent", "has no function 'absent'"),
        ("my_policies:NUMBER", "has no function 'NUMBER'"),
        ("my_policies:breaks", "my_policies:breaks must return 1 finite control for"),
        ("my_policies:raises", "my_policies:raises of --policy raises ZeroDivisionError: division by zero. It must"),
    ):
        assert main([*line.split(), name]) == 3
        assert says in capsys.readouterr().err
    assert main([*line.split(), "my_policies:proportional", "--controller", "lqr"]) == 3
    assert "cannot be combined" in capsys.readouterr().err
