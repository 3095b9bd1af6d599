"""The command line as a user meets it: exit codes, one line for a mistake, nothing half-written, clean streams."""

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from setpoint.artifacts import Workspace
from setpoint.cli.main import VERBS, main
from setpoint.demonstrations import Recipe, create
from support import ROOT, TESTS
from support.sweeps import BASE

SCRIPTS = ROOT / "scripts"
SWEEP = ["--systems", "double_integrator", "--dataset-name", "small", "--parameters", "lora_rank:4,8"]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a small data set."""
    root = tmp_path_factory.mktemp("prepared")
    create(Workspace(root), "small", Recipe(systems=("double_integrator",), total_samples=8), workers=1)
    create(Workspace(root), "mixed", Recipe(systems=("double_integrator", "van_der_pol"), total_samples=12), workers=1)
    return root


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    (tmp_path / "datasets").symlink_to(prepared / "datasets")
    return tmp_path


def command(root: Path, *words: str) -> tuple[list[str], dict[str, str]]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
        "SETPOINT_WORKSPACE": str(root),
        "NO_COLOR": "1",
    }
    return [sys.executable, "-P", "-m", "support.cheap_setpoint", *words], environment


def setpoint(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line, environment = command(root, *words)
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("experiment run", "--systems"),
        ("experiment run --systems di --parameters lora_rank:0", "lora_rank must be at least 1"),
        ("experiment run --systems di --parameters learning_rate:abc", "'abc'"),
        ("experiment run --systems di --lora-ranks 4,4", "repeated"),
        ("experiment run --systems di --lora-ranks 4 --parameters lora_rank:8", "Use one of them"),
        ("experiment run --systems vpd", "Did you mean 'vdp'"),
        ("experiment run --systems di --replicates none", "'none'"),
        ("experiment run --systems di --metrics speed", "unknown metric"),
        (
            "experiment run --systems di --evaluation-cases 0",
            "at least 1 and at most 100000, got '0'",
        ),
        ("experiment run --systems di --evaluation-cases 100000000000", "at least 1 and at most 100000"),
        ("experiment run --systems di --seed 4294967296", "at least 0 and at most 4294967295"),
        ("experiment run --systems di --replicates 1001", "at least 1 and at most 1000"),
        ("experiment run --systems di --training-types bth", "unknown training type 'bth'. Did you mean 'both'?"),
        ("experiment run --systems di --expert optmal", "unknown expert 'optmal'. Did you mean 'optimal'?"),
        (
            "experiment run --systems di,vdp --experiment-type cross_system --model-types special",
            "unknown model type 'special'. Did you mean 'specialist'?",
        ),
        ("experiment run --systems di --experiment-id ../x", "'x'"),
        ("experiment run --systems di --experiment-type cross_system", "at least two systems"),
        ("experiment run --systems di --strategies sft_only", "`strategies` belongs to training_ablation"),
        ("experiment run --experiment-type transfer_learning --source-system di", "needs `target_systems`"),
        ("experiment run --systems di --experiment-type training_ablation --strategies sft", "sft_only"),
        ("train --system di --start-from sft/000000000000", "no finished adapter"),
        ("experiment run --systems di --base-model nonsense", "--base-model"),
        ("experiment run --spec no/such.yaml", "cannot read"),
        ("experiment plan --systems di --set lora_rank", "name=value"),
        ("experiment run --systems di --choose 3", "--choose has no effect without --budget"),
        ("experiment plan --systems di --choose 3 --yes", "--choose and --yes have no effect without --budget"),
        ("experiment run --systems di --profile /nonexistent.yaml", "Add --on slurm, or leave it out."),
        ("train --system di --resource-limits gpu:abc", "--resource-limits would have no effect"),
        ("train --system di --on slurm --dry-run --resource-limits gpu:abc", "'abc'"),
        ("experiment run --systems di --on slurm --dry-run --profile /nonexistent.yaml", "/nonexistent.yaml"),
        ("experiment run --systems di --dry-run --retries crash=x", "retries of crash must be a whole number"),
        ("experiment status nothing", "no experiment 'nothing'"),
        ("experiment resume nothing", "no experiment 'nothing'"),
        ("train", "--system"),
        ("train --system di --lora-rank 0", "lora_rank"),
        ("train --system di --lora-rank 4 --set lora_rank=8", "Use one of them"),
        ("train --system di --run-id a/b", "'a_b'"),
    ],
)
def test_a_users_mistake_is_one_line_and_leaves_nothing(
    words: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETPOINT_WORKSPACE", str(tmp_path / "w"))
    assert main(words.split()) == 3
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("setpoint: error: ")
    assert len(streams.err.splitlines()) == 1
    assert says in streams.err
    assert not (tmp_path / "w").exists()


def test_all_mistakes_are_named_at_once_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "plan", "--systems", "di", "--parameters", "lora_rank:0", "learning_rate:abc"]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("setpoint: error: ") for line in lines)


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("--systems di --parameters lora_rank:0 learning_rate:abc --experiment-id ../x --base-model nonsense", 4),
        ("--parameters lora_rank --set rank=0 --metrics speed --replicates 0", 5),
        ("--systems vpd --parameters lora_rank:0 --dataset-name mine", 2),
        ("--systems di,vdp --datasets mine,yours --set rank=0", 1),
        ("--systems di,vdp --datasets mine,yours", 2),
    ],
)
def test_mistakes_of_all_kinds_are_named_at_once(
    words: str, count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for action in ("plan", "run"):
        assert main(["experiment", action, *words.split(), "--workspace", str(tmp_path / "w")]) == 3
        assert len(capsys.readouterr().err.splitlines()) == count
    assert not (tmp_path / "w").exists()


def test_a_data_set_that_cannot_be_made_is_refused_with_the_command(root: Path) -> None:
    done = setpoint(root, "experiment", "run", "--systems", "di", "--dataset-name", "mine")
    assert done.returncode == 3
    assert "setpoint data generate --systems double_integrator --dataset-name mine" in done.stderr
    assert not (root / "experiments").exists()


def test_a_workspace_that_cannot_be_written_is_refused(root: Path, prepared: Path) -> None:
    (root / "file").write_text("")
    line, environment = command(root / "file" / "w", "train", "--system", "di")
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", ["doctor", "experiment run --systems di --dataset-name mine --dry-run", "data list", "experiment list"]
)
def test_a_workspace_that_is_no_folder_is_named_first(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main([*words.split(), "--workspace", str(tmp_path / "file")]) == 3
    assert capsys.readouterr().err.startswith("setpoint: error: the workspace must be a folder, but")


def test_a_full_disk_is_no_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "state.json")

    monkeypatch.setattr("setpoint.cli.models.run", fail)
    assert main(["models", "list"]) == 3
    error = capsys.readouterr().err
    assert "No space left on device: 'state.json'" in error
    assert "same command again" in error


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "setpoint: error: the following arguments are required: VERB. See setpoint --help"),
        (["fly"], "setpoint: error: argument VERB: invalid choice: 'fly' (choose from"),
        (["experimnt"], "setpoint: error: argument VERB: invalid choice: 'experimnt', the nearest is experiment ("),
        (
            ["experiment", "rn"],
            "setpoint experiment: error: argument ACTION: invalid choice: 'rn', the nearest is run (",
        ),
        (["experiment"], "setpoint experiment: error: the following arguments are required: ACTION."),
        (
            ["experiment", "run", "--sytems", "di"],
            "setpoint experiment run: error: unknown option '--sytems', the nearest is --systems. "
            "See setpoint experiment run --help",
        ),
        (["train", "di"], "setpoint train: error: unexpected arguments: di."),
        (
            ["experiment", "run", "--replicates", "2", "--replicates=3"],
            "setpoint experiment run: error: option --replicates is given twice; give it once",
        ),
        (
            ["experiment", "run", "--system", "di", "--systems", "vdp"],
            "setpoint experiment run: error: --system and --systems are one option, which is given twice;",
        ),
        (["train", "--training-type", "sft", "--training-type", "grpo"], "setpoint train: error: option --training-"),
        (["data", "show", "x", "--rows"], "setpoint data show: error: argument --rows: expected one argument."),
    ],
)
def test_wrong_syntax_is_2_and_one_line(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(complaint)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("experiment run --workers 0", "--workers must be a whole number of at least 1, but is '0'."),
        ("experiment run --workers ²", "--workers must be a whole number of at least 1, but is '²'."),
        ("train --time-limit-min 0", "--time-limit-min must be a number above 0, but is '0'."),
        ("train --on slrum", "--on: unknown value 'slrum'. Did you mean 'slurm'? Known: local, slurm."),
        ("evaluate --num-test-cases few", "--num-test-cases must be an integer, got 'few'."),
        ("data generate --split-ratio most", "--split-ratio must be a number, got 'most'."),
        ("report x --format pdf", "--format: unknown value 'pdf'. Known: html, markdown, text."),
    ],
)
def test_a_value_that_an_option_does_not_take_is_3(
    words: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 3
    assert capsys.readouterr().err == f"setpoint: error: {complaint}\n"


def printed(stdout: object = subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess[str]:
    """`setpoint systems van_der_pol` in an environment of its own."""
    line = [sys.executable, "-m", "setpoint", "systems", "van_der_pol"]
    return subprocess.run(
        line, env=os.environ | environment, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
    )


@pytest.mark.parametrize("words", ["Unable to contact slurm controller", "Could not establish a configuration source"])
def test_a_cluster_that_does_not_answer_is_given_no_new_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    for name in ("sbatch", "scontrol"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{words}' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    workspace = tmp_path / "workspace"
    assert main(["train", "--system", "di", "--on", "slurm", "--workspace", str(workspace)]) == 3
    message = capsys.readouterr().err
    assert message.startswith(f"setpoint: error: SLURM does not answer ({words}).")
    assert message.count("\n") == 1
    assert not workspace.exists()


def test_a_character_that_the_terminal_lacks_is_no_traceback() -> None:
    done = printed(PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u2026" in done.stdout
    assert "\u2026" in printed(PYTHONIOENCODING="utf-8").stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_finds_no_room_is_no_internal_error() -> None:
    with Path("/dev/full").open("w") as full:
        done = printed(full)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


def test_help_names_every_verb_and_loads_nothing() -> None:
    code = (
        "import sys\n"
        "from setpoint.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(*sorted({'numpy', 'pydantic', 'torch', 'psutil', 'yaml', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(verb in done.stdout for verb in VERBS)
    assert done.stderr.split() == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    assert f"setpoint {verb}" in capsys.readouterr().out


def test_a_run_prints_its_report_on_stdout_and_progress_on_stderr(root: Path) -> None:
    done = setpoint(root, "experiment", "run", *SWEEP, "--experiment-id", "mine")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "=== Experiment Report: mine ===\n"
    assert "run lora_rank=4_both_s0" in done.stderr
    assert "\x1b" not in done.stderr
    again = setpoint(root, "experiment", "run", *SWEEP, "--experiment-id", "mine", "--quiet", "--json")
    assert again.returncode == 0
    assert again.stderr == ""
    assert json.loads(again.stdout)["counts"] == {"ok": 2}
    other = setpoint(root, "experiment", "run", *SWEEP, "--experiment-id", "mine", "--replicates", "3")
    assert other.returncode == 3
    assert "replicates was 1, now 3" in other.stderr


def test_the_same_command_again_resumes_and_fresh_does_not(root: Path) -> None:
    for _ in range(2):
        assert setpoint(root, "experiment", "run", *SWEEP).returncode == 0
    assert len(list((root / "experiments").iterdir())) == 1
    assert setpoint(root, "experiment", "run", *SWEEP, "--fresh").returncode == 0
    listed = json.loads(setpoint(root, "experiment", "list", "--json").stdout)
    assert len(listed) == 2
    assert listed[1]["experiment"] == f"{listed[0]['experiment']}-2"


def test_failed_runs_set_the_exit_code_and_can_be_retried(root: Path) -> None:
    (root / "fail-grpo").write_text('"rank": 4')
    failed = setpoint(root, "experiment", "run", *SWEEP, "--experiment-id", "mine")
    assert failed.returncode == 4
    assert "1 run failed; a retry would fail again; start a new experiment" in failed.stderr  # it diverged
    (root / "fail-grpo").unlink()
    assert setpoint(root, "experiment", "resume", "mine").returncode == 4
    other = setpoint(root, "experiment", "retry", "mine", "--class", "crash")
    assert other.returncode == 4
    assert "no failure is of class crash, but of class diverged, so none is tried again" in other.stderr
    misspelt = setpoint(root, "experiment", "retry", "mine", "--class", "crsh")
    assert (misspelt.returncode, "Did you mean 'crash'?" in misspelt.stderr) == (3, True)
    assert "failed     lora_rank=4" in setpoint(root, "experiment", "status", "mine").stdout
    assert setpoint(root, "experiment", "retry", "mine").returncode == 0
    assert "nothing to try again" in setpoint(root, "experiment", "retry", "mine").stderr
    (root / "fail-reference").write_text("")
    assert (
        setpoint(root, "train", "--system", "di", "--dataset-name", "small", "--evaluation-cases", "5").returncode == 5
    )


def test_an_interrupt_prints_how_to_resume(root: Path) -> None:
    line, environment = command(root, "experiment", "run", *SWEEP, "--experiment-id", "mine")
    process = subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True)
    while not (root / "ledger.txt").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (
        stderr.splitlines()[-1]
        == f"setpoint: interrupted; resume with: setpoint experiment resume mine --workspace {root}"
    )
    assert "Traceback" not in stderr
    assert setpoint(root, "experiment", "resume", "mine").returncode == 0


def test_reading_commands_change_nothing(root: Path) -> None:
    before = sorted(root.iterdir())
    plan = setpoint(root, "experiment", "plan", *SWEEP, "--json")
    dry = setpoint(root, "experiment", "run", *SWEEP, "--dry-run")
    for done in (
        plan,
        dry,
        setpoint(root, "train", "--system", "di", "--dataset-name", "small", "--dry-run"),
        setpoint(root, "experiment", "list"),
        setpoint(root, "models", "list", "--format", "json"),
        setpoint(root, "train", "--list-datasets"),
    ):
        assert done.returncode == 0, done.stderr
    assert json.loads(plan.stdout)["stage_ids_known"]
    assert "2 configurations x 1 replicate = 2" in dry.stdout
    assert sorted(root.iterdir()) == before


def test_a_dry_run_is_refused_where_the_run_would_be(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for verb in (["experiment", "run"], ["train"]):
        sweep = [*verb, "--systems", "di", "--workspace", str(root)]
        assert main([*sweep, "--base-model", "no-such-owner/no-such-model", "--dry-run"]) == 3
        printed = capsys.readouterr()
        assert "Base model: no-such-owner/no-such-model" in printed.out
        assert "neither a folder nor in the cache of the hub" in printed.err


def test_the_printed_lines_make_the_same_stages(root: Path) -> None:
    """As they are printed, with the real scripts and the built-in base; only --dry-run is added."""
    sweep = [*SWEEP, "--learning-rates", "1e-4", "--workspace", str(root)]

    def answer(*words: str) -> str:
        line = [sys.executable, *words]
        return subprocess.run(line, cwd=SCRIPTS.parent, capture_output=True, text=True, check=True).stdout

    plan = ["-m", "setpoint", "experiment", "plan", *sweep]
    commands, planned = answer(*plan, "--commands").splitlines(), json.loads(answer(*plan, "--json"))
    assert len(commands) == len(planned["runs"]) == 2
    for text, run in zip(commands, planned["runs"], strict=True):
        program, script, *options = shlex.split(text)
        assert (program, script) == ("python", "scripts/train_single_system.py")
        alone = json.loads(answer(script, *options, "--dry-run", "--json"))
        assert alone["runs"][0]["stages"] == run["stages"]


def test_designs_are_given_on_the_command_line(root: Path) -> None:
    line = ["experiment", "plan", "--systems", "di", "--dataset-name", "small", "--parameters"]
    drawn = [*line, "learning_rate:1e-5..1e-3:log", "lora_rank:4,8", "--design", "sobol", "--configurations", "4"]
    planned = json.loads(setpoint(root, *drawn, "--json").stdout)
    assert len(planned["runs"]) == 4
    assert planned["spec"]["ranges"] == {"learning_rate": {"min": 1e-5, "max": 1e-3, "scale": "log", "whole": False}}
    zipped = [*line, "lora_rank:4,8", "learning_rate:2e-4,1e-4", "--zip", "lora_rank,learning_rate"]
    assert "Design: lora_rank and learning_rate vary together" in setpoint(root, *zipped).stdout
    fraction = ["lora_rank:4,8", "learning_rate:2e-4,1e-4", "grpo.beta:0,0.1", "--design", "fractional"]
    text = setpoint(root, *line, *fraction).stdout
    assert "Runs: 4 configurations" in text
    assert "resolution III" in text


ALL_TYPES = [
    ["--systems", "di", "--training-types", "sft,both", "--parameters", "grpo.temperature:0.7,1.0", "--set", "steps=7"],
    ["--experiment-type", "cross_system", "--systems", "di,vdp", "--training-type", "grpo", "--match", "total"],
    ["--experiment-type", "cross_system", "--systems", "di,vdp", "--set", "sft.steps=9"],
    ["--experiment-type", "training_ablation", "--system", "di", "--replicates", "2"],
]


@pytest.mark.parametrize("line", ALL_TYPES, ids=lambda line: line[1])
def test_every_run_of_every_type_can_be_given_alone(
    line: list[str], root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("setpoint.experiments.request.resolve_base", lambda _name: BASE)

    def printed(*words: str) -> str:
        assert main([*words]) == 0
        return capsys.readouterr().out

    plan = ["experiment", "plan", *line, "--dataset-name", "mixed", "--workspace", str(root)]
    commands = printed(*plan, "--commands").splitlines()
    planned = json.loads(printed(*plan, "--json"))
    assert len(commands) == len(planned["runs"]) >= 3
    for text, run in zip(commands, planned["runs"], strict=True):
        alone = json.loads(printed("train", *shlex.split(text)[2:], "--dry-run", "--json"))
        assert alone["runs"][0]["stages"] == run["stages"]


def test_the_runs_of_a_transfer_can_be_given_alone_one_after_the_other(root: Path) -> None:
    line = ["--experiment-type", "transfer_learning", "--source-system", "di", "--target-systems", "vdp"]
    line += ["--training-type", "sft", "--dataset-name", "mixed"]
    commands = setpoint(root, "experiment", "plan", *line, "--commands").stdout.splitlines()
    planned = json.loads(setpoint(root, "experiment", "plan", *line, "--json").stdout)
    assert len(commands) == 3
    for text in commands:
        assert setpoint(root, "train", *shlex.split(text)[2:]).returncode == 0
    done = setpoint(root, "experiment", "run", *line, "--experiment-id", "transfer")
    assert done.returncode == 0, done.stderr
    assert sorted((root / "ledger.txt").read_text().split()) == sorted(planned["stages"])


def test_models_are_listed_with_their_parameters(root: Path) -> None:
    words = ["train", "--system", "di", "--dataset-name", "small", "--lora-rank", "4", "--run-id", "my_run"]
    assert setpoint(root, *words).returncode == 0
    listed = json.loads(setpoint(root, "models", "list", "--detailed", "--format", "json").stdout)
    assert [(model["run_id"], model["stage"]) for model in listed] == [("my_run", "grpo"), ("my_run", "sft")]
    assert listed[0]["parameters"]["lora"]["rank"] == 4
    assert listed[0]["usable"]
    assert "my_run" in setpoint(root, "models", "list").stdout


@pytest.mark.parametrize("name", ["sft.steps", "sft_steps"])
def test_set_replaces_one_value_of_a_file_and_keeps_the_others(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["experiment", "plan", "--demo", "--set", f"{name}=51", "--commands", "--workspace", str(tmp_path)]) == 0
    )
    assert all("grpo.steps=40 sft.steps=51" in line for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("more", "parameters"),
    [
        (["--lora-ranks", "4"], {"lora_rank": [4], "learning_rate": [1e-4, 2e-4]}),
        (["--parameters", "batch_size:8,16"], {"lora_rank": [8, 16], "learning_rate": [1e-4, 2e-4]}),
        (["--set", "lora_rank=4"], {"learning_rate": [1e-4, 2e-4]}),
    ],
)
def test_the_command_line_replaces_those_parameters_of_a_file_that_it_names(
    more: list[str],
    parameters: dict[str, list[float]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "systems: di\nparameters: {lora_rank: [8, 16], learning_rate: [1e-4, 2e-4]}\nfixed: {batch_size: 32}\n"
    )
    line = ["experiment", "plan", "--spec", str(file), "--json", "--workspace", str(tmp_path), *more]
    assert main(line) == 0
    spec = json.loads(capsys.readouterr().out)["spec"]
    swept = "--parameters" in more
    assert spec["parameters"] == parameters | ({"batch_size": [8, 16]} if swept else {})
    assert spec["fixed"].get("batch_size") == (None if swept else 32)
    assert spec["fixed"].get("lora_rank") == (4 if "--set" in more else None)


def test_what_a_file_sweeps_in_two_places_is_not_replaced_in_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("systems: di\nparameters: {learning_rate: [1e-4, 2e-4]}\n")
    line = ["experiment", "plan", "--spec", str(file), "--set", "sft.learning_rate=1e-3", "--workspace", str(tmp_path)]
    assert main(line) == 3
    assert "learning_rate" in capsys.readouterr().err


def test_the_demonstration_is_a_specification() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "support.cheap_setpoint",
            "experiment",
            "plan",
            "--demo",
            "--workspace",
            "/nonexistent",
        ],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "not generated yet" in done.stdout


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.name)
def test_scripts_hand_over_to_the_command_line(script: Path) -> None:
    done = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: setpoint" in done.stdout


@pytest.mark.parametrize("words", [["--experiment-type", "cross_systm"], ["--experiment-type=cross_systm"]])
def test_a_comparison_across_systems_may_name_its_type(words: list[str]) -> None:
    line = [sys.executable, str(SCRIPTS / "run_cross_system_comparison.py"), "--systems", "di,vdp", *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "Did you mean 'cross_system'?" in done.stderr
