"""What following an array of 1,000 no-op stages costs the client, against plain `sbatch` of the same script.

Plain means: `sbatch`, then `squeue` every two seconds until it is empty, then one `sacct` (or `scontrol`) for the end
of every task. Needs a SLURM; `tests/slurm/cluster/up.sh` makes one.
"""

import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from setpoint.execution.slurm import Batch, Client, Profile, Resources, SlurmExecutor, write_batch
from setpoint.execution.slurm.executor import ResourceRequest
from setpoint.execution.slurm.script import Site
from setpoint.execution.task import Task

STAGES = 1000
LIMIT = 1.5
POLL_S = 2.0

# A node's whole command line: publish an empty stage, as one that trains publishes its adapter.
NO_OP = """#!/bin/bash
while [ $# -gt 1 ]; do case $1 in --stage) stage=$2 ;; --workspace) workspace=$2 ;; esac; shift; done
mkdir -p "$workspace/stages/sft/$stage" && echo '{"files": {}}' >"$workspace/stages/sft/$stage/manifest.json"
"""


def cpu_s() -> float:
    """CPU seconds of this process and of every command that it ran."""
    both = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def names(prefix: str) -> list[str]:
    return [f"{prefix}{number:04d}" for number in range(STAGES)]


def site(root: Path) -> Site:
    command = root / "noop.sh"
    command.write_text(NO_OP)
    command.chmod(0o755)
    return Site(root, "bench", Profile(), (str(command),))


def plain(root: Path) -> None:
    """By hand: the script that the other way submits as well."""
    here = site(root)
    batch = Batch("plain", here.folder / "plain", "sft", tuple(names("a")), Resources(mem_mb=50, time_min=5))
    write_batch(here, batch)
    submitted = ["sbatch", "--parsable", str(batch.script)]
    job = subprocess.run(submitted, capture_output=True, text=True, check=True).stdout.strip()
    while True:
        time.sleep(POLL_S)
        queue = ["squeue", "-h", "-r", "-j", job, "-o", "%i %T"]
        left = subprocess.run(queue, capture_output=True, text=True, check=False)
        answered = left.returncode == 0 or "Invalid job id" in left.stderr  # a busy controller may not answer
        if answered and not left.stdout.strip():
            break
    ends = subprocess.run(["scontrol", "-o", "show", "job", job], capture_output=True, text=True, check=True).stdout
    assert set(re.findall("JobState=([A-Z]+)", ends)) == {"COMPLETED"}  # the first may be forgotten by now
    assert len(list(root.glob("stages/sft/*/manifest.json"))) == STAGES


def ours(root: Path) -> None:
    """Through the executor: submission, tracking, and the outcome of every stage."""
    here = site(root)
    executor = SlurmExecutor(Client(), here, ResourceRequest(Resources(mem_mb=50, time_min=5)), poll_s=POLL_S)
    tasks = [Task(root, "sft", name, "none:none", {}, 0, {}) for name in names("b")]
    jobs = [executor.submit(task) for task in tasks]
    while jobs:
        jobs = [job for at, job in enumerate(jobs) if job.wait(executor.poll_s if at == 0 else 0) is None]
    assert len(list(root.glob("stages/sft/*/manifest.json"))) == STAGES


def main() -> int:
    if shutil.which("sbatch") is None or subprocess.run(["sinfo"], capture_output=True, check=False).returncode:
        print("skipped: there is no SLURM here; see tests/slurm/cluster/up.sh")
        return 0
    measured: dict[str, list[tuple[float, float]]] = {"plain": [], "ours": []}
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
        for name, run in (("plain", plain), ("ours", ours)):
            with tempfile.TemporaryDirectory() as folder:
                started_s, started_cpu_s = time.monotonic(), cpu_s()
                run(Path(folder))
                measured[name].append((time.monotonic() - started_s, cpu_s() - started_cpu_s))
    best = {name: [min(each) for each in zip(*found, strict=True)] for name, found in measured.items()}
    ratios = {what: best["ours"][at] / best["plain"][at] for at, what in enumerate(("wall", "cpu"))}
    print(json.dumps({"stages": STAGES, "measured_wall_cpu_s": measured, "ratios": ratios}, indent=2))
    return 0 if max(ratios.values()) <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
