"""Resource requests of jobs, written as `gpu:1,mem:32GB,time:24:00:00`."""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from setpoint.errors import Findings, InputError, shown, unknown_name

_MB_OF_UNIT = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}
_FIELDS = {"gpu": ("gpus", "gpu_type"), "mem": ("mem_mb",), "time": ("time_min",), "cpus": ("cpus",)}
NAMES = tuple(_FIELDS)
_GROWTH = 1.5


@dataclass(frozen=True, slots=True)
class Resources:
    """Resources of one job on one node.

    Attributes:
        gpus: number of GPUs.
        gpu_type: GPU type such as `a100`; empty for any.
        mem_mb: memory in MiB.
        time_min: time limit in minutes.
        cpus: CPU cores.
    """

    gpus: int = 0
    gpu_type: str = ""
    mem_mb: int = 4096
    time_min: int = 60
    cpus: int = 1

    @classmethod
    def parse(cls, text: str) -> "Resources":
        """Parse `name:value` pairs; omitted resources keep their defaults.

        Raises:
            InputError: `text` is invalid; lists all errors.
        """
        values: dict[str, int | str] = {}
        findings = Findings()
        pairs = [part.partition(":") for part in filter(None, (part.strip() for part in text.split(",")))]
        counts = Counter(name for name, _, _ in pairs)
        for name, colon, value in pairs:
            with findings.check():
                if name in NAMES and counts[name] > 1:
                    raise InputError(f"resource {name!r} is given {counts[name]} times in {text!r}. Give it once.")
                if name not in NAMES:
                    raise unknown_name("resource", name, NAMES, "Write 'gpu:1,mem:32GB,time:24:00:00'.")
                if not colon or not value:
                    raise InputError(f"resource {name!r} needs a value, as in 'gpu:1,mem:32GB,time:24:00:00'.")
                values |= _READ[name](value)
        findings.settle()
        return cls(**values)  # type: ignore[arg-type]

    def options(self) -> Iterator[tuple[str, str]]:
        """Yield `sbatch` options with their values."""
        yield "time", duration(self.time_min)
        yield "mem", f"{self.mem_mb}M"
        yield "cpus-per-task", str(self.cpus)
        if self.gpus:
            kind = f":{self.gpu_type}" if self.gpu_type else ""
            yield "gres", f"gpu{kind}:{self.gpus}"

    def overridden(self, text: str) -> "Resources":
        """Return a copy with the resources given in `text` replaced."""
        wanted = Resources.parse(text)
        return replace(self, **{field: getattr(wanted, field) for name in named(text) for field in _FIELDS[name]})

    def text(self, names: Collection[str] = NAMES) -> str:
        """Return the text form of the resources `names`, as read by `parse`."""
        gpus = f"{self.gpu_type}:{self.gpus}" if self.gpu_type else str(self.gpus)
        values = {"gpu": gpus, "mem": f"{self.mem_mb}MB", "time": str(self.time_min), "cpus": str(self.cpus)}
        return ",".join(f"{name}:{values[name]}" for name in NAMES if name in names)

    def without_gpu(self) -> "Resources":
        """Return a copy without a GPU, for stages that run on the CPU only."""
        return replace(self, gpus=0, gpu_type="")

    @classmethod
    def largest(cls, requests: Iterable["Resources"]) -> "Resources":
        """Return the maximum of requests requests that differ only in memory and time."""
        found = list(requests)
        mem_mb, time_min = max(each.mem_mb for each in found), max(each.time_min for each in found)
        return replace(found[0], mem_mb=mem_mb, time_min=time_min)

    def grown(self, *, memory: int = 0, time: int = 0, limit: "Resources | None" = None) -> "Resources":
        """Return a copy with memory and time raised by half for each failure of that kind, up to `limit`."""
        mem_mb, time_min = (
            math.ceil(value * _GROWTH**times) for value, times in ((self.mem_mb, memory), (self.time_min, time))
        )
        if limit is not None:
            mem_mb, time_min = (
                max(self.mem_mb, min(mem_mb, limit.mem_mb)),
                max(self.time_min, min(time_min, limit.time_min)),
            )
        return replace(self, mem_mb=mem_mb, time_min=time_min)


def named(text: str) -> frozenset[str]:
    """Return the names of the resources given in `text`."""
    return frozenset(part.strip().partition(":")[0] for part in text.split(",")) & set(NAMES)


def duration(minutes: int) -> str:
    """Format minutes in SLURM's format `days-hours:minutes:seconds`."""
    days, rest = divmod(minutes, 24 * 60)
    return f"{days}-{rest // 60:02d}:{rest % 60:02d}:00"


def minutes(text: str) -> int | None:
    """Parse `minutes`, `mm:ss`, `h:mm:ss`, `d-h`, `d-h:mm` or `d-h:mm:ss` into minutes, rounded up; None if invalid."""
    match = re.fullmatch(r"(?:(\d{1,6})-)?(\d{1,9})(?::([0-5]?\d))?(?::([0-5]?\d))?", text.strip(), re.ASCII)
    if match is None:
        return None
    days, first, second, third = (None if part is None else int(part) for part in match.groups())
    # As in sbatch(1) --time: without days, two fields are minutes:seconds, three are hours:minutes:seconds.
    if days is not None:
        seconds = days * 86400 + (first or 0) * 3600 + (second or 0) * 60 + (third or 0)
    elif third is not None:
        seconds = (first or 0) * 3600 + (second or 0) * 60 + third
    else:
        seconds = (first or 0) * 60 + (second or 0)
    return -(-seconds // 60)


_COUNT = re.compile(r"[0-9]{1,6}")


def _gpu(value: str) -> dict[str, int | str]:
    kind, _, number = value.rpartition(":")
    if _COUNT.fullmatch(number) is None or (kind and re.fullmatch(r"[\w.-]+", kind) is None):
        raise InputError(f"gpu must be a number, or type:number as in gpu:a100:2, but is {shown(value)}.")
    return {"gpus": int(number), "gpu_type": kind}


def _mem(value: str) -> dict[str, int | str]:
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)([KMGT])i?B?", value, re.IGNORECASE)
    size = 0 if match is None else int(float(match[1]) * _MB_OF_UNIT[match[2].upper()])
    if size < 1:
        unit = " Give it a unit." if value.isdecimal() else ""
        raise InputError(f"mem must be a size such as 32GB or 500M, but is {shown(value)}.{unit}")
    return {"mem_mb": size}


def _time(value: str) -> dict[str, int | str]:
    found = minutes(value)
    if not found:
        raise InputError(f"time must be hours:minutes:seconds, days-hours or minutes, but is {shown(value)}.")
    return {"time_min": found}


def _cpus(value: str) -> dict[str, int | str]:
    if _COUNT.fullmatch(value) is None or int(value) < 1:
        raise InputError(f"cpus must be a whole number of at least 1, but is {shown(value)}.")
    return {"cpus": int(value)}


_READ = {"gpu": _gpu, "mem": _mem, "time": _time, "cpus": _cpus}
