"""What a stage asks the cluster for where nobody says it: what equal stages took in this workspace, with a margin.

Too much delays a job in the queue, too little ends it: the margins are wide, and a stage that still runs out of time
or memory goes on from its checkpoint with more. Sizes come in steps, so that stages that need about the same share an
array.
"""

import math
from collections.abc import Collection
from dataclasses import replace

from setpoint.artifacts import Workspace
from setpoint.execution.slurm import Resources
from setpoint.experiments.cost.estimate import StageCost, estimate
from setpoint.records.plan import Plan

_MEMORY_TIMES = 1.5
_TIME_TIMES = 3.0
"""A node may be slower than where the stages were measured."""
_EARLY_S = 60
"""The warning before the time limit may come this much too early."""
_LEAST_MB = 1024
_LEAST_MIN = 10


def estimated_needs(
    workspace: Workspace, plan: Plan, usual: Resources, named: Collection[str], *, warning_s: int
) -> dict[str, Resources]:
    """Stage -> its resources, of the open stages of which equal or similar ones were measured.

    Args:
        usual: what holds for `named` resources, and for stages that nothing is known of.
        warning_s: time before the limit in which no stage computes any more.
    """
    if {"mem", "time"} <= set(named):
        return {}
    found = estimate(plan, workspace, 1).stages
    return {name: _needs(cost, usual, named, warning_s) for name, cost in found.items()}


def _needs(cost: StageCost, usual: Resources, named: Collection[str], warning_s: int) -> Resources:
    mem_mb, time_min = usual.mem_mb, usual.time_min
    if "mem" not in named and cost.memory_gb:
        mem_mb = _step(_MEMORY_TIMES * 1024 * cost.memory_gb, _LEAST_MB)
    if "time" not in named and cost.wall_s:
        longest_s = cost.wall_s * cost.interval[1] / cost.cpu_s
        time_min = _step((_TIME_TIMES * longest_s + warning_s + _EARLY_S) / 60, _LEAST_MIN)
    return replace(usual, mem_mb=mem_mb, time_min=time_min)


def _step(value: float, least: int) -> int:
    """The first of `least` times 1, 1.5, 2, 3, 4, 6, 8, 12, … that is enough."""
    doubled = least << max(0, math.ceil(math.log2(value / least)))
    return doubled * 3 // 4 if doubled > least and value <= doubled * 3 / 4 else doubled
