"""The true reason and the remedy, where a wrong one was given or a traceback was shown."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from setpoint.cli.main import main
from setpoint.execution.failures import describe_failure
from setpoint.execution.slurm import Batch, Profile, Resources
from setpoint.execution.slurm.script import Site, script_text
from setpoint.experiments.slurm.scripts import Cluster


def chained(error: BaseException) -> BaseException:
    outer = ValueError("could not load the tokenizer")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError(errno.ENFILE, "Too many open files in system"), "fewer --workers"),
        (chained(OSError(errno.EMFILE, "Too many open files")), ""),
    ],
)
def test_a_limit_of_the_system_is_no_crash(error: BaseException, words: str) -> None:
    failure = describe_failure(error)
    assert failure.failure_class == "transient"
    assert words in failure.suggestion


PLAN = ["experiment", "plan", "--systems", "di"]
UNEQUAL = ["--parameters", "lora_rank:8", "sft.steps:5,6", "learning_rate:1e-4,2e-4", "--zip", "lora_rank,sft.steps"]


@pytest.mark.parametrize(
    "design",
    [
        ["--design", "fractional", "--configurations", "4"],
        ["--design", "random", "--configurations", "3"],
        ["--design", "sobol", "--configurations", "4"],
        ["--design", "one_at_a_time"],
    ],
    ids=lambda words: words[1],
)
def test_unequal_zipped_lists_are_refused_in_every_design_as_in_the_full_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], design: list[str]
) -> None:
    assert main([*PLAN, *UNEQUAL, *design, "--workspace", str(tmp_path)]) == 3
    refused = capsys.readouterr().err
    assert main([*PLAN, *UNEQUAL, "--workspace", str(tmp_path)]) == 3
    if design[1] in {"fractional", "sobol", "random"}:
        assert refused == capsys.readouterr().err
    assert refused.count("\n") == 1


WITHOUT = """
import sys

class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Bare())
from setpoint.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
TRAINING = {"accelerate", "datasets", "peft", "torch", "transformers", "trl", "safetensors", "tokenizers"}


@pytest.mark.parametrize(
    ("line", "names", "extra"),
    [
        ("evaluate --base-model builtin:tiny --system di", TRAINING, "train"),
        ("evaluate --base-model builtin:tiny --system pendulum --num-test-cases 1", TRAINING, "train"),
        ("base build --output new", TRAINING, "train"),
    ],
)
def test_a_bare_install_names_the_extra(tmp_path: Path, line: str, names: set[str], extra: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", WITHOUT.format(names=names), *line.split()],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        timeout=120,
    )
    assert done.returncode == 3, done.stderr
    assert f"setpoint[{extra}]" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("module", ["psutil", "json", "setpoint"])
def test_a_module_in_the_submit_folder_is_not_imported_by_a_job(tmp_path: Path, module: str) -> None:
    """Jobs start in the folder from which they were submitted."""
    folder = tmp_path / "submitted from here"
    folder.mkdir()
    (folder / f"{module}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
    cluster = Cluster(Profile(), Resources())
    from setpoint.artifacts import Workspace

    site = cluster.site(Workspace(tmp_path / "w"), "sweep")
    batch = Batch("a", site.folder, "sft", ("s0",), Resources())
    variables = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["bash", "-c", script_text(site, batch)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=variables,
        check=False,
        timeout=120,
    )
    assert "no experiment" in done.stderr, done.stderr
    assert isinstance(site, Site)
    assert not (tmp_path / "imported").exists()
