"""Scores and training cost of arms, by system, evaluation mode and seed.

An arm is one way to train, such as SFT alone or SFT followed by GRPO. Arms may come from several experiments with the
same systems and test states.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from setpoint.artifacts import StageKind, Workspace
from setpoint.episodes import EPISODES, EpisodeResult, read_episodes
from setpoint.records.plan import Plan, read_plan

BASE = "base, zero-shot"


@dataclass(frozen=True)
class ArmScores:
    """One trained model (or reference) in one mode, over all test states.

    Attributes:
        parse_rate: share of episodes in which every answer could be parsed.
        success_rate: share of episodes that reached the target without violating a bound.
        regret_median: median of J/J* − 1.
        regret_p90: its 90 % quantile.
        final_error: mean distance from the target at the end (L2, state units).
        normalised_error_median: median of the largest component relative to the initial set.
        cases: number of test states.
    """

    parse_rate: float
    success_rate: float
    regret_median: float
    regret_p90: float
    final_error: float
    normalised_error_median: float
    cases: int

    @classmethod
    def of(cls, rows: Iterable[EpisodeResult]) -> "ArmScores":
        """Summarise the episodes of one controller in one mode; at least one episode is needed."""
        episodes = list(rows)
        regret = np.array([row.regret for row in episodes])
        return cls(
            parse_rate=float(np.mean([row.parsed for row in episodes])),
            success_rate=float(np.mean([row.success for row in episodes])),
            regret_median=float(np.median(regret)),
            regret_p90=float(np.quantile(regret, 0.9)),
            final_error=float(np.mean([row.final_error for row in episodes])),
            normalised_error_median=float(np.median([row.normalised_error for row in episodes])),
            cases=len(episodes),
        )


@dataclass
class Arm:
    """One way of training on one system in one mode.

    Attributes:
        by_seed: seed -> scores; references and the untrained base have the single seed 0.
        cpu_s: seed -> CPU time of training [s], including upstream stages; empty if nothing was trained.
    """

    system: str
    mode: str
    name: str
    by_seed: dict[int, ArmScores] = field(default_factory=dict)
    cpu_s: dict[int, float] = field(default_factory=dict)

    def values(self, score: str) -> list[float]:
        """Return one score of every seed, in the order of seeds."""
        return [float(getattr(scores, score)) for _, scores in sorted(self.by_seed.items())]


def read_arms(workspace: Workspace, parts: Mapping[str, Mapping[str, str]]) -> list[Arm]:
    """Read the arms of several experiments.

    Args:
        workspace: the workspace of the experiments.
        parts: experiment id -> evaluation role of its runs (such as `evaluate_sft`) -> name of the arm.
    """
    arms: dict[tuple[str, str, str], Arm] = {}
    for experiment_id, roles in parts.items():
        plan = read_plan(workspace.experiment(experiment_id))
        if plan is None:
            continue
        _add_shared(arms, workspace, plan)
        for run in plan.runs:
            for role, stage_id in run.stages.items():
                name = roles.get(role.partition(":")[0])
                if name is not None:
                    cost = _training_cpu_s(workspace, plan, stage_id)
                    _add(arms, workspace, stage_id, name, run.replicate, cost)
    return list(arms.values())


def _add_shared(arms: dict[tuple[str, str, str], Arm], workspace: Workspace, plan: Plan) -> None:
    for stage_id in plan.shared.evaluate_base.values():
        _add(arms, workspace, stage_id, BASE, 0, None)
    for stage_id in plan.shared.reference.values():
        _add(arms, workspace, stage_id, None, 0, None)


def _add(
    arms: dict[tuple[str, str, str], Arm],
    workspace: Workspace,
    stage_id: str,
    name: str | None,
    seed: int,
    cpu_s: float | None,
) -> None:
    """Add the episodes of an evaluation to the arm `name`, or to one arm per controller."""
    kind = StageKind.EVALUATE if name else StageKind.REFERENCE
    path = workspace.stage(kind, stage_id).path / EPISODES
    groups: dict[tuple[str, str, str], list[EpisodeResult]] = {}
    for row in read_episodes(path) if path.exists() else []:
        groups.setdefault((row.system, row.mode, name or row.controller), []).append(row)
    for key, rows in groups.items():
        arm = arms.setdefault(key, Arm(*key))
        arm.by_seed[seed] = ArmScores.of(rows)
        if cpu_s is not None:
            arm.cpu_s[seed] = cpu_s


def _training_cpu_s(workspace: Workspace, plan: Plan, evaluation: str) -> float:
    """Return the CPU time [s] of all training stages behind the adapter of `evaluation`."""
    folders = [workspace.stage(plan.stages[name].kind, name) for name in plan.training_of(evaluation)]
    manifests = [folder.read_manifest() for folder in folders]
    return math.fsum(manifest.measured.cpu_s or 0.0 for manifest in manifests if manifest is not None)
