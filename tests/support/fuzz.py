"""Give the command line damaged files and odd arguments, and see that it refuses them in words: `make fuzz`.

Every input is a file of a real run with one mutation, or a list of arguments. A command must end in time with one of
its exit codes, without a traceback, control characters or endless messages, and touch nothing outside the workspace.
"""

import argparse
import contextlib
import faulthandler
import io
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from setpoint.artifacts.leftovers import _TEMPORARY
from setpoint.cli.main import main as setpoint
from setpoint.policies import base_report, builtin_path, examination
from support.damage import TEXTS, damage_file

HANG_S = 20
LONGEST_LINE = 500
EXIT_CODES = {0, 2, 3, 4, 5}
CHECK_EVERY = 25
RUN = (
    "experiment", "run", "--systems", "di", "--dataset-name", "small", "--lora-ranks", "2,4", "--training-type", "both",
    "--set", "sft.steps=2", "grpo.steps=3", "grpo.batch_size=16", "grpo.num_generations=8", "--evaluation-cases", "2",
    "--experiment-id", "base", "--quiet",
)  # fmt: skip
ODD = (
    "", "-1", "0", "1e999", "nan", "1e-4", "2..1", "a" * 300, "x\x1b[31mred", "two\nlines", "\u202etxt",
    "../../outside",
    "/dev/zero", "/etc/passwd", "~nobody1/x", "ä€", "a,b", "a:1,2", ":", "=", "--", "9" * 400, "\ud800", "{}", "null",
)  # fmt: skip
SPEC = """type: hyperparameter_sweep
systems: [double_integrator]
dataset_name: small
parameters:
  lora_rank: [4, 8]
  learning_rate: [1e-4, 2e-4]
fixed: {sft.steps: 5}
training_types: [both]
replicates: 2
evaluation_cases: 5
metrics: [final_error, control_cost]
seed: 3
"""
PROFILE = """partition: cpu
account: me
resources: cpu:2,mem:4GB,time:1:00:00
"""
YAML_BITS = (
    ": ", "[", "]", "{", "}", "- ", "&a ", "*a", "!!int ", "!!binary ", "? ", "|\n", ">-\n", "#", "'", '"', "\t",
    "\0", "...\n", "---\n", "<<: *a\n", "1:2:3", "010", "0x1F", "1e400", ".nan", "no", "~", "\u2028", "\ufeff",
    "\x1b[2J", "9" * 5000, "[" * 99,
)  # fmt: skip


class Hang(BaseException):
    """A command takes longer than `HANG_S`."""


class Ended(BaseException):
    """This process was told to end, which says nothing about the command that runs."""


@dataclass
class Findings:
    """What went wrong: kind -> place -> an input that shows it."""

    found: dict[str, dict[str, str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, place: str, example: str) -> None:
        """Count a fault, and keep the first example of its place."""
        self.counts[kind] += 1
        self.found.setdefault(kind, {}).setdefault(place, example)

    def text(self) -> str:
        """Every kind with its places."""
        lines = []
        for kind, places in sorted(self.found.items()):
            lines.append(f"{kind}: {self.counts[kind]} in {len(places)} places")
            lines += [f"  {place}\n    {example[:600]}" for place, example in places.items()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Place:
    """The workspace of a real run, between files that nobody may touch."""

    root: Path

    @property
    def work(self) -> Path:
        """The workspace."""
        return self.root / "work"

    @property
    def base(self) -> Path:
        """A copy of the built-in base."""
        return self.root / "base"

    def one(self, pattern: str, rng: random.Random) -> Path:
        """One of the files of the workspace that match."""
        return rng.choice(sorted(self.work.glob(pattern)))


def make_place(root: Path) -> Place:
    """Make a workspace by a real run in a process of its own."""
    place = Place(root)
    generate = ("data", "generate", "--systems", "di", "--dataset-name", "small", "--total-samples", "20")
    for words in (generate, RUN):
        command = [sys.executable, "-P", "-m", "setpoint", *words, "--workspace", str(place.work)]
        subprocess.run(command, check=True, capture_output=True)
    shutil.copytree(builtin_path(), place.base)
    (root / "outside").mkdir()
    (root / "outside" / "precious").write_text("precious")
    return place


Words = list[str]
Case = tuple[str, Words]
"""A description of an input, and the command to be given it."""


@contextlib.contextmanager
def changed(path: Path, change: Callable[[Path], object]) -> Iterator[None]:
    """Change a file, and put it back afterwards."""
    before = path.read_bytes()
    try:
        change(path)
        yield
    finally:
        if path.is_symlink() or path.exists():
            path.unlink()
        path.write_bytes(before)


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Content cut off, or with some bytes replaced, removed, repeated or added."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 10))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.randrange(1, 40)]
            case 2:
                data[at:at] = data[at : at + 30] * rng.randrange(1, 5)
            case 3:
                data[at:at] = rng.choice(TEXTS)[:200]
            case 4:
                del data[at:]
    return bytes(data)


def mutate_text(text: str, rng: random.Random, bits: Sequence[str]) -> str:
    """Text with some of `bits` put into it, or with a line moved."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(bits) + text[at + rng.choice((0, 0, 1, 5)) :]
    lines = text.split("\n")
    if rng.random() < 0.2:
        rng.shuffle(lines)
    return "\n".join(lines)


def damage(path: Path, rng: random.Random) -> None:
    """Damage a JSON file: one value, or some bytes."""
    if rng.random() < 0.7:
        damage_file(path, rng)
    elif rng.random() < 0.5:
        path.write_bytes(rng.choice(TEXTS))
    else:
        path.write_bytes(mutate_bytes(path.read_bytes(), rng))


def write(path: Path, text: str) -> None:
    """Write text that UTF-8 may not be able to encode."""
    path.write_bytes(text.encode(errors="surrogatepass"))


@contextlib.contextmanager
def specification(place: Place, rng: random.Random) -> Iterator[Case]:
    """A specification or a cluster profile."""
    path = place.work / "input.yaml"
    text, words = rng.choice(
        [
            (SPEC, ["experiment", "plan", "--spec", str(path)]),
            (PROFILE, ["experiment", "run", "--systems", "di", "--on", "slurm", "--dry-run", "--profile", str(path)]),
        ]
    )
    text = mutate_text(text, rng, (*YAML_BITS, *ODD))
    write(path, text)
    yield text, words
    path.unlink()


@contextlib.contextmanager
def dataset(place: Place, rng: random.Random) -> Iterator[Case]:
    """A dataset with a damaged manifest or file."""
    path = place.one("datasets/small/*", rng)
    words = rng.choice(
        [
            ["data", "list"],
            ["data", "show", "small"],
            ["experiment", "plan", "--systems", "di", "--dataset-name", "small", "--lora-ranks", "2,3"],
            ["evaluate", "--controller", "lqr", "--system", "di", "--eval-dataset", "small", "--quiet"],
        ]
    )
    change = damage if path.suffix == ".json" else damage_bytes
    with changed(path, lambda each: change(each, rng)):
        yield f"{path.name}: {path.read_bytes()[:300]!r}", words


def damage_bytes(path: Path, rng: random.Random) -> None:
    """Damage a binary file."""
    path.write_bytes(mutate_bytes(path.read_bytes(), rng))


@contextlib.contextmanager
def base(place: Place, rng: random.Random) -> Iterator[Case]:
    """A base model with one damaged file."""
    path = rng.choice(sorted(p for p in place.base.iterdir() if p.name != "recipe.json"))
    if path.suffix == ".json":
        change = damage
    elif path.suffix == ".jinja":
        change = damage_template
    else:
        change = damage_bytes
    words = ["experiment", "plan", "--systems", "di", "--base-model", str(place.base), "--lora-ranks", "2,3"]
    with changed(path, lambda each: change(each, rng)):
        yield f"{path.name}: {path.read_bytes()[:300]!r}", words


def damage_template(path: Path, rng: random.Random) -> None:
    """Damage a chat template."""
    bits = (
        "{%",
        "%}",
        "{{",
        "}}",
        "{% if x %}",
        "{{ raise_exception('no') }}",
        "{{ 1/0 }}",
        "|tojson",
        "{{ x.y.z }}",
        *ODD,
    )
    write(path, mutate_text(path.read_text(), rng, bits))


@contextlib.contextmanager
def adapter(place: Place, rng: random.Random) -> Iterator[Case]:
    """A trained adapter, copied out of its stage or in it, with one damaged file."""
    path = place.one("stages/sft/*/adapter/*", rng)
    change = damage if path.suffix == ".json" else damage_bytes
    words = [
        "evaluate",
        "--model-path",
        str(path.parent),
        "--num-test-cases",
        "1",
        "--test-type",
        "standard",
        "--quiet",
    ]
    manifest = path.parents[1] / "manifest.json"
    hide = rng.random() < 0.6  # without its manifest an adapter is judged by its own files
    with changed(path, lambda each: change(each, rng)), changed(manifest, Path.unlink if hide else Path.touch):
        yield f"{path.name}: {path.read_bytes()[:300]!r}", words


RECORDS = (
    "experiments/base/plan.json", "experiments/base/state.json", "experiments/base/estimate.json",
    "experiments/base/journal/*.jsonl", "experiments/base/leases/*.json", "stages/*/*/manifest.json",
    "stages/*/*/config.json", "stages/*/*/attempts/*/claim.json", "stages/*/*/attempts/*/resources.json",
    "stages/*/*/attempts/*/metrics.jsonl", "stages/*/*/*.parquet",
)  # fmt: skip


@contextlib.contextmanager
def record(place: Place, rng: random.Random) -> Iterator[Case]:
    """A damaged record of an experiment or a stage."""
    path = place.one(rng.choice(RECORDS), rng)
    words = rng.choice(
        [
            ["experiment", "list"],
            ["experiment", "status", "base"],
            ["experiment", "status", "base", "--check"],
            ["experiment", "recover", "base", "--dry-run"],
            ["report", "base", "--no-figures"],
            ["report", "base", "--no-figures", "--json"],
            ["models", "list", "--detailed"],
            ["slurm", "status", "base"],
            ["experiment", "confirm", "base", "--dry-run"],
        ]
    )
    change = damage if path.suffix == ".json" else damage_bytes
    with changed(path, lambda each: change(each, rng)):
        yield f"{path.relative_to(place.work)}: {path.read_bytes()[:300]!r}", words


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("experiment", "plan", "--systems", "--parameters", "--lora-ranks", "--learning-rates", "--batch-sizes",
     "--replicates", "--design", "--configurations", "--zip", "--only-when", "--fixed", "--set", "--metrics",
     "--training-types", "--dataset-name", "--experiment-id", "--experiment-type", "--evaluation-cases", "--json"),
    ("evaluate", "--controller", "--system", "--initial-state", "--suite", "--num-test-cases", "--mpc-horizon"),
    ("data", "list", "--json"),
    ("data", "show", "--system", "--split", "--rows"),
    ("models", "list", "--detailed", "--format"),
    ("report", "--format", "--no-figures"),
    ("analyze", "--response", "--factors", "--block", "--scale", "--alpha"),
    ("systems", "--json"),
    ("experiment", "status", "--check"),
    ("base", "show", "--json"),
)  # fmt: skip
USUAL = (
    "di", "double_integrator", "vdp", "lora_rank:4,8", "4,8", "1e-4,2e-4", "lora_rank,sft.steps", "small", "base",
    "lqr",
    "final_error", "both", "3", "1", "0.5", "fractional", "sobol", "log", "train", "json", "sft.steps=5", "nominal",
)  # fmt: skip


@contextlib.contextmanager
def arguments(place: Place, rng: random.Random) -> Iterator[Case]:
    """A list of arguments."""
    command = rng.choice(COMMANDS)
    verbs = [word for word in command if not word.startswith("-")]
    names = [word for word in command if word.startswith("-")]
    words = list(verbs)
    for name in rng.sample(names, rng.randrange(min(6, len(names)) + 1)):
        words += [name, *rng.choices((*USUAL, *USUAL, *ODD), k=rng.choice((0, 1, 1, 1, 2)))]
    if rng.random() < 0.3:
        words.insert(rng.randrange(len(words) + 1), rng.choice((*USUAL, *ODD)))
    yield repr(words), words


@contextlib.contextmanager
def table(place: Place, rng: random.Random) -> Iterator[Case]:
    """A table of results."""
    path = place.work / "input.csv"
    rows = [
        f"{a},{b},{s},{rng.gauss(1, 0.2):.4f}"
        for a in (4, 8, 16)
        for b in ("x", "y")
        for s in range(rng.randrange(1, 4))
    ]
    bits = (",", ";", "\n", '"', "1e999", "-0", "nan", "1_5", "1,5", "8.0", "", "\0", *ODD)
    text = mutate_text("\n".join(["a,b,seed,y", *rows]) + "\n", rng, bits)
    write(path, text)
    more = rng.choice(
        [[], ["--block", "seed"], ["--scale", "linear"], ["--json"], ["--adaptive"], ["--larger-is-better"]]
    )
    yield text, ["analyze", str(path), "--response", "y", "--factors", rng.choice(["a", "a,b", "b", "a,b,seed"]), *more]
    path.unlink()


AREAS = {
    "specifications": specification, "datasets": dataset, "bases": base, "adapters": adapter, "records": record,
    "arguments": arguments, "tables": table,
}  # fmt: skip
SHARES = {
    "specifications": 5, "datasets": 2, "bases": 2, "adapters": 1, "records": 5, "arguments": 6, "tables": 3,
}  # fmt: skip


def with_place(words: Words, place: Place) -> Words:
    """The command with its workspace, where it takes one."""
    takes = words[0] in {"experiment", "evaluate", "data", "models", "report", "slurm"} and "--workspace" not in words
    return [*words, "--workspace", str(place.work)] if takes else words


def run(words: Words, findings: Findings, example: str) -> None:
    """Give `words` to the command line in this process, and judge what comes out."""
    out, err = io.StringIO(), io.StringIO()
    signal.signal(signal.SIGALRM, _hang)
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    faulthandler.dump_traceback_later(3 * HANG_S, exit=True, file=sys.__stderr__)
    code: object = None
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = setpoint(words)
    except SystemExit as error:
        code = error.code
    except Ended:
        raise
    except Hang:
        findings.add("hang", " ".join(words[:2]), example)
        return
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        ours = [f for f in traceback.extract_tb(error.__traceback__) if "/setpoint/" in f.filename] or [last]
        findings.add(
            "traceback", f"{type(error).__name__} at {ours[-1].filename}:{ours[-1].lineno}: {str(error)[:200]}", example
        )
        return
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
    judge(code, out.getvalue(), err.getvalue(), findings, words, example)


def judge(code: object, out: str, err: str, findings: Findings, words: Words, example: str) -> None:
    """Judge the exit code and the texts of a command."""
    verb = " ".join(words[:2])
    if code not in EXIT_CODES:
        findings.add("exit code", f"{code} of {verb}", example)
    if "Traceback" in err:
        findings.add("traceback", err.strip().rpartition("\n")[2][:200], example)
    raw = sorted({c for c in out + err if not c.isprintable() and c not in "\n\t\xa0\u202f"})
    if raw:
        findings.add("control characters", f"{raw[:3]!r} of {verb}", example)
    long = max(map(len, err.splitlines()), default=0)
    if long > LONGEST_LINE:
        findings.add("long message", f"{verb}: {max(err.splitlines(), key=len)[:200]}", example)


def _end(_number: int, _frame: object) -> None:
    raise Ended


def _hang(_number: int, _frame: object) -> None:
    raise Hang


def snapshot(place: Place) -> dict[str, tuple[int, int]]:
    """Everything around the workspace, with sizes and times of change."""
    around = [p for top in place.root.iterdir() if top != place.work for p in (top, *top.rglob("*"))]
    return {str(p): (p.lstat().st_size, p.lstat().st_mtime_ns) for p in around if place.base not in (p.parent, p)}


def half_written(place: Place) -> list[str]:
    """Temporary files that a command left."""
    return [str(path) for path in place.work.rglob(".*") if _TEMPORARY.fullmatch(path.name)]


def fuzz(
    place: Place, inputs: int, seconds: float, seed: int, areas: Sequence[str] = tuple(SHARES)
) -> tuple[int, Counter[str], Findings]:
    """Try inputs of some areas until there were so many, or for so long."""
    rng, findings, tried = random.Random(seed), Findings(), Counter[str]()
    before, end = snapshot(place), time.monotonic() + seconds
    # A process for each of thousands of bases would take hours; the watchdog of this one ends a hanging template.
    base_report._examined = lambda location, _digest, chats: examination.examine(location, json.loads(chats))
    while tried.total() < inputs and time.monotonic() < end:
        area = rng.choices(areas, [SHARES[each] for each in areas])[0]
        try:
            with AREAS[area](place, rng) as (example, words):
                run(with_place(words, place), findings, f"{words} {example!r}")
        except Ended:
            break
        tried[area] += 1
        if tried.total() % CHECK_EVERY == 0:
            if snapshot(place) != before:
                findings.add("touched outside", area, str(set(snapshot(place).items()) ^ set(before.items())))
                before = snapshot(place)
            for path in half_written(place):
                findings.add("half-written", path, area)
    return tried.total(), tried, findings


def main(words: Sequence[str] | None = None) -> int:
    """Print what was found; 1 where there is anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--place", type=Path, help="keep the workspace here, or use one made earlier")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        root = given.place or Path(folder)
        place = Place(root) if (root / "work").exists() else make_place(root)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # commands leave handlers of others alone
            signal.signal(number, _end)
        total, tried, findings = fuzz(place, given.inputs, given.seconds, given.seed)
    print(f"{total} inputs: {', '.join(f'{number} {area}' for area, number in sorted(tried.items()))}")
    print(findings.text() or "no faults")
    return int(bool(findings.found))


if __name__ == "__main__":
    sys.exit(main())
