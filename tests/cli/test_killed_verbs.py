"""Commands beside `run` that are killed at random: nothing is lost, left behind or changed, and the next one ends."""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from setpoint.artifacts.leftovers import _TEMPORARY
from support.command_line import command as cheap_command
from support.synthetic_experiment import Synthetic

pytestmark = pytest.mark.slow

KILLS = 5
"""Kills of every command, each at another moment of its usual time."""
SET_UP = ["experiment", "run", "--systems", "di", "--dataset-name", "small", "--lora-ranks", "4,8", "--experiment-id"]
GENERATE = ["data", "generate", "--systems", "di", "--total-samples", "16", "--workers", "1", "--dataset-name"]


@dataclass(frozen=True)
class Verb:
    """A command, what it finds, and whether its stages and base are stand-ins."""

    words: tuple[str, ...]
    prepare: Callable[[Path], None]
    cheap: bool = True


def command(root: Path, words: tuple[str, ...] | list[str], *, cheap: bool) -> tuple[list[str], dict[str, str]]:
    if cheap:
        return cheap_command(root, *words)
    return [sys.executable, "-P", "-m", "setpoint", *words], {**os.environ, "SETPOINT_WORKSPACE": str(root)}


def run(root: Path, words: tuple[str, ...] | list[str], *, cheap: bool) -> None:
    line, environment = command(root, words, cheap=cheap)
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr


def nothing(_root: Path) -> None:
    pass


def finished_experiment(root: Path) -> None:
    run(root, [*GENERATE, "small"], cheap=False)
    run(root, [*SET_UP, "e"], cheap=True)


def failed_experiment(root: Path) -> None:
    finished_experiment(root)
    stage = min(root.glob("stages/sft/*"))
    (stage / "manifest.json").unlink()
    failure = {"schema": 1, "failure_class": "crash", "message": "injected", "suggestion": "", "evidence": {}}
    (max(stage.glob("attempts/*")) / "failure.json").write_text(json.dumps(failure))


def synthetic(root: Path) -> None:
    Synthetic(root, experiment="e", factors={"lora_rank": (4, 8)}, replicates=2, cases=2).write()


VERBS = {
    "data generate": Verb((*GENERATE, "k"), nothing, cheap=False),
    "report": Verb(("report", "e", "--no-figures"), synthetic, cheap=False),
    "retry": Verb(("experiment", "retry", "e"), failed_experiment),
}
VARYING = re.compile(r"attempts/|journal/|leases/|\.jsonl$|/state\.json$|estimate\.json$|html$|ledger|manifest\.json$")
"""Files with times, process ids and costs."""


def results(root: Path) -> dict[str, str]:
    """Path -> digest of every file whose content is determined, and -> target of every link."""
    found: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file() and not VARYING.search(name):
            text = re.sub(rb"(?m)^(\*\*)?Date:.*$", b"", path.read_bytes()).replace(os.fsencode(root), b"ROOT")
            found[name] = hashlib.sha256(text).hexdigest()
    return found


@pytest.mark.parametrize("name", VERBS)
def test_a_command_that_is_killed_again_and_again_ends_with_the_same_files(tmp_path: Path, name: str) -> None:
    verb, rng = VERBS[name], random.Random(name)
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    killed.mkdir()
    verb.prepare(killed)
    before = results(killed)
    shutil.copytree(killed, quiet, symlinks=True)
    began_s = time.monotonic()
    run(quiet, verb.words, cheap=verb.cheap)
    usual_s = time.monotonic() - began_s
    line, environment = command(killed, verb.words, cheap=verb.cheap)
    for number in range(KILLS):
        process = subprocess.Popen(
            line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(usual_s * (number + rng.random()) / KILLS)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    run(killed, verb.words, cheap=verb.cheap)
    found, expected = results(killed), results(quiet)
    counters = {
        "lost": len(expected.keys() - found.keys()) + len(before.keys() - found.keys()),
        "left behind": len(found.keys() - expected.keys())
        + sum(_TEMPORARY.fullmatch(path.name) is not None for path in killed.rglob(".*")),
        "changed": sum(found[path] != expected[path] for path in found.keys() & expected.keys()),
    }
    differing = sorted(path for path in found.keys() | expected.keys() if found.get(path) != expected.get(path))
    print(f"{name}: {KILLS} kills within {usual_s:.1f} s, {json.dumps(counters)}")
    assert counters == dict.fromkeys(counters, 0), differing
