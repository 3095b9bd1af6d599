"""Marks: files that a script leaves in the workspace when it starts and when it ends, one folder per stage.

They name the stage and the job, so they hold where a job id or a script's list of stages no longer does.
"""

from dataclasses import dataclass
from pathlib import Path

from setpoint.artifacts import Fields, is_file_name, is_identifier, read_json
from setpoint.errors import InputError
from setpoint.execution.slurm.script import utc_seconds


@dataclass(frozen=True, slots=True)
class StartMark:
    """Start of a job for a stage.

    Attributes:
        script: name of the script.
        job: job id, such as `12_3`.
        restart: how often SLURM had restarted the job.
        at_s: when, in s since 1970, by the clock of the node.
    """

    script: str
    job: str
    restart: int
    node: str
    at_s: float


def read_starts(folder: Path) -> dict[str, list[StartMark]]:
    """Return stage -> its start marks, from the folder of all marks."""
    try:
        stages = sorted(path.name for path in folder.iterdir() if is_identifier(path.name))
    except OSError:
        return {}
    return {stage: starts(folder / stage) for stage in stages}


def starts(folder: Path, job: str = "*") -> list[StartMark]:
    """Return the start marks in the folder of one stage, of one job or of all."""
    marks = (_start(path) for path in folder.glob(f"{job}-*.start.json"))
    return [mark for mark in marks if mark is not None]


def exit_code(folder: Path, mark: StartMark) -> int | None:
    """Return the exit code in the end mark that belongs to a start mark; None while there is none."""
    path = folder / f"{mark.job}-{mark.restart}.end.json"
    try:
        return Fields(read_json(path), path).whole("exit_code")
    except InputError:
        return None


def _start(path: Path) -> StartMark | None:
    try:
        fields = Fields(read_json(path), path)
        mark = StartMark(
            fields.text("script"),
            fields.text("job"),
            fields.whole("restart"),
            fields.text("node", ""),
            utc_seconds(fields.text("at", "")),
        )
    except InputError:
        return None
    return mark if is_file_name(mark.job) and path.name == f"{mark.job}-{mark.restart}.start.json" else None
