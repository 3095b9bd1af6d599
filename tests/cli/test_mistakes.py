"""A user's mistakes: the exit code, one line for each, and nothing half-written."""

import errno
import subprocess
from pathlib import Path

import pytest

from setpoint.cli.main import main
from support.command_line import command, setpoint


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
        ("experiment run --systems di --profile /nonexistent.yaml", "Add --on slurm or remove the option."),
        ("train --system di --resource-limits gpu:abc", "--resource-limits has no effect without --on slurm"),
        ("train --system di --on slurm --dry-run --resource-limits gpu:abc", "'abc'"),
        ("experiment run --systems di --on slurm --dry-run --profile /nonexistent.yaml", "/nonexistent.yaml"),
        ("experiment run --systems di --dry-run --retries crash=x", "retries of crash must be an integer, got 'x'."),
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


def test_a_dataset_that_cannot_be_made_is_refused_with_the_command(root: Path) -> None:
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
        (["experimnt"], "setpoint: error: argument VERB: invalid choice: 'experimnt' (did you mean experiment?) ("),
        (
            ["experiment", "rn"],
            "setpoint experiment: error: argument ACTION: invalid choice: 'rn' (did you mean run?) (",
        ),
        (["experiment"], "setpoint experiment: error: the following arguments are required: ACTION."),
        (
            ["experiment", "run", "--sytems", "di"],
            "setpoint experiment run: error: unknown option '--sytems' (did you mean --systems?). "
            "See setpoint experiment run --help",
        ),
        (["train", "di"], "setpoint train: error: unexpected arguments: di."),
        (
            ["experiment", "run", "--replicates", "2", "--replicates=3"],
            "setpoint experiment run: error: option --replicates is given twice; give it once",
        ),
        (
            ["experiment", "run", "--system", "di", "--systems", "vdp"],
            "setpoint experiment run: error: the same option (--system and --systems) is given twice;",
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
        ("experiment run --workers 0", "--workers must be an integer of at least 1, got '0'."),
        ("experiment run --workers ²", "--workers must be an integer of at least 1, got '²'."),
        ("train --time-limit-min 0", "--time-limit-min must be a positive number, got '0'."),
        ("train --on slrum", "--on: unknown value 'slrum'. Did you mean 'slurm'? Known: local, slurm."),
        ("evaluate --num-test-cases few", "--num-test-cases must be an integer, got 'few'."),
        ("data generate --split-ratio most", "--split-ratio must be a number, got 'most'."),
        (
            "report x --format docx",
            "--format: unknown value 'docx'. Known: html, latex, markdown, pdf, png, svg, text.",
        ),
    ],
)
def test_a_value_that_an_option_does_not_take_is_3(
    words: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 3
    assert capsys.readouterr().err == f"setpoint: error: {complaint}\n"


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


def test_a_dry_run_is_refused_where_the_run_would_be(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for verb in (["experiment", "run"], ["train"]):
        sweep = [*verb, "--systems", "di", "--workspace", str(root)]
        assert main([*sweep, "--base-model", "no-such-owner/no-such-model", "--dry-run"]) == 3
        printed = capsys.readouterr()
        assert "Base model: no-such-owner/no-such-model" in printed.out
        assert "neither a folder nor in the local Hugging Face cache" in printed.err


def test_what_a_file_sweeps_in_two_places_is_not_replaced_in_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("systems: di\nparameters: {learning_rate: [1e-4, 2e-4]}\n")
    line = ["experiment", "plan", "--spec", str(file), "--set", "sft.learning_rate=1e-3", "--workspace", str(tmp_path)]
    assert main(line) == 3
    assert "learning_rate" in capsys.readouterr().err


def test_a_rate_on_the_command_line_leaves_that_of_another_stage_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("systems: di\nfixed: {grpo.learning_rate: 3e-5}\n")
    line = ["experiment", "plan", "--spec", str(file), "--set", "learning_rate=1e-3", "--workspace", str(tmp_path)]
    assert main(line) == 0
    printed = capsys.readouterr().out
    assert "Learning rate of grpo: 0.03 times that of sft (set it by grpo.learning_rate_ratio" in printed
