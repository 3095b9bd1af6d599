"""Run SLURM commands with a time limit, and classify their errors.

A command that does not answer reveals nothing about a job: it raises `Unavailable` and never counts as a job state.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from setpoint.errors import InputError, SetpointError
from setpoint.execution.slurm.parsing import (
    ACCOUNTING_FIELDS,
    QUEUE_FORMAT,
    QueueEntry,
    accounting,
    control,
    is_truncated,
    queue,
    submitted_id,
)

_BUSY = (
    *("unable to contact slurm", "socket timed out", "connection refused", "zero bytes were transmitted"),
    *("temporarily unable", "try again", "communication connection failure", "unable to connect", "unable to confirm"),
    *("problem talking to the database", "protocol authentication error", "connection reset", "connection timed out"),
    *("could not establish a configuration source", "no dns srv record"),
)
_LIMIT = ("submit limit", "submitjob", "maxjobcount", "max_job", "maxsubmit", "accounting/qos policy", "job count")
_NAMED_LIMIT = re.compile(r"\b(?:Assoc|QOS|Part)\w+Limit\b")
"""SLURM's name of the exceeded limit; the rest of its message does not distinguish too many from too large jobs."""
_IDS_PER_CALL = 200
"""Job ids per command line."""
# Variables that sbatch would pass from a surrounding job to the submitted one; see "INPUT ENVIRONMENT" in sbatch(1).
# Likewise those that filter or reformat what the other commands print, or that limit what `scancel` cancels.
KEPT_VARIABLES = (
    *("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT"),
    *(f"SBATCH_{name}" for name in ("ACCOUNT", "PARTITION", "QOS", "CONSTRAINT", "RESERVATION")),
)
SCRUBBED_PREFIXES = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_", "SINFO_", "SACCTMGR_")


class Unavailable(SetpointError):
    """SLURM did not answer, so the state of the request is unknown."""


class SubmitLimit(SetpointError):
    """SLURM currently accepts no further jobs from this user."""


class Refused(InputError):
    """SLURM rejected a request; the message quotes SLURM's reason."""


@dataclass(frozen=True, slots=True)
class ClusterLimits:
    """Limits of the cluster; the defaults are those of most clusters, used if the cluster reports none.

    Attributes:
        max_array_size: SLURM's MaxArraySize; the largest array index is one below.
        min_job_age_s: SLURM's MinJobAge: how long the controller remembers a finished job, in s.
        accounting: whether the cluster has an accounting database.
        submit_limit: most jobs that the user may have in the queue; None if unlimited or unknown.
    """

    max_array_size: int = 1001
    min_job_age_s: int = 300
    accounting: bool = True
    submit_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A group of identical nodes of one partition."""

    partition: str
    time_min: int | None
    cpus: int
    mem_mb: int
    gres: str


class Client:
    """Runs SLURM commands."""

    def __init__(self, timeout_s: float = 20.0) -> None:
        """Limit every command to `timeout_s` seconds."""
        self._timeout_s = timeout_s

    def require(self) -> None:
        """Check that the SLURM commands are installed.

        Raises:
            InputError: they are not.
        """
        if shutil.which("sbatch") is None:
            raise InputError(
                "there is no `sbatch` on this machine. Run the command on a login node of the cluster (or load its "
                "SLURM module), or generate the scripts here without submitting them."
            )

    def require_answer(self) -> None:
        """Check that SLURM answers.

        Raises:
            InputError: it does not.
        """
        try:
            _ = self.limits
        except Unavailable as error:
            raise InputError(
                f"SLURM does not answer ({error}). Nothing was started; repeat the command when `sinfo` works."
            ) from error

    def submit(self, script: Path, options: Iterable[str] = (), *, name: str) -> str:
        """Submit a script and return the job id.

        Args:
            name: name of the job, to find it if `sbatch` prints no id.

        Raises:
            Refused: SLURM rejected the script; the message quotes its reason.
            SubmitLimit: a submit limit is reached for now.
            Unavailable: no answer; the job may have been accepted nevertheless.
        """
        self.require()
        done = self._call("sbatch", "--parsable", *options, "--", str(script), utc=False)
        if done.returncode:
            raise _refusal(done.stderr)
        job = submitted_id(done.stdout)
        if job is not None:
            return job
        found = self.find([name])
        if not found:
            raise Unavailable(f"sbatch printed no job id, and there is no job {name!r}")
        return max(found, key=lambda entry: entry.submitted_s).array

    def queue(self, jobs: Sequence[str], *, ended: bool = True) -> dict[str, QueueEntry]:
        """Return job or task -> queue entry for these jobs; an array is given by its id.

        Args:
            ended: whether to include finished jobs that the controller still remembers.

        Raises:
            Unavailable: no answer.
        """
        found: dict[str, QueueEntry] = {}
        for chunk in _chunks(jobs):
            found |= queue(self._squeue("--jobs", ",".join(chunk), *(["--states=all"] if ended else [])))
        return found

    def find(self, names: Sequence[str], *, ended: bool = True) -> list[QueueEntry]:
        """Return the user's jobs of these names that the controller still remembers.

        Args:
            ended: whether to include finished ones.

        Raises:
            Unavailable: no answer.
        """
        states = ["--states=all"] if ended else []
        found: list[QueueEntry] = []
        for chunk in _chunks(names):
            listed = self._squeue("--name", ",".join(chunk), "--user", str(os.getuid()), *states)
            found += queue(listed).values()
        wanted, users = set(names), {user_name(), str(os.getuid())}
        return [entry for entry in found if entry.name in wanted and entry.user in users]

    def accounting(self, jobs: Sequence[str]) -> list[QueueEntry]:
        """Return the last state of each job in the accounting database, with out-of-memory events of its steps.

        Raises:
            Unavailable: the database does not answer or does not exist.
        """
        found: list[QueueEntry] = []
        for chunk in _chunks(jobs):
            done = self._call("sacct", "-D", "-n", "-P", "-j", ",".join(chunk), "-o", ",".join(ACCOUNTING_FIELDS))
            if done.returncode:
                raise Unavailable(_reason(done.stderr))
            found += accounting(done.stdout)
        return found

    def control(self, job: str) -> list[QueueEntry]:
        """Return the entries that `scontrol show job` lists for one job or array.

        Raises:
            Unavailable: no answer.
        """
        done = self._call("scontrol", "-d", "-o", "show", "job", job)
        if done.returncode and "invalid job id" not in done.stderr.lower():
            raise Unavailable(_reason(done.stderr))
        return control(done.stdout)

    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel jobs; finished jobs are ignored.

        Raises:
            Unavailable: no answer.
        """
        for chunk in _chunks(jobs):
            done = self._call("scancel", *chunk)
            if done.returncode and "invalid job id" not in done.stderr.lower():
                raise Unavailable(_reason(done.stderr))

    def nodes(self) -> list[Node]:
        """Return the groups of identical nodes, by partition.

        Raises:
            Unavailable: no answer.
        """
        from setpoint.execution.slurm.resources import minutes

        done = self._call("sinfo", "-h", "-e", "-o", "%R|%l|%c|%m|%G")
        if done.returncode:
            raise Unavailable(_reason(done.stderr))
        rows = [line.split("|") for line in done.stdout.splitlines() if line.count("|") == 4]
        return [Node(row[0], minutes(row[1]), _number(row[2]), _number(row[3]), row[4]) for row in rows]

    @cached_property
    def limits(self) -> ClusterLimits:
        """Limits of the cluster.

        Raises:
            Unavailable: no answer.
        """
        done = self._call("scontrol", "show", "config")
        if done.returncode:
            raise Unavailable(_reason(done.stderr))
        config = {
            name.strip(): value.strip() for name, _, value in (line.partition("=") for line in done.stdout.splitlines())
        }
        default = ClusterLimits()
        accounting = "slurmdbd" in config.get("AccountingStorageType", "slurmdbd")
        return ClusterLimits(
            max_array_size=_number(config.get("MaxArraySize", ""), default.max_array_size),
            min_job_age_s=_number(config.get("MinJobAge", ""), default.min_job_age_s),
            accounting=accounting,
            submit_limit=self._submit_limit() if accounting else None,
        )

    def _submit_limit(self) -> int | None:
        """Return the smallest of the user's limits on jobs in the queue; None if accounting reports none."""
        try:
            done = self._call(
                *("sacctmgr", "-n", "-P", "show", "assoc", f"user={user_name()}"),
                "format=MaxSubmitJobs,GrpSubmitJobs",
                timeout_s=5.0,
            )
        except SetpointError:
            return None
        rows = [row for row in done.stdout.splitlines() if re.fullmatch(r"\d*\|\d*", row) is not None]
        return min((int(number) for row in rows for number in row.split("|") if number), default=None)

    def _squeue(self, *which: str) -> str:
        done = self._call("squeue", "-h", "-o", QUEUE_FORMAT, *which)
        if is_truncated(done.stdout):  # list every task on a line of its own instead
            done = self._call("squeue", "-h", "-r", "-o", QUEUE_FORMAT, *which)
        if done.returncode and "invalid job id" not in done.stderr.lower():
            raise Unavailable(_reason(done.stderr))
        return done.stdout

    def _call(
        self, *command: str, timeout_s: float | None = None, utc: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        limit_s = timeout_s or self._timeout_s
        try:
            return subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit_s,
                check=False,
                stdin=subprocess.DEVNULL,
                env=_environment(os.environ) | ({"TZ": "UTC"} if utc else {}),
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{command[0]} did not answer within {limit_s:g} s") from error
        except OSError as error:
            raise Unavailable(f"cannot run {command[0]} ({error.strerror})") from error


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return `variables` without those of a surrounding job, and with untruncated task lists (SLURM_BITSTR_LEN=0).

    SBATCH_ variables for account, partition, QOS, constraint and reservation are kept, as for a plain `sbatch`.
    """
    kept = {
        name: value
        for name, value in variables.items()
        if name in KEPT_VARIABLES or not name.startswith(SCRUBBED_PREFIXES)
    }
    return kept | {"LC_ALL": "C", "SLURM_BITSTR_LEN": "0"}


def user_name() -> str:
    """Return the login name of this process's user, as SLURM shows it."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _refusal(stderr: str) -> SetpointError:
    reason = _reason(stderr)
    lower = reason.lower()
    if any(sign in lower for sign in _BUSY):
        return Unavailable(reason)
    # Limits on submissions (AssocMaxSubmitJobLimit, ...) pass with time; all others reject the job itself.
    too_large = any("Submit" not in name for name in _NAMED_LIMIT.findall(reason))
    if not too_large and any(sign in lower for sign in _LIMIT):
        return SubmitLimit(reason)
    return Refused(reason)


def _reason(stderr: str) -> str:
    lines = [re.sub(r"^\w+: (error: )?", "", line).strip() for line in stderr.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines))) or "no reason given"


def _number(text: str, default: int = 0) -> int:
    match = re.match(r"\d+", text)
    return int(match[0]) if match else default


def _chunks(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[start : start + _IDS_PER_CALL] for start in range(0, len(items), _IDS_PER_CALL))
