"""Readable, editable batch scripts; each is one job array of stages of one kind.

<name>.sbatch   the script
<name>.json     its stages in array order, and their dependencies
<name>.jobs     its submissions, one per line: the job id and the time
logs/           output of SLURM and the script; the output of a stage is in the folder of its attempt
"""

import hashlib
import os
import re
import shlex
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from setpoint.artifacts import (
    DamagedError,
    Fields,
    is_file_name,
    is_identifier,
    read_json,
    write_json,
    write_text,
)
from setpoint.execution.attempt import EXIT_SAVED
from setpoint.execution.machine import worker_variables
from setpoint.execution.slurm.client import KEPT_VARIABLES
from setpoint.execution.slurm.profile import Profile
from setpoint.execution.slurm.resources import Resources
from setpoint.regular_files import read_end

MARKS = "marks"
LOGS = "logs"
_SUBMISSION = re.compile(r"([0-9]{1,18})(?: (\S+))?")
_MOST_SCRIPT = 4_000_000
LinkKind = Literal["aftercorr", "afterok", "afterany"]
_LINK_KINDS: tuple[LinkKind, ...] = get_args(LinkKind)


@dataclass(frozen=True, slots=True)
class Link:
    """Dependency on a batch: task by task (`aftercorr`), on success of all tasks, or on their end."""

    kind: LinkKind
    batch: str


@dataclass(frozen=True, slots=True)
class Site:
    """Where the jobs of an experiment run.

    Attributes:
        command: command line that runs `setpoint` on a node, as a list of arguments.
    """

    workspace: Path
    experiment: str
    profile: Profile
    command: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Folder of the experiment's SLURM files."""
        return self.workspace.absolute() / "experiments" / self.experiment / "slurm"

    @property
    def token(self) -> str:
        """Part of every job name: it differs between workspaces, so that equal experiment ids do not meet."""
        return hashlib.blake2b(os.fsencode(self.workspace.resolve()), digest_size=4).hexdigest()


@dataclass(frozen=True, slots=True)
class Batch:
    """One script: an array of stages.

    Attributes:
        folder: folder of the script.
        gpu: whether the stages may use a GPU; determines the partition.
        after: dependencies on other batches.
        exclude: nodes to avoid.
        comments: stage id -> comment on the stage in the script.
        home: the folder for which the script was written; another one if the workspace was copied or moved since.
    """

    name: str
    folder: Path
    kind: str
    stages: tuple[str, ...]
    resources: Resources
    gpu: bool = True
    after: tuple[Link, ...] = ()
    exclude: tuple[str, ...] = ()
    comments: dict[str, str] = field(default_factory=dict)
    home: Path = Path()

    @property
    def script(self) -> Path:
        """The script for `sbatch`."""
        return self.folder / f"{self.name}.sbatch"

    @property
    def jobs_file(self) -> Path:
        """The file with the job ids of its submissions."""
        return self.folder / f"{self.name}.jobs"


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission of a script.

    Attributes:
        job: id of the job or array.
        at_s: when, in s since 1970; 0 if unknown. Submissions are ordered by it: ids are reused.
    """

    job: str
    at_s: float


def read_jobs(path: Path) -> list[Submission]:
    """Return the submissions in a `.jobs` file, oldest first; empty if it is missing."""
    try:
        lines = read_end(path, 100_000).decode("ascii", "replace").splitlines()
    except OSError:
        return []
    found = [(match[1], match[2]) for line in lines if (match := _SUBMISSION.fullmatch(line)) is not None]
    return [Submission(job, utc_seconds(at or "")) for job, at in found]


def add_job(jobs_file: Path, job: str) -> None:
    """Record in a `.jobs` file that its script was submitted as `job`."""
    with jobs_file.open("a", encoding="utf-8") as stream:
        stream.write(f"{job} {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}\n")


def utc_seconds(text: str) -> float:
    """Return a time such as `2026-01-31T12:00:00Z` in s since 1970; 0 if it is none."""
    try:
        return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


def write_batch(site: Site, batch: Batch) -> None:
    """Write the list of stages, then the script, so that every script has a list."""
    (batch.folder / LOGS).mkdir(parents=True, exist_ok=True)
    described = {
        "schema": 1,
        "name": batch.name,
        "folder": str(batch.home),
        "kind": batch.kind,
        "stages": list(batch.stages),
        "after": [asdict(link) for link in batch.after],
        "resources": asdict(batch.resources),
    }
    write_json(batch.folder / f"{batch.name}.json", described)
    write_text(batch.script, script_text(site, batch))
    batch.script.chmod(0o755)


def read_batches(folder: Path, *, skip: Collection[Path] = ()) -> Iterator[tuple[Path, Batch]]:
    """Yield (path of the list, batch) for each batch in an experiment's `slurm` folder, except damaged ones and `skip`.

    The batches of a copied workspace belong to the original, with their jobs. The stages are those of the script, which
    may have been edited. The lists do not record whether the stages use a GPU.
    """
    for path in sorted(folder.glob("*/*.json")):
        if path in skip:
            continue
        try:
            batch = read_batch(path)
        except DamagedError:
            continue
        if batch.home == path.parent or not batch.home.exists() or batch.home.samefile(path.parent):
            yield path, replace(batch, stages=_stages_in(batch.script) or batch.stages)


def _stages_in(script: Path) -> tuple[str, ...]:
    """Return the stages in the array `stages` of a script; empty if there is none."""
    try:
        lines = read_end(script, _MOST_SCRIPT).decode("utf-8", "replace").splitlines()
        block = lines[lines.index("stages=(") + 1 :]
        names = [line.partition("#")[0].strip() for line in block[: block.index(")")]]
    except (OSError, ValueError):
        return ()
    found = tuple(filter(None, names))
    return found if all(map(is_identifier, found)) else ()


def read_batch(path: Path) -> Batch:
    """Read the batch whose list of stages is at `path`.

    Raises:
        DamagedError: the file is damaged.
    """
    fields = Fields(read_json(path), path)
    resources = fields.inner("resources")
    batch = Batch(
        name=fields.text("name"),
        folder=path.parent,
        home=Path(fields.text("folder")),
        kind=fields.text("kind"),
        stages=fields.texts("stages"),
        resources=Resources(
            gpus=resources.whole("gpus"),
            gpu_type=resources.text("gpu_type"),
            mem_mb=resources.whole("mem_mb"),
            time_min=resources.whole("time_min"),
            cpus=resources.whole("cpus"),
        ),
        after=tuple(_link(link) for link in fields.inners("after")),
    )
    if batch.name != path.stem or not all(map(is_identifier, (batch.kind, *batch.stages))):
        raise DamagedError(f"{str(path)!r} is damaged: it contains an invalid name.")
    return batch


def _link(fields: Fields) -> Link:
    name = fields.text("batch")
    if not is_file_name(name):
        raise fields.wrong("batch", "the name of a batch")
    return Link(fields.one_of("kind", _LINK_KINDS), name)


def script_text(site: Site, batch: Batch) -> str:
    """Return the batch script, with all user-supplied text quoted for the shell."""
    width = max(map(len, batch.stages))
    stages = "\n".join(
        f"    {name:<{width}}  # {index}{_comment(batch.comments.get(name, ''))}"
        for index, name in enumerate(batch.stages)
    )
    return "\n".join(
        [
            "#!/bin/bash",
            *_directives(site, batch),
            "",
            f"# {_count(batch)} of experiment {_one_line(site.experiment)}, one array task each.",
            "# Finished stages are skipped, so this script can be submitted repeatedly.",
            "",
            f"stages=(\n{stages}\n)",
            f"workspace={shlex.quote(str(site.workspace.absolute()))}",
            f"marks={shlex.quote(str(site.folder / MARKS))}",
            f"script={shlex.quote(batch.name)}",
            f"setpoint=({shlex.join(site.command)})",
            f"most_requeues={site.profile.most_requeues}",
            *_fallback_log(batch),
            "",
            *(f"export {_name(name)}={shlex.quote(value)}" for name, value in _exports(site).items()),
            *_activation(site.profile),
            "",
            _BODY.replace("@EXPERIMENT@", shlex.quote(site.experiment)).replace("@SAVED@", str(EXIT_SAVED)),
        ]
    )


def array_options(site: Site, batch: Batch) -> Iterator[tuple[str, str]]:
    """Yield all `sbatch` options of a batch, by long name."""
    profile = site.profile
    throttle = f"%{profile.at_once}" if profile.at_once else ""
    yield "job-name", batch.name
    yield "array", f"0-{len(batch.stages) - 1}{throttle}"
    yield "output", _pattern(batch.folder / LOGS / "%x-%A_%a.log")
    yield "open-mode", "append"
    yield from batch.resources.options()
    if profile.requeue:
        yield "requeue", ""
    else:
        yield "no-requeue", ""
    yield "signal", f"B:USR1@{min(profile.signal_s, 30 * batch.resources.time_min)}"  # at most half the time limit
    if batch.after:
        yield "kill-on-invalid-dep", "yes"
    allocation = profile.allocation(gpu=batch.gpu)
    exclude = [*batch.exclude, *filter(None, [allocation.pop("exclude", "")])]
    if exclude:
        yield "exclude", ",".join(exclude)
    yield from allocation.items()


def submit_text(site: Site, batches: Iterable[Batch], collect: Path, recorder: Path | None) -> str:
    """Return a shell script that submits all batches, in order and with their dependencies.

    Args:
        collect: the script that runs after all batches have ended.
        recorder: the script that saves the `scontrol` output of a batch, on clusters without accounting.
    """
    batches = list(batches)
    variable = {batch.name: f"job_{number}" for number, batch in enumerate(batches)}
    lines = []
    for batch in batches:
        after = ",".join(f"{link.kind}:${{{variable[link.batch]}}}" for link in batch.after)
        options = f' --dependency="{after}"' if after else ""
        lines += [f"submit {shlex.quote(batch.name)}{options}", f"{variable[batch.name]}=$job"]
        if recorder is not None:
            of = f"${{{variable[batch.name]}}}"
            lines.append(f'submit {recorder.stem} --dependency="afterany:{of}" --export="ALL,recorded={of}"')
    ends = ":".join(f"${{{name}}}" for name in variable.values())
    lines.append(f'submit {collect.stem} --dependency="afterany:{ends}"')
    text = _SUBMIT.replace("@EXPERIMENT@", _one_line(site.experiment)).replace("@KEPT@", " | ".join(KEPT_VARIABLES))
    return text.replace("@LINES@", "\n".join(lines))


def plain_text(site: Site, name: str, log: Path, body: str, options: dict[str, str]) -> str:
    """Return the script of a short job without stages."""
    described = {
        "job-name": name,
        "output": _pattern(log),
        "open-mode": "append",
        **dict(Resources(mem_mb=2048, time_min=60).options()),
        **site.profile.allocation(gpu=False),
        **options,
    }
    lines = ["#!/bin/bash", *map(_directive, described, described.values()), ""]
    lines += [f"export {_name(variable)}={shlex.quote(value)}" for variable, value in _exports(site).items()]
    return "\n".join([*lines, *_activation(site.profile), "", body, ""])


def job_name(*parts: str) -> str:
    """Join `parts` into a name that is safe for SLURM, shells and file systems."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(parts)).strip("._-")[:180] or "setpoint"


def _directives(site: Site, batch: Batch) -> list[str]:
    return [_directive(name, value) for name, value in array_options(site, batch)]


def _directive(name: str, value: str) -> str:
    if not value:
        return f"#SBATCH --{_name(name)}"
    plain = re.fullmatch(r"[\w.,:%@/+=^\[\]-]+", value) is not None
    text = _one_line(value)
    quoted = text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"#SBATCH --{_name(name)}={quoted}"


def _pattern(path: Path) -> str:
    """Return `path` as a SLURM file name pattern, or /dev/null if it has none: the script then opens its own log."""
    return str(path.parent).replace("%", "%%") + f"/{path.name}" if _expressible(path) else "/dev/null"


def _expressible(path: Path) -> bool:
    return not set(str(path)) & set("\\\n\r")


def _fallback_log(batch: Batch) -> list[str]:
    folder = batch.folder / LOGS
    if _expressible(folder):
        return []
    log = f"{shlex.quote(str(folder))}/{batch.name}-${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}.log"
    return [f"mkdir -p {shlex.quote(str(folder))} && exec >>{log} 2>&1"]


def _exports(site: Site) -> dict[str, str]:
    """Return the variables of every job. Nodes may be offline, so hub models are downloaded beforehand."""
    return worker_variables() | {"HF_HUB_OFFLINE": "1"} | site.profile.environment


def _activation(profile: Profile) -> list[str]:
    lines = [profile.setup.rstrip()] if profile.setup.strip() else []
    if profile.venv:
        lines.append(f"source {shlex.quote(str(Path(profile.venv).expanduser() / 'bin' / 'activate'))} || exit 127")
    if profile.conda:
        lines.append(f'eval "$(conda shell.bash hook)" && conda activate {shlex.quote(profile.conda)} || exit 127')
    return lines


def _count(batch: Batch) -> str:
    return f"{len(batch.stages)} {batch.kind} {'stage' if len(batch.stages) == 1 else 'stages'}"


def _comment(text: str) -> str:
    return f": {_one_line(text)}" if text else ""


def _one_line(text: str) -> str:
    """Replace line breaks and unprintable characters in `text`."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _name(text: str) -> str:
    """Strip characters that are invalid in option and variable names, which cannot be quoted."""
    return re.sub(r"[^A-Za-z0-9_-]", "", text)


_BODY = r"""stage=${stages[${SLURM_ARRAY_TASK_ID:?"submit this with sbatch"}]}
if [ -z "$stage" ]; then
    echo "there is no stage number $SLURM_ARRAY_TASK_ID" >&2
    exit 2
fi
job=${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}
restart=${SLURM_RESTART_COUNT:-0}
worker=''
warned=''
interrupted=''

mark() { # start|end, exit code: written to a temporary file and renamed, so it is never partial
    local TZ=UTC folder=$marks/$stage name=$job-$restart.$1.json
    mkdir -p -- "$folder" &&
        printf '{"schema": 1, "script": "%s", "job": "%s", "restart": %d, "node": "%s", "at": "%(%FT%TZ)T", ' \
            "$script" "$job" "$restart" "${SLURMD_NODENAME:-}" -1 >"$folder/.$name" &&
        printf '"exit_code": %s}\n' "$2" >>"$folder/.$name" &&
        mv -f -- "$folder/.$name" "$folder/$name"
}
forward() { # USR1: the time limit is near; TERM: preemption. The stage saves a checkpoint
    interrupted=1
    [ -z "$worker" ] || kill -s "$1" "$worker" 2>/dev/null
}
trap 'mark end $?' EXIT
trap 'warned=1; forward USR1' USR1
trap 'forward TERM' TERM
[ "$restart" != 0 ] || rm -f -- "$marks/$stage/$job"-*.json # of an earlier job: ids are reused
mark start null

if ! command -v "${setpoint[0]}" >/dev/null; then
    echo "${setpoint[0]} was not found on ${SLURMD_NODENAME:-this node}: check the environment activated above" >&2
    exit 127
fi
"${setpoint[@]}" stage run --experiment @EXPERIMENT@ --stage "$stage" --workspace "$workspace" &
worker=$!
[ -z "$warned" ] || forward USR1
code=0
while
    interrupted=''
    wait "$worker"
    code=$?
    [ -n "$interrupted" ]
do :; done

# @SAVED@: the stage saved a checkpoint; 138: USR1 arrived before its handler was installed
if [[ -n $warned && $code =~ ^(@SAVED@|138)$ && $restart -lt $most_requeues ]]; then
    mark end "$code"
    echo "the time limit is near; requeueing to continue from the checkpoint"
    timeout 60 scontrol requeue "$job" && sleep 300 # until SLURM ends this job
fi
exit "$code"
"""

_SUBMIT = r"""#!/bin/bash
# Submits all stages of experiment @EXPERIMENT@. No process has to keep running: SLURM enforces the order, and
# the last job writes the report. To monitor progress: setpoint slurm status @EXPERIMENT@
set -euo pipefail
for variable in "${!SLURM_@}" "${!SBATCH_@}" "${!SQUEUE_@}" "${!SCANCEL_@}"; do # of a surrounding job, or filters
    case $variable in @KEPT@) ;; *) unset "$variable" ;; esac
done
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
mkdir -p logs

jobs=()
submit() { # script name, sbatch options; stores the job id in $job
    local name=$1 printed
    shift
    printed=$(sbatch --parsable "$@" "$name.sbatch") || abort "$name"
    job=$(grep -xE '[0-9]+(;.*)?' <<<"$printed" | tail -n 1 | cut -d ';' -f 1) || job='' # among banners
    [ -n "$job" ] || job=$(named "$name")
    [ -n "$job" ] || abort "$name"
    jobs+=("$job")
    TZ=UTC printf '%s %(%FT%TZ)T\n' "$job" -1 >>"$name.jobs"
    echo "$name: job $job" >&2
}
named() { # id of the newest job of this script, for sbatch printed none
    local of
    of=$(sed -n 's/^#SBATCH --job-name=//p' "$1.sbatch" | tr -d '"')
    squeue -h -u "$(id -u)" -n "$of" -o '%V %F' | sort | tail -n 1 | cut -d ' ' -f 2 || true
}
abort() { # cancel the jobs submitted so far: an incomplete experiment is of no use in the queue
    echo "SLURM did not accept $1; cancelling jobs: ${jobs[*]:-none}" >&2
    [ ${#jobs[@]} -eq 0 ] || scancel "${jobs[@]}"
    exit 1
}

@LINES@
"""
