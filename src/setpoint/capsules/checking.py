"""Unpack a capsule and check that its files belong together, before anything of it is used."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from setpoint.artifacts import Workspace
from setpoint.capsules.contents import CHECKSUMS, is_member, parse_checksums
from setpoint.errors import InputError, shown
from setpoint.experiments.planning.build import recorded_stage_id
from setpoint.fingerprint import file_digest
from setpoint.plain_text import one_line
from setpoint.records.plan import Plan, read_plan

MOST_FILES = 1_000_000
MOST_BYTES = 200_000_000_000
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a capsule that is not as it should be: where, and what."""

    place: str
    text: str

    def __str__(self) -> str:
        """Return place and text on one line."""
        return one_line(f"{self.place}: {self.text}")


def unpack(capsule: Path, folder: Path) -> list[Finding]:
    """Unpack into the empty `folder`, and return the files that differ from the list of checksums.

    Raises:
        InputError: it is no zip file, is too large, or holds a name that no capsule has; nothing outside `folder` is
            ever written.
    """
    try:
        with zipfile.ZipFile(capsule) as archive:
            members = archive.infolist()
            _require_safe(members)
            unreadable = [finding for member in members if (finding := _extracted(archive, member, folder))]
    except zipfile.BadZipFile as error:
        raise InputError(f"{str(capsule)!r} is no capsule ({error}). Make one with `setpoint capsule`.") from error
    names = [member.filename for member in members]
    return [*unreadable, *_wrong_checksums(folder, names, {finding.place for finding in unreadable})]


def _require_safe(members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    wrong = next((name for name in names if not is_member(name)), None)
    if wrong is not None:
        raise InputError(f"a capsule has no file {shown(wrong)}. Do not use this file.")
    if len(set(names)) < len(names) or len(names) > MOST_FILES or sum(m.file_size for m in members) > MOST_BYTES:
        raise InputError("the file is no capsule: it repeats names, or is too large. Do not use it.")


def _extracted(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> Finding | None:
    """Write one member as a regular file; a link in the archive becomes a file that holds its text."""
    target = folder.joinpath(*PurePosixPath(member.filename).parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    left = member.file_size
    try:
        with archive.open(member) as source, target.open("xb") as stream:
            while chunk := source.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise zipfile.BadZipFile("longer than stated")
                stream.write(chunk)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        return Finding(member.filename, f"damaged ({error})")
    except Exception as error:  # zlib.error derives from Exception alone
        if type(error).__module__ != "zlib":
            raise
        return Finding(member.filename, f"damaged ({error})")
    return None


def _wrong_checksums(folder: Path, names: list[str], known: set[str]) -> Iterator[Finding]:
    listed_in = folder / CHECKSUMS
    if not listed_in.is_file() or CHECKSUMS in known:
        yield Finding(CHECKSUMS, "missing or damaged, so that no file can be checked")
        return
    expected = parse_checksums(listed_in.read_text(encoding="utf-8", errors="replace"))
    for name in sorted({*expected, *names} - {CHECKSUMS, *known}):
        if name not in expected:
            yield Finding(name, "not in the list of checksums")
        elif name not in names:
            yield Finding(name, "missing")
        elif file_digest(folder.joinpath(*PurePosixPath(name).parts)) != expected[name]:
            yield Finding(name, "its checksum differs from the list")


def plan_of(folder: Path) -> Plan:
    """Return the plan of the only experiment in an unpacked capsule.

    Raises:
        InputError: there is none, there are several, or the plan was edited.
    """
    plans = list(folder.glob("experiments/*/plan.json"))
    if len(plans) != 1:
        raise InputError(f"a capsule holds one experiment, but this one has {len(plans)}.")
    plan = read_plan(plans[0].parent)
    assert plan is not None
    return plan


def inconsistencies(folder: Path, plan: Plan) -> Iterator[Finding]:
    """Yield the stages whose identity, configuration, seed or files do not belong to the plan."""
    workspace = Workspace(folder)
    for name, stage in plan.stages.items():
        place, on_disk = f"stage {stage.kind}/{name}", workspace.stage(stage.kind, name)
        origins = plan.code.get(stage.kind)
        try:
            identity = None if origins is None else recorded_stage_id(stage, origins)
        except (KeyError, TypeError):
            identity = None
        if identity != name:
            yield Finding(place, "its configuration, seed or inputs do not belong to its id")
        stored = on_disk.read_config()
        if stored is not None and stored.seed != stage.seed:
            yield Finding(place, f"seed {stage.seed} in the plan, {stored.seed} in the stage")
        if stored is not None and dict(stored.config) != stage.config:
            yield Finding(place, "the configuration in the plan differs from that of the stage")
        for file in on_disk.damaged_files():
            yield Finding(f"{place}/{file}", "its checksum differs from the manifest of the stage")
    yield from _wrong_seeds(plan)


def _wrong_seeds(plan: Plan) -> Iterator[Finding]:
    for run in plan.runs:
        for name in run.stages.values():
            stage = plan.stages[name]
            if stage.kind.trains and stage.seed != run.seed:
                yield Finding(f"run {run.name}", f"seed {run.seed}, but its stage {name} has seed {stage.seed}")
