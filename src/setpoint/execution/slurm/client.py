"""The SLURM commands, each with a time limit, and what their refusals mean.

A command that does not answer says nothing about any job: that is `Unavailable`, and never a state.
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
    cut_off,
    queue,
)

_BUSY = (
    *("unable to contact slurm", "socket timed out", "connection refused", "zero bytes were transmitted"),
    *("temporarily unable", "try again", "communication connection failure", "unable to connect", "unable to confirm"),
    *("problem talking to the database", "protocol authentication error", "connection reset", "connection timed out"),
    *("could not establish a configuration source", "no dns srv record"),
)
_LIMIT = ("submit limit", "submitjob", "maxjobcount", "max_job", "maxsubmit", "accounting/qos policy", "job count")
_NAMED_LIMIT = re.compile(r"\b(?:Assoc|QOS|Part)\w+Limit\b")
"""SLURM's name of the limit that is exceeded; the sentence that follows is the same for too many and too large jobs."""
_AT_ONCE = 200
"""Job ids in one command line."""
_SCRUBBED = re.compile(r"SLURM_(?!CONF$|CLUSTERS$)|SBATCH_(?!(ACCOUNT|PARTITION|QOS|CONSTRAINT|RESERVATION)$)")


class Unavailable(SetpointError):
    """SLURM did not answer. Whatever was asked is as unknown as before."""


class SubmitLimit(SetpointError):
    """SLURM takes no further job of this user now."""


class Refused(InputError):
    """SLURM will not take a request as it is; the message has SLURM's own words."""


@dataclass(frozen=True, slots=True)
class ClusterLimits:
    """What the cluster allows; a guess that fits most clusters where it did not say.

    Attributes:
        max_array_size: the largest array index is one below.
        min_job_age_s: how long a job that has ended can still be asked for.
    """

    max_array_size: int = 1001
    min_job_age_s: int = 300
    accounting: bool = True
    submit_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """The nodes of one partition that are alike."""

    partition: str
    time_min: int | None
    cpus: int
    mem_mb: int
    gres: str


class Client:
    """Runs SLURM's commands."""

    def __init__(self, timeout_s: float = 20.0) -> None:
        """Give every command `timeout_s` seconds."""
        self._timeout_s = timeout_s

    def require(self) -> None:
        """Make sure that there is a SLURM here.

        Raises:
            InputError: its commands are not installed.
        """
        if shutil.which("sbatch") is None:
            raise InputError(
                "there is no `sbatch` on this machine. Give the command on a login node of the cluster (or load its "
                "SLURM module), or generate the scripts here without submitting them."
            )

    def require_answer(self) -> None:
        """Make sure that SLURM answers.

        Raises:
            InputError: it does not.
        """
        try:
            _ = self.limits
        except Unavailable as error:
            raise InputError(
                f"SLURM does not answer ({error}). Nothing was started; give the command again where `sinfo` works."
            ) from error

    def submit(self, script: Path, options: Iterable[str] = ()) -> str:
        """Hand in a script; the job's id.

        Raises:
            Refused: SLURM's reason, in its own words.
            SubmitLimit: not now.
            Unavailable: no answer; the job may have been taken all the same.
        """
        self.require()
        done = self._call("sbatch", "--parsable", *options, "--", str(script))
        if done.returncode:
            raise _refusal(done.stderr)
        return done.stdout.strip().splitlines()[-1].partition(";")[0]

    def queue(self, jobs: Sequence[str], *, ended: bool = True) -> dict[str, QueueEntry]:
        """Job or task -> what the controller knows of these jobs (arrays by their one id).

        Args:
            ended: whether those that ended are of interest too, until the controller forgets them.

        Raises:
            Unavailable: no answer.
        """
        found: dict[str, QueueEntry] = {}
        for some in _chunks(jobs):
            found |= queue(self._squeue("--jobs", ",".join(some), *(["--states=all"] if ended else [])))
        return found

    def find(self, names: Sequence[str]) -> dict[str, str]:
        """Job name -> id of the job or array, of those that the controller still knows.

        Raises:
            Unavailable: no answer.
        """
        found: dict[str, str] = {}
        for some in _chunks(names):
            for job, seen in queue(self._squeue("--name", ",".join(some), "--states=all")).items():
                found[seen.name] = job.partition("_")[0]
        return found

    def accounting(self, jobs: Sequence[str]) -> list[QueueEntry]:
        """What the accounting data base knows of jobs: the last state of each, with its steps' want of memory.

        Raises:
            Unavailable: it does not answer, or there is none.
        """
        found: list[QueueEntry] = []
        for some in _chunks(jobs):
            done = self._call("sacct", "-D", "-n", "-P", "-j", ",".join(some), "-o", ",".join(ACCOUNTING_FIELDS))
            if done.returncode:
                raise Unavailable(_words(done.stderr))
            found += accounting(done.stdout)
        return found

    def control(self, job: str) -> list[QueueEntry]:
        """What `scontrol` tells about one job or array.

        Raises:
            Unavailable: no answer.
        """
        done = self._call("scontrol", "-d", "-o", "show", "job", job)
        if done.returncode and "invalid job id" not in done.stderr.lower():
            raise Unavailable(_words(done.stderr))
        return control(done.stdout)

    def cancel(self, jobs: Sequence[str]) -> None:
        """End jobs; those that have ended are left alone.

        Raises:
            Unavailable: no answer.
        """
        for some in _chunks(jobs):
            done = self._call("scancel", *some)
            if done.returncode and "invalid job id" not in done.stderr.lower():
                raise Unavailable(_words(done.stderr))

    def nodes(self) -> list[Node]:
        """The kinds of nodes, by partition.

        Raises:
            Unavailable: no answer.
        """
        from setpoint.execution.slurm.resources import minutes

        done = self._call("sinfo", "-h", "-e", "-o", "%R|%l|%c|%m|%G")
        if done.returncode:
            raise Unavailable(_words(done.stderr))
        rows = [line.split("|") for line in done.stdout.splitlines() if line.count("|") == 4]
        return [Node(row[0], minutes(row[1]), _number(row[2]), _number(row[3]), row[4]) for row in rows]

    @cached_property
    def limits(self) -> ClusterLimits:
        """What the cluster allows.

        Raises:
            Unavailable: no answer.
        """
        done = self._call("scontrol", "show", "config")
        if done.returncode:
            raise Unavailable(_words(done.stderr))
        config = {
            name.strip(): value.strip() for name, _, value in (line.partition("=") for line in done.stdout.splitlines())
        }
        usual = ClusterLimits()
        accounting = "slurmdbd" in config.get("AccountingStorageType", "slurmdbd")
        return ClusterLimits(
            max_array_size=_number(config.get("MaxArraySize", ""), usual.max_array_size),
            min_job_age_s=_number(config.get("MinJobAge", ""), usual.min_job_age_s),
            accounting=accounting,
            submit_limit=self._submit_limit() if accounting else None,
        )

    def _submit_limit(self) -> int | None:
        """The least of the user's limits on jobs in the queue; None where accounting is silent."""
        try:
            done = self._call(
                *("sacctmgr", "-n", "-P", "show", "assoc", f"user={_user()}"),
                "format=MaxSubmitJobs,GrpSubmitJobs",
                timeout_s=5.0,
            )
        except SetpointError:
            return None
        found = [int(number) for number in re.findall(r"\d+", done.stdout)] if done.returncode == 0 else []
        return min(found, default=None)

    def _squeue(self, *which: str) -> str:
        done = self._call("squeue", "-h", "-o", QUEUE_FORMAT, *which)
        if cut_off(done.stdout):
            done = self._call("squeue", "-h", "-r", "-o", QUEUE_FORMAT, *which)
        if done.returncode and "invalid job id" not in done.stderr.lower():
            raise Unavailable(_words(done.stderr))
        return done.stdout

    def _call(self, *words: str, timeout_s: float | None = None) -> "subprocess.CompletedProcess[str]":
        limit_s = timeout_s or self._timeout_s
        try:
            return subprocess.run(
                words,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit_s,
                check=False,
                stdin=subprocess.DEVNULL,
                env=_environment(os.environ),
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{words[0]} did not answer within {limit_s:g} s") from error
        except OSError as error:
            raise Unavailable(f"{words[0]} cannot be run ({error.strerror})") from error


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Without what a surrounding job would pass on to the jobs that it submits, and with lists of tasks in full.

    Whose account it goes on, and where it runs, holds as for a plain `sbatch`.
    """
    kept = {name: value for name, value in variables.items() if _SCRUBBED.match(name) is None}
    return kept | {"LC_ALL": "C", "SLURM_BITSTR_LEN": "0"}


def _refusal(stderr: str) -> SetpointError:
    words = _words(stderr)
    lower = words.lower()
    if any(sign in lower for sign in _BUSY):
        return Unavailable(words)
    too_large = any("Submit" not in name for name in _NAMED_LIMIT.findall(words))
    if not too_large and any(sign in lower for sign in _LIMIT):
        return SubmitLimit(words)
    return Refused(words)


def _words(stderr: str) -> str:
    lines = [re.sub(r"^\w+: (error: )?", "", line).strip() for line in stderr.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines))) or "no reason given"


def _number(text: str, otherwise: int = 0) -> int:
    match = re.match(r"\d+", text)
    return int(match[0]) if match else otherwise


def _chunks(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))


def _user() -> str:
    import getpass

    return getpass.getuser()
