"""Default memory and time limits of cluster jobs: what equal stages used in this workspace, with a margin.

A request that is too large delays a job in the queue; one that is too small kills it. The margins are wide, and a stage
that still runs out of time or memory resumes from its checkpoint with more. Requests are rounded up to a few sizes, so
that similar stages share an array.
"""

import math
from collections.abc import Collection
from dataclasses import replace

from setpoint.artifacts import Workspace
from setpoint.execution.slurm import Resources
from setpoint.experiments.cost.estimate import StageCost, estimate
from setpoint.records.plan import Plan

_MEMORY_FACTOR = 1.5
_TIME_FACTOR = 3.0
"""Large, because a node may be slower than the machine on which the stages were measured."""
_EARLY_WARNING_S = 60
"""How much too early SLURM may send the warning before the time limit."""
_MIN_MB = 1024
_MIN_MINUTES = 10


def estimated_needs(
    workspace: Workspace, plan: Plan, usual: Resources, named: Collection[str], *, warning_s: int
) -> dict[str, Resources]:
    """Return stage id -> resources, for unfinished stages with comparable measurements.

    Args:
        usual: resources used for `named` ones, and for stages without measurements.
        named: names of the resources that the user set explicitly.
        warning_s: time between SLURM's warning and the time limit, in which stages only save their state.
    """
    if {"mem", "time"} <= set(named):
        return {}
    found = estimate(plan, workspace, 1).stages
    return {name: _needs(cost, usual, named, warning_s) for name, cost in found.items()}


def _needs(cost: StageCost, usual: Resources, named: Collection[str], warning_s: int) -> Resources:
    mem_mb, time_min = usual.mem_mb, usual.time_min
    if "mem" not in named and cost.memory_gb:
        mem_mb = _step(_MEMORY_FACTOR * 1024 * cost.memory_gb, _MIN_MB)
    if "time" not in named and cost.wall_s:
        longest_s = cost.wall_s * cost.interval[1] / cost.cpu_s
        time_min = _step((_TIME_FACTOR * longest_s + warning_s + _EARLY_WARNING_S) / 60, _MIN_MINUTES)
    return replace(usual, mem_mb=mem_mb, time_min=time_min)


def _step(value: float, least: int) -> int:
    """Round `value` up to `least` times 1, 1.5, 2, 3, 4, 6, 8, 12, …"""
    doubled = least << max(0, math.ceil(math.log2(value / least)))
    return doubled * 3 // 4 if doubled > least and value <= doubled * 3 / 4 else doubled
