"""How many stages run at the same time on this machine: one for each GPU or core, as far as memory lasts for all."""

from dataclasses import dataclass

from setpoint.artifacts import Workspace
from setpoint.execution import default_workers, gpus
from setpoint.experiments.cost.estimate import estimate
from setpoint.experiments.preflight import Check, free_gpu_gb, free_memory_gb, host_need_gb
from setpoint.policies import BaseModel
from setpoint.records.plan import Plan


@dataclass(frozen=True, slots=True)
class _Memory:
    """Gigabytes of one worker and of the machine.

    Attributes:
        seen: whether equal stages have run here, so that the need is no rough reckoning.
        sharing: workers that draw on the same memory are `workers` over this, rounded up.
    """

    place: str
    need_gb: float
    free_gb: float
    seen: bool
    sharing: int = 1

    def fitting(self) -> int:
        """Workers for which it suffices, and one in any case."""
        return self.sharing * max(1, int(self.free_gb / self.need_gb))


def fitting_workers(workspace: Workspace, plan: Plan, base: BaseModel) -> int:
    """Stages that may run at the same time where nobody says how many."""
    return min([default_workers(), *(memory.fitting() for memory in _memories(workspace, plan, base))])


def check_workers(workspace: Workspace, plan: Plan, base: BaseModel, workers: int) -> Check:
    """Whether memory lasts for so many stages at the same time: a problem by what was seen, a remark by a reckoning."""
    workers = min(workers, len(plan.stages))
    for memory in _memories(workspace, plan, base):
        at_once = -(-workers // memory.sharing)
        if at_once > 1 and workers > memory.fitting():
            text = (
                f"{at_once} stages at the same time need {at_once * memory.need_gb:.1f} GB of {memory.place} memory, "
                f"has {memory.free_gb:.1f} GB. Use --workers {memory.fitting()}, or leave it out."
            )
            return Check("workers", "problem" if memory.seen else "remark", text)
    return Check("workers", "ok", f"{workers} at the same time")


def _memories(workspace: Workspace, plan: Plan, base: BaseModel) -> list[_Memory]:
    """What workers need of each memory: as equal stages took, or else, without a GPU, as the base's size suggests."""
    expected = estimate(plan, workspace, 1)
    known, devices = not expected.unknown, gpus()
    found: list[_Memory] = []
    if expected.memory_gb or not devices:
        found.append(_Memory("host", expected.memory_gb or host_need_gb(base), free_memory_gb(), known))
    free_gb = free_gpu_gb() if devices and expected.gpu_memory_gb else None
    if free_gb is not None:
        found.append(_Memory("GPU", expected.gpu_memory_gb, free_gb, known, len(devices)))
    return found
