"""Batch scripts that a person can read, change and submit: one array of stages of one kind in each.

<name>.sbatch   the script
<name>.json     its stages, in the order of the array, and what they wait for
<name>.jobs     the ids under which it was submitted, a line each
logs/           what SLURM and the script print; what a stage prints is in the folder of its attempt
"""

import re
import shlex
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
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
from setpoint.execution.slurm.profile import Profile
from setpoint.execution.slurm.resources import Resources

MARKS = "marks"
LOGS = "logs"
LinkKind = Literal["aftercorr", "afterok", "afterany"]


@dataclass(frozen=True, slots=True)
class Link:
    """What a batch waits for: task by task (`aftercorr`), for the success of all, or for the end of all."""

    kind: LinkKind
    batch: str


@dataclass(frozen=True, slots=True)
class Site:
    """Where the jobs of an experiment run.

    Attributes:
        command: the words that start this package's command line on a node.
    """

    workspace: Path
    experiment: str
    profile: Profile
    command: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Everything about the experiment's jobs."""
        return self.workspace.absolute() / "experiments" / self.experiment / "slurm"


@dataclass(frozen=True, slots=True)
class Batch:
    """One script: an array of stages.

    Attributes:
        folder: where the script lies.
        comments: stage id -> a word on it, for the reader of the script.
        gpu: whether the stages may use a GPU; it decides on the partition.
        exclude: nodes that are not to be used.
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

    @property
    def script(self) -> Path:
        """The file for `sbatch`."""
        return self.folder / f"{self.name}.sbatch"

    @property
    def jobs_file(self) -> Path:
        """The ids under which it was submitted."""
        return self.folder / f"{self.name}.jobs"

    def jobs(self) -> list[str]:
        """The ids under which it was submitted, oldest first."""
        return read_jobs(self.jobs_file)


def read_jobs(path: Path) -> list[str]:
    """The job ids in a `.jobs` file; none where it is missing."""
    try:
        return [word for word in path.read_text(encoding="utf-8").split() if word.isdecimal()]
    except OSError:
        return []


def add_job(batch: Batch, job: str) -> None:
    """Note that `batch` was submitted as `job`."""
    with batch.jobs_file.open("a", encoding="utf-8") as stream:
        stream.write(f"{job}\n")


def write_batch(site: Site, batch: Batch) -> None:
    """Write the script and its list of stages; the list is there first, so that no job is without one."""
    (batch.folder / LOGS).mkdir(parents=True, exist_ok=True)
    described = {
        "schema": 1,
        "name": batch.name,
        "kind": batch.kind,
        "stages": list(batch.stages),
        "after": [asdict(link) for link in batch.after],
        "resources": asdict(batch.resources),
    }
    write_json(batch.folder / f"{batch.name}.json", described)
    write_text(batch.script, script_text(site, batch))
    batch.script.chmod(0o755)


def read_batches(folder: Path, *, but: Collection[Path] = ()) -> Iterator[tuple[Path, Batch]]:
    """Every batch below an experiment's `slurm` folder by the path of its list, without damaged and `but` known ones.

    Whether the stages use a GPU is not in a list.
    """
    for path in sorted(folder.glob("*/*.json")):
        if path not in but:
            try:
                yield path, read_batch(path)
            except DamagedError:
                continue


def read_batch(path: Path) -> Batch:
    """The batch whose list of stages is at `path`.

    Raises:
        DamagedError: it is not what was written.
    """
    fields = Fields(read_json(path), path)
    resources = fields.inner("resources")
    batch = Batch(
        name=fields.text("name"),
        folder=path.parent,
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
        raise DamagedError(f"{str(path)!r} is damaged: it has a name that it cannot have.")
    return batch


def _link(fields: Fields) -> Link:
    name = fields.text("batch")
    for kind in get_args(LinkKind):
        if fields.text("kind") == kind and is_file_name(name):
            return Link(kind, name)
    raise fields.wrong("kind", f"one of {', '.join(get_args(LinkKind))} with the name of a batch")


def script_text(site: Site, batch: Batch) -> str:
    """The text of a batch script. Nothing that a user named reaches the shell without quotes."""
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
            f"# {_count(batch)} of experiment {_one_line(site.experiment)}, one task of the array each.",
            "# A stage that is finished is not computed again, so that this may be submitted as often as you like.",
            "",
            f"stages=(\n{stages}\n)",
            f"workspace={shlex.quote(str(site.workspace.absolute()))}",
            f"marks={shlex.quote(str(site.folder / MARKS))}",
            f"setpoint=({shlex.join(site.command)})",
            f"most_requeues={site.profile.most_requeues}",
            *_own_log(batch),
            "",
            *(f"export {_name(name)}={shlex.quote(value)}" for name, value in _exports(site).items()),
            *_activation(site.profile),
            "",
            _BODY.replace("@EXPERIMENT@", shlex.quote(site.experiment)).replace("@SAVED@", str(EXIT_SAVED)),
        ]
    )


def array_options(site: Site, batch: Batch) -> Iterator[tuple[str, str]]:
    """Every option of a batch, by its long name."""
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
    yield "signal", f"B:USR1@{min(profile.signal_s, 30 * batch.resources.time_min)}"  # half the time at most
    if batch.after:
        yield "kill-on-invalid-dep", "yes"
    allocation = profile.allocation(gpu=batch.gpu)
    exclude = [*batch.exclude, *filter(None, [allocation.pop("exclude", "")])]
    if exclude:
        yield "exclude", ",".join(exclude)
    yield from allocation.items()


def submit_text(site: Site, batches: Iterable[Batch], collect: Path, recorder: Path | None) -> str:
    """A shell script that hands in every batch, in order and with its dependencies.

    Args:
        collect: the script that runs when everything has ended.
        recorder: a script that keeps what `scontrol` says of a batch, where there is no accounting.
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
    return _SUBMIT.replace("@EXPERIMENT@", _one_line(site.experiment)).replace("@LINES@", "\n".join(lines))


def plain_text(site: Site, name: str, log: Path, body: str, options: dict[str, str]) -> str:
    """A script of one short job without stages."""
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
    """`parts` as one word that means the same to SLURM, shells and file systems."""
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
    """A file name pattern of SLURM. A path that no pattern can express goes nowhere; the script opens its own log."""
    return str(path.parent).replace("%", "%%") + f"/{path.name}" if _expressible(path) else "/dev/null"


def _expressible(path: Path) -> bool:
    return not set(str(path)) & set("\\\n\r")


def _own_log(batch: Batch) -> list[str]:
    folder = batch.folder / LOGS
    if _expressible(folder):
        return []
    log = f"{shlex.quote(str(folder))}/{batch.name}-${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}.log"
    return [f"mkdir -p {shlex.quote(str(folder))} && exec >>{log} 2>&1"]


def _exports(site: Site) -> dict[str, str]:
    """Variables of every job. Nodes may have no way out; what comes from a hub was fetched before."""
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
    """`text` without what would end a line, or could not be seen."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _name(text: str) -> str:
    """An option's or a variable's name, which cannot be quoted."""
    return re.sub(r"[^A-Za-z0-9_-]", "", text)


_BODY = r"""stage=${stages[${SLURM_ARRAY_TASK_ID:?"hand this in with sbatch"}]}
if [ -z "$stage" ]; then
    echo "there is no stage number $SLURM_ARRAY_TASK_ID" >&2
    exit 2
fi
job=${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}
restart=${SLURM_RESTART_COUNT:-0}
worker=''
warned=''
interrupted=''

mark() { # start|end, exit code: a file that is there in full or not at all
    local TZ=UTC folder=$marks/$stage name=$job-$restart.$1.json
    mkdir -p -- "$folder" &&
        printf '{"schema": 1, "job": "%s", "restart": %d, "node": "%s", "at": "%(%FT%TZ)T", "exit_code": %s}\n' \
            "$job" "$restart" "${SLURMD_NODENAME:-}" -1 "$2" >"$folder/.$name" &&
        mv -f -- "$folder/.$name" "$folder/$name"
}
pass_on() { # the time limit is near (USR1), or the job is to make room (TERM): the stage saves its state
    interrupted=1
    [ -z "$worker" ] || kill -s "$1" "$worker" 2>/dev/null
}
trap 'mark end $?' EXIT
trap 'warned=1; pass_on USR1' USR1
trap 'pass_on TERM' TERM
mark start null

if ! command -v "${setpoint[0]}" >/dev/null; then
    echo "${setpoint[0]} is not there on ${SLURMD_NODENAME:-this node}: look at the activation above" >&2
    exit 127
fi
"${setpoint[@]}" stage run --experiment @EXPERIMENT@ --stage "$stage" --workspace "$workspace" &
worker=$!
[ -z "$warned" ] || pass_on USR1
code=0
while
    interrupted=''
    wait "$worker"
    code=$?
    [ -n "$interrupted" ]
do :; done

# @SAVED@: the stage saved its state; 138: USR1 came before it could listen
if [[ -n $warned && $code =~ ^(@SAVED@|138)$ && $restart -lt $most_requeues ]]; then
    mark end "$code"
    echo "the time limit is near; going back to the queue with what is saved"
    timeout 60 scontrol requeue "$job" && sleep 300 # until SLURM ends this
fi
exit "$code"
"""

_SUBMIT = r"""#!/bin/bash
# Hands in all stages of experiment @EXPERIMENT@. Nothing else needs to run afterwards: SLURM keeps the order, and
# the last job writes the report. To see how it goes: setpoint slurm status @EXPERIMENT@
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
mkdir -p logs

jobs=()
submit() { # name of a script, options of sbatch; leaves the job's id in $job
    local name=$1
    shift
    job=$(sbatch --parsable "$@" "$name.sbatch") || withdraw "$name"
    job=${job%%;*}
    jobs+=("$job")
    echo "$job" >>"$name.jobs"
    echo "$name: job $job" >&2
}
withdraw() { # half an experiment is of no use in the queue
    echo "$1 was not taken; taking back ${jobs[*]:-nothing}" >&2
    [ ${#jobs[@]} -eq 0 ] || scancel "${jobs[@]}"
    exit 1
}

@LINES@
"""
