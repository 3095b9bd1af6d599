"""A small experiment on disk with known effects, written by the documented schemas and without training anything."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np

from setpoint import problems
from setpoint.artifacts import (
    Attempt,
    Lock,
    Manifest,
    Measured,
    PublishedFile,
    StageFolder,
    StageKind,
    Workspace,
    write_json,
)
from setpoint.episodes import EpisodeResult, EpisodeTrajectory, write_episodes, write_trajectories
from setpoint.records.failure import Failure, FailureClass
from setpoint.records.plan import AnalysisPlan, NamedDigest, Plan, PlannedRun, PlannedStage, Shared, write_plan
from setpoint.trajectory import Termination

FINISHED_AT = "2026-01-02T03:04:05+00:00"
MEASURED = {"wall_s": 12.5, "cpu_s": 11.0, "peak_rss_gb": 1.25, "gpu_hours": None, "peak_gpu_gb": None}
LogError = Callable[[Mapping[str, Any]], float]


@dataclass
class Synthetic:
    """What the experiment is to look like; `write` puts it on disk."""

    root: Path
    experiment: str = "sweep"
    factors: Mapping[str, Sequence[Any]] = field(
        default_factory=lambda: {"lora_rank": (4, 8, 16), "learning_rate": (1e-4, 2e-4)}
    )
    replicates: int = 3
    systems: tuple[str, ...] = ("double_integrator",)
    training_type: str = "both"
    log_error: LogError = lambda levels: math.log(0.05)
    sft_excess: LogError = lambda levels: 0.5
    """By how much the log error after SFT exceeds the final one: what GRPO gains."""
    noise: float = 0.15
    cases: int = 20
    metric: str = "final_error"
    scale: Literal["log", "linear"] = "log"
    failed: Mapping[str, str] = field(default_factory=dict)
    """run prefix -> failure class of its first training stage."""
    unstarted: tuple[str, ...] = ()
    """Prefixes of runs that have no stage folders at all."""
    sft_factors: tuple[str, ...] | None = None
    """The factors that SFT reads; runs that differ in others share its stage. None stands for all."""
    measured: Mapping[str, Any] = field(default_factory=lambda: dict(MEASURED))
    title: str = "hyperparameter_sweep"
    spec: Mapping[str, Any] = field(default_factory=dict)
    both_modes: bool = False
    """Whether there are episodes in a second mode: a tenth of the error with replanning, ten times it in open loop."""
    universal: bool = False
    """Whether there is also a model of all systems for each replicate."""

    @property
    def folder(self) -> Path:
        """The experiment's folder."""
        return self.root / "experiments" / self.experiment

    def write(self) -> Path:
        """Write everything; the experiment's folder."""
        plan = self._plan()
        write_plan(self.folder, plan)
        for system in self.systems:
            self._reference(plan, system)
            self._stage(plan, plan.shared.evaluate_base[system], self._episodes(system, "llm", math.log(0.9), 7))
        done: set[str] = set()
        for run in plan.runs:
            if not run.name.startswith(self.unstarted or ("\0",)):
                self._run(plan, run, done)
        return self.folder

    def _plan(self) -> Plan:
        stages: dict[str, PlannedStage] = {}
        shared = Shared(reference={}, evaluate_base={})
        for system in self.systems:
            shared.reference[system] = _add(stages, StageKind.REFERENCE, {"system": system})
            needs = {"reference": shared.reference[system]}
            shared.evaluate_base[system] = _add(stages, StageKind.EVALUATE, {"system": system}, needs)
        runs: list[PlannedRun] = []
        combinations = list(product(self.systems, *self.factors.values()))
        for configuration, (system, *values) in enumerate(combinations):
            levels = dict(zip(self.factors, values, strict=True))
            for replicate in range(self.replicates):
                needs = {"reference": shared.reference[system]}
                own = self._stages_of(stages, {"system": system, **levels}, replicate, needs)
                label = "_".join(f"{name}={value}" for name, value in levels.items())
                label = re.sub(r"[^A-Za-z0-9._+=,-]+", "_", label)
                runs.append(
                    PlannedRun(
                        name=f"{label}_{system}_s{replicate}",
                        index=len(runs),
                        configuration=configuration,
                        replicate=replicate,
                        seed=replicate,
                        model_type="specialist",
                        systems=(system,),
                        training_type=self.training_type,
                        factors=levels,
                        resolved={"lora": {"rank": 8}, "sft": {"learning_rate": 1e-4, "steps": 40}},
                        stages=own,
                    )
                )
        for replicate in range(self.replicates if self.universal else 0):
            runs.append(self._universal(stages, shared.reference, len(runs), len(combinations), replicate))
        return Plan(
            schema=1,
            experiment=self.experiment,
            type=self.title,
            created_at="2026-01-01T00:00:00+00:00",
            spec=dict(self.spec),
            spec_digest="0" * 12,
            analysis=AnalysisPlan(
                primary_metric=self.metric,
                secondary_metrics=("control_cost",),
                scale=self.scale,
                factors=tuple(self.factors),
                evaluation_modes={system: problems.get(system).evaluation_mode for system in self.systems},
            ),
            systems=self.systems,
            base=NamedDigest(name="builtin:tiny", digest="1" * 12),
            datasets={},
            runs=tuple(runs),
            stages=stages,
            shared=shared,
            provenance={},
        )

    def _stages_of(
        self, stages: dict[str, PlannedStage], config: dict[str, Any], seed: int, needs: dict[str, str]
    ) -> dict[str, str]:
        own: dict[str, str] = {}
        if self.training_type in {"sft", "both"}:
            read = {k: v for k, v in config.items() if self.sft_factors is None or k in ("system", *self.sft_factors)}
            own["sft"] = _add(stages, StageKind.SFT, read, {}, seed)
        if self.training_type == "both":
            own["evaluate_sft"] = _add(stages, StageKind.EVALUATE, read, {**needs, "adapter": own["sft"]}, seed)
        if self.training_type in {"grpo", "both"}:
            parent = {"parent": own["sft"]} if "sft" in own else {}
            own["grpo"] = _add(stages, StageKind.GRPO, config, parent, seed)
        adapter = own.get("grpo", own.get("sft", ""))
        own["evaluate"] = _add(stages, StageKind.EVALUATE, config, {**needs, "adapter": adapter}, seed)
        return own

    def _universal(
        self, stages: dict[str, PlannedStage], reference: Mapping[str, str], index: int, configuration: int, seed: int
    ) -> PlannedRun:
        own = {"sft": _add(stages, StageKind.SFT, {"systems": list(self.systems)}, {}, seed)}
        for system in self.systems:
            needs = {"adapter": own["sft"], "reference": reference[system]}
            own[f"evaluate:{system}"] = _add(stages, StageKind.EVALUATE, {"system": system}, needs, seed)
        return PlannedRun(
            name=f"universal_s{seed}",
            index=index,
            configuration=configuration,
            replicate=seed,
            seed=seed,
            model_type="universal",
            systems=self.systems,
            training_type="sft",
            factors={"model_type": "universal"},
            resolved={"lora": {"rank": 8}, "sft": {"learning_rate": 1e-4, "steps": 40}},
            stages=own,
        )

    def _run(self, plan: Plan, run: PlannedRun, done: set[str]) -> None:
        rng = np.random.default_rng([run.index, 5])
        failure = next((kind for prefix, kind in self.failed.items() if run.name.startswith(prefix)), None)
        level = self.log_error(run.factors) + self.noise * rng.standard_normal()
        for role, stage in sorted(run.stages.items(), key=lambda item: ("sft" not in item[0], item[0] == "evaluate")):
            if stage in done:
                continue
            done.add(stage)
            if failure is not None and role in {"sft", "grpo"}:
                self._failure(plan, stage, FailureClass(failure))
                return
            excess = self.sft_excess(run.factors) + self.noise * rng.standard_normal()
            gain = excess if role == "evaluate_sft" else 0.0
            system = role.partition(":")[2] or run.systems[0]
            episodes = self._episodes(system, "llm", level + gain, run.index) if "evaluate" in role else []
            self._stage(plan, stage, episodes, role)

    def _episodes(self, system: str, controller: str, log_error: float, seed: int) -> list[EpisodeResult]:
        problem = problems.get(system)
        mode = problem.evaluation_mode.episodes
        rng = np.random.default_rng([seed, 11])
        spread = 0.3 * rng.standard_normal(self.cases)
        errors = np.exp(log_error + spread - spread.mean())
        errors *= math.exp(log_error) / errors.mean()
        unread = 0 if controller != "llm" else 1
        return [
            EpisodeResult(
                case_id=case,
                system=system,
                controller=controller,
                mode=mode,
                replan_interval=0 if mode == "open_loop" else 5,
                initial_state=problem.half_width,
                final_state=(float(error), *[0.0] * (len(problem.target) - 1)),
                termination=Termination.PARSE_FAILURE if case < unread else Termination.COMPLETED,
                parsed=case >= unread,
                final_error=float(error),
                normalised_error=float(error) / problem.half_width[0],
                control_cost=10.0 + float(error),
                optimal_cost=10.0,
                blocked_optimal_cost=10.01,
                regret=float(error) / 10.0,
                violation_max=0.0,
                violation_count=0,
                success=case >= unread and float(error) <= 0.05,
                success_loose=case >= unread and float(error) <= 0.1,
                tokens=80,
                plans=1,
                plans_parsed=int(case >= unread),
            )
            for case, error in enumerate(errors)
        ]

    def _reference(self, plan: Plan, system: str) -> None:
        rows = [
            row
            for controller, error in (("optimum", 0.002), ("lqr", 0.01), ("zero", 1.2))
            for row in self._episodes(system, controller, math.log(error), 3)
        ]
        self._stage(plan, plan.shared.reference[system], rows)

    def _stage(self, plan: Plan, stage: str, episodes: list[EpisodeResult], role: str = "") -> None:
        folder, _ = self._attempt(plan, stage, role)
        files = {}
        if episodes:
            others = [_in_other_mode(row) for row in episodes] if self.both_modes else []
            write_episodes(folder.path / "episodes.parquet", [*episodes, *others])
            mode = episodes[0].mode
            trajectories = _trajectories(episodes[0].system, mode, episodes)
            write_trajectories(folder.path / "trajectories.parquet", trajectories)
            files = {name: _published(folder.path / name) for name in ("episodes.parquet", "trajectories.parquet")}
        kind = plan.stages[stage].kind
        manifest = Manifest(1, stage, kind, 1, FINISHED_AT, files, {}, Measured.from_json(self.measured), {})
        write_json(folder.manifest, manifest.to_json())

    def _attempt(self, plan: Plan, stage: str, role: str) -> tuple[StageFolder, Attempt]:
        folder = Workspace(self.root).stage(plan.stages[stage].kind, stage)
        attempt = Attempt(folder.attempts_folder / "0001")
        attempt.path.mkdir(parents=True)
        Lock(host="somewhere", boot_id="b", pid=1, started="1", token="t").create(attempt.lock)
        write_json(attempt.resources, {"schema": 1, **self.measured})
        attempt.stderr.write_text("a line\nlast line <b>&</b>\n")
        if role in {"sft", "grpo"}:
            seed = plan.stages[stage].seed
            attempt.metrics.write_text("".join(_curve(role, step, seed) for step in range(0, 41, 2)))
        return folder, attempt

    def _failure(self, plan: Plan, stage: str, failure_class: FailureClass) -> None:
        _, attempt = self._attempt(plan, stage, "")
        failure = Failure(
            failure_class=failure_class,
            message="the loss became <NaN> at step 3\nwith more | words",
            exception="setpoint.errors.StageError",
            traceback="Traceback…",
            evidence={"loss": "nan", "step": 3},
            suggestion="use a learning rate of 5e-5 or less",
        )
        write_json(attempt.failure, failure.to_json())


def _in_other_mode(row: EpisodeResult) -> EpisodeResult:
    replanned = row.mode != "open_loop"
    error = row.final_error * (10.0 if replanned else 0.1)
    return replace(
        row,
        mode="open_loop" if replanned else "replan_5",
        replan_interval=0 if replanned else 5,
        final_error=error,
        success=row.parsed and error <= 0.05,
    )


def _add(
    stages: dict[str, PlannedStage],
    kind: StageKind,
    config: dict[str, Any],
    needs: dict[str, str] | None = None,
    seed: int = 0,
) -> str:
    stage = PlannedStage(kind=kind, config=config, needs=needs or {}, seed=seed)
    name = sha256(json.dumps(stage.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:12]
    stages[name] = stage
    return name


def _published(path: Path) -> PublishedFile:
    return PublishedFile(sha256(path.read_bytes()).hexdigest(), path.stat().st_size)


def _curve(role: str, step: int, seed: int) -> str:
    wobble = 0.05 * math.sin(step + 3 * seed)
    record: dict[str, Any] = {"step": step, "stage": role, "learning_rate": 1e-4}
    if role == "sft":
        record["loss"] = 2.5 * math.exp(-step / 12) + 0.5 + wobble
        if step % 10 == 0:
            record["validation_loss"] = record["loss"] + 0.05
    else:
        record |= {"reward": -2 + step / 30 + wobble, "reward_std": 0.5}
    return json.dumps(record) + "\n"


def _trajectories(system: str, mode: str, episodes: list[EpisodeResult]) -> list[EpisodeTrajectory]:
    """Decaying curves for the first three cases of each controller."""
    problem = problems.get(system)
    decay = {"optimum": 0.18, "lqr": 0.12, "zero": 0.0, "llm": 0.14}
    steps = np.arange(problem.steps + 1)
    trajectories = []
    for row in episodes:
        if row.case_id >= 3:
            continue
        shape = np.exp(-decay[row.controller] * steps) * np.cos(0.05 * steps)
        start = np.array(problem.half_width) * (0.9 - 0.5 * row.case_id)
        states = start * shape[:, None]
        controls = np.repeat(-2.0 * states[:-1, :1], problem.plant.n_u, axis=1)
        trajectories.append(
            EpisodeTrajectory(
                case_id=row.case_id,
                system=system,
                controller=row.controller,
                mode=mode,
                dt_s=problem.plant.dt_s,
                states=tuple(tuple(x) for x in states.tolist()),
                controls=tuple(tuple(u) for u in controls.tolist()),
            )
        )
    return trajectories
