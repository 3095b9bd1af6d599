"""A real SLURM cluster on the loopback interface for tests, and a small experiment to run on it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stub import task_of

from setpoint.artifacts import StageFolder, Workspace
from setpoint.execution import Outcome, Task
from setpoint.execution.slurm import Client, Profile, Resources, SlurmExecutor
from setpoint.execution.slurm.executor import ResourceRequest
from setpoint.execution.slurm.script import Site
from setpoint.records.failure import read_failure

HERE = Path(__file__).parent
PACKAGES = ("slurmctld", "slurmd", "sbatch", "munged")
ACCOUNTING_PACKAGES = ("slurmdbd", "mariadbd")
STUB = (sys.executable, str(HERE / "stub.py"))


def missing(*, accounting: bool) -> str | None:
    """Why there can be no cluster here; None where there can."""
    if os.geteuid() != 0:
        return "a cluster on loopback needs root"
    wanted = PACKAGES + (ACCOUNTING_PACKAGES if accounting else ())
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    lacking = [name for name in wanted if shutil.which(name, path=path) is None]
    return f"not installed: {', '.join(lacking)}; {HERE}/cluster/up.sh installs them" if lacking else None


@dataclass
class Lab:
    """One cluster; its daemons are ended by their pids."""

    root: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def accounting(self) -> bool:
        return self.settings.get("DBD", "1") == "1"

    @property
    def cgroups(self) -> bool:
        return self.settings.get("CGROUP") != "0"

    @property
    def node(self) -> str:
        """The first of its nodes."""
        return f"{self.settings['NODE']}1"

    def up(self) -> None:
        """Start what is not running, and wait for all nodes; the cluster that SLURM's commands mean from now on."""
        self._run("up.sh")
        os.environ["SLURM_CONF"] = str(self.root / "etc" / "slurm.conf")

    @contextmanager
    def configured(self, **settings: str) -> Iterator[None]:
        """With other settings for a while."""
        self._run("up.sh", **settings)
        self.call("scontrol", "reconfigure")
        try:
            yield
        finally:
            self._run("up.sh")
            self.call("scontrol", "reconfigure")

    def down(self) -> None:
        self._run("down.sh", PURGE="1")

    def pid(self, daemon: str) -> int:
        return int((self.root / "run" / f"{daemon}.pid").read_text())

    def kill(self, daemon: str, number: int = signal.SIGKILL) -> None:
        """End one daemon, and wait until it is gone."""
        pid = self.pid(daemon)
        os.kill(pid, number)
        until(lambda: not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z", 20)
        (self.root / "run" / f"{daemon}.pid").unlink(missing_ok=True)

    def kill_node(self, node: str, *, workers: bool) -> None:
        """End a node's daemons, as a power cut does; without `workers` as on a node out of reach, whose jobs go on."""
        self.kill(f"slurmd-{node}")
        for step in self._step_daemons():
            jobs = [child for child in _descendants(step) if f"SLURMD_NODENAME={node}\0" in _environment(child)]
            if jobs:
                os.kill(step, signal.SIGKILL)
            for child in jobs if workers else []:
                os.kill(child, signal.SIGKILL)

    def _step_daemons(self) -> list[int]:
        pids = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
        return [pid for pid in pids if _name(pid) == "slurmstepd" and f"SLURM_CONF={self.root}/" in _environment(pid)]

    def call(self, *words: str) -> str:
        """The output of a SLURM command."""
        return subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout.strip()

    def queue(self, job: str) -> str:
        """What the controller still knows of a job; empty when it has forgotten it."""
        command = ["squeue", "-h", "--states=all", "-j", job]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0 or "Invalid job id" in done.stderr, done.stderr
        return done.stdout

    def _run(self, script: str, **more: str) -> None:
        environment = {**os.environ, "SLURM_LAB": str(self.root), **self.settings, **more}
        command = ["bash", str(HERE / "cluster" / script)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return ""


def _descendants(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def until(condition: Callable[[], object], timeout_s: float = 120.0) -> None:
    """Wait for a condition."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s"
        time.sleep(0.1)


@dataclass
class Experiment:
    """Stages that do what their configuration says, in a workspace of their own."""

    root: Path
    name: str = "faults"
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, stage: str, *, kind: str = "sft", needs: Mapping[str, str] | None = None, **config: Any) -> None:
        """Plan one more stage."""
        self.stages[stage] = {"kind": kind, "config": config, "needs": dict(needs or {}), "seed": 0}
        folder = self.root / "experiments" / self.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plan.json").write_text(json.dumps({"stages": self.stages}))

    def task(self, stage: str) -> Task:
        return task_of(self.root, self.name, stage)

    def folder(self, stage: str) -> StageFolder:
        return Workspace(self.root).stage(self.stages[stage]["kind"], stage)

    def failures(self, stage: str) -> list[str]:
        """The failure classes of its attempts."""
        failures = [read_failure(attempt.failure) for attempt in self.folder(stage).attempts()]
        return [failure.failure_class for failure in failures if failure is not None]

    def executor(
        self, resources: str = "mem:100MB,time:5", command: tuple[str, ...] = STUB, **profile: Any
    ) -> SlurmExecutor:
        """What hands its stages to the cluster, with the stand-in as the command line."""
        python_path = ":".join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        fields = {"environment": {"PYTHONPATH": python_path}, **profile}
        site = Site(self.root, self.name, Profile(**fields), command)
        return SlurmExecutor(
            Client(timeout_s=5),
            site,
            ResourceRequest(Resources.parse(resources)),
            poll_s=0.5,
            lost_after_s=5,
            grace_s=5,
        )

    def run(self, *stages: str, timeout_s: float = 240.0, **options: Any) -> dict[str, Outcome]:
        """Submit stages, and wait for the end of each."""
        return wait_for(self.executor(**options), [self.task(stage) for stage in stages], timeout_s)


def wait_for(executor: SlurmExecutor, tasks: list[Task], timeout_s: float = 240.0) -> dict[str, Outcome]:
    """Submit tasks as a coordinator does, and wait for the end of each."""
    jobs = {task.stage_id: executor.adopt(task) or executor.submit(task) for task in tasks}
    found: dict[str, Outcome] = {}
    deadline_s = time.monotonic() + timeout_s
    while len(found) < len(jobs):
        assert time.monotonic() < deadline_s, f"still open: {sorted(jobs.keys() - found.keys())}"
        for name, job in jobs.items():
            outcome = None if name in found else job.wait(0)
            if outcome is not None:
                found[name] = outcome
        time.sleep(0.1)
    return found


def show(**facts: object) -> None:
    """One line of the protocol: what happened, the final state, and what is done about it."""
    print("  " + "; ".join(f"{name}: {value}" for name, value in facts.items()))


@contextmanager
def frozen_path(*folders: str) -> Iterator[None]:
    """With only these folders in PATH."""
    before = os.environ["PATH"]
    os.environ["PATH"] = ":".join(folders)
    try:
        yield
    finally:
        os.environ["PATH"] = before
