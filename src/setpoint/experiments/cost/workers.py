"""Number of concurrent stages on this machine: one per GPU or core, as far as memory suffices."""

from dataclasses import dataclass

from setpoint.artifacts import Workspace
from setpoint.execution import default_workers, gpus
from setpoint.experiments.cost.estimate import estimate
from setpoint.experiments.preflight import Check, free_gpu_gb, free_memory_gb, host_need_gb
from setpoint.policies import BaseModel
from setpoint.records.plan import Plan


@dataclass(frozen=True, slots=True)
class _Memory:
    """Memory needed by one worker and available on the machine, in GB.

    Attributes:
        measured: whether equal stages have run here, so that `need_gb` is not a rough estimate.
        devices: number of separate memories over which workers are spread evenly.
    """

    place: str
    need_gb: float
    free_gb: float
    measured: bool
    devices: int = 1

    def fitting(self) -> int:
        """Return the number of workers that fit, at least one per device."""
        return self.devices * max(1, int(self.free_gb / self.need_gb))


def fitting_workers(workspace: Workspace, plan: Plan, base: BaseModel) -> int:
    """Return the default number of concurrent stages."""
    return min([default_workers(), *(memory.fitting() for memory in _memories(workspace, plan, base))])


def check_workers(workspace: Workspace, plan: Plan, base: BaseModel, workers: int) -> Check:
    """Check that memory suffices for `workers` concurrent stages.

    A shortfall is a problem if the need was measured, and a remark if it is a rough estimate.
    """
    workers = min(workers, len(plan.stages))
    for memory in _memories(workspace, plan, base):
        concurrent = -(-workers // memory.devices)  # rounded up
        if concurrent > 1 and workers > memory.fitting():
            text = (
                f"{concurrent} concurrent stages need {concurrent * memory.need_gb:.1f} GB of {memory.place} memory, "
                f"but {memory.free_gb:.1f} GB is available. Use --workers {memory.fitting()}, or omit it."
            )
            return Check("workers", "problem" if memory.measured else "remark", text)
    return Check("workers", "ok", f"{workers} concurrent stage{'' if workers == 1 else 's'}")


def _memories(workspace: Workspace, plan: Plan, base: BaseModel) -> list[_Memory]:
    """Return the memory needs: as measured on equal stages, else, without a GPU, estimated from the base's size."""
    expected = estimate(plan, workspace, 1)
    known, devices = not expected.unknown, gpus()
    found: list[_Memory] = []
    if expected.memory_gb or not devices:
        found.append(_Memory("host", expected.memory_gb or host_need_gb(base), free_memory_gb(), known))
    free_gb = free_gpu_gb() if devices and expected.gpu_memory_gb else None
    if free_gb is not None:
        found.append(_Memory("GPU", expected.gpu_memory_gb, free_gb, known, len(devices)))
    return found
