"""A small experiment on disk with known effects, written by the documented schemas and without training anything."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from setpoint import problems
from setpoint.episodes import EpisodeResult, EpisodeTrajectory, write_episodes, write_trajectories
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
    noise: float = 0.15
    cases: int = 20
    metric: str = "final_error"
    scale: str = "log"
    failed: Mapping[str, str] = field(default_factory=dict)
    """run prefix -> failure class of its first training stage."""
    unstarted: tuple[str, ...] = ()
    """Prefixes of runs that have no stage folders at all."""
    sft_factors: tuple[str, ...] | None = None
    """The factors that SFT reads; runs that differ in others share its stage. None stands for all."""
    measured: Mapping[str, Any] = field(default_factory=lambda: dict(MEASURED))
    title: str = "hyperparameter_sweep"
    universal: bool = False
    """Whether there is also a model of all systems for each replicate."""

    @property
    def folder(self) -> Path:
        """The experiment's folder."""
        return self.root / "experiments" / self.experiment

    def write(self) -> Path:
        """Write everything; the experiment's folder."""
        plan = self._plan()
        self.folder.mkdir(parents=True)
        (self.folder / "plan.json").write_text(json.dumps(plan, indent=1))
        for system in self.systems:
            self._reference(plan, system)
            self._stage(plan, plan["shared"]["evaluate_base"][system], self._episodes(system, "llm", math.log(0.9), 7))
        done: set[str] = set()
        for run in plan["runs"]:
            if not run["name"].startswith(self.unstarted or ("\0",)):
                self._run(plan, run, done)
        return self.folder

    def _plan(self) -> dict[str, Any]:
        stages: dict[str, Any] = {}
        shared: dict[str, dict[str, str]] = {"reference": {}, "evaluate_base": {}}
        for system in self.systems:
            shared["reference"][system] = _add(stages, "reference", {"system": system})
            needs = {"reference": shared["reference"][system]}
            shared["evaluate_base"][system] = _add(stages, "evaluate", {"system": system}, needs)
        runs = []
        combinations = list(product(self.systems, *self.factors.values()))
        for configuration, (system, *values) in enumerate(combinations):
            levels = dict(zip(self.factors, values, strict=True))
            for replicate in range(self.replicates):
                needs = {"reference": shared["reference"][system]}
                own = self._stages_of(stages, {"system": system, **levels}, replicate, needs)
                label = "_".join(f"{name}={value}" for name, value in levels.items())
                runs.append(
                    {
                        "name": f"{label}_{system}_s{replicate}",
                        "index": len(runs),
                        "configuration": configuration,
                        "replicate": replicate,
                        "seed": replicate,
                        "model_type": "specialist",
                        "systems": [system],
                        "training_type": self.training_type,
                        "factors": levels,
                        "resolved": {"lora": {"rank": 8}, "sft": {"learning_rate": 1e-4, "steps": 40}},
                        "stages": own,
                    }
                )
        for replicate in range(self.replicates if self.universal else 0):
            runs.append(self._universal(stages, shared["reference"], len(runs), len(combinations), replicate))
        return {
            "schema": 1,
            "experiment": self.experiment,
            "type": self.title,
            "created_at": "2026-01-01T00:00:00+00:00",
            "spec": {},
            "spec_digest": "0" * 12,
            "analysis": {
                "primary_metric": self.metric,
                "secondary_metrics": ["control_cost"],
                "scale": self.scale,
                "factors": list(self.factors),
                "families": [],
                "blocks": [],
                "alpha": 0.05,
                "judged": {system: problems.get(system).judged for system in self.systems},
            },
            "systems": list(self.systems),
            "base": {"name": "builtin:tiny", "digest": "1" * 12},
            "datasets": {},
            "runs": runs,
            "stages": stages,
            "shared": shared,
            "provenance": {},
        }

    def _stages_of(
        self, stages: dict[str, Any], config: dict[str, Any], seed: int, needs: dict[str, str]
    ) -> dict[str, str]:
        own: dict[str, str] = {}
        if self.training_type in {"sft", "both"}:
            read = {k: v for k, v in config.items() if self.sft_factors is None or k in ("system", *self.sft_factors)}
            own["sft"] = _add(stages, "sft", read, {}, seed)
        if self.training_type == "both":
            own["evaluate_sft"] = _add(stages, "evaluate", read, {**needs, "adapter": own["sft"]}, seed)
        if self.training_type in {"grpo", "both"}:
            parent = {"parent": own["sft"]} if "sft" in own else {}
            own["grpo"] = _add(stages, "grpo", config, parent, seed)
        adapter = own.get("grpo", own.get("sft", ""))
        own["evaluate"] = _add(stages, "evaluate", config, {**needs, "adapter": adapter}, seed)
        return own

    def _universal(
        self, stages: dict[str, Any], reference: Mapping[str, str], index: int, configuration: int, replicate: int
    ) -> dict[str, Any]:
        own = {"sft": _add(stages, "sft", {"systems": list(self.systems)}, {}, replicate)}
        for system in self.systems:
            needs = {"adapter": own["sft"], "reference": reference[system]}
            own[f"evaluate:{system}"] = _add(stages, "evaluate", {"system": system}, needs, replicate)
        return {
            "name": f"universal_s{replicate}",
            "index": index,
            "configuration": configuration,
            "replicate": replicate,
            "seed": replicate,
            "model_type": "universal",
            "systems": list(self.systems),
            "training_type": "sft",
            "factors": {"model_type": "universal"},
            "resolved": {"lora": {"rank": 8}, "sft": {"learning_rate": 1e-4, "steps": 40}},
            "stages": own,
        }

    def _run(self, plan: dict[str, Any], run: dict[str, Any], done: set[str]) -> None:
        rng = np.random.default_rng([run["index"], 5])
        failure = next((kind for prefix, kind in self.failed.items() if run["name"].startswith(prefix)), None)
        level = self.log_error(run["factors"]) + self.noise * rng.standard_normal()
        for role, stage in sorted(
            run["stages"].items(), key=lambda item: ("sft" not in item[0], item[0] == "evaluate")
        ):
            if stage in done:
                continue
            done.add(stage)
            if failure is not None and role in {"sft", "grpo"}:
                self._failure(plan, stage, failure)
                return
            gain = 0.5 + self.noise * rng.standard_normal() if role == "evaluate_sft" else 0.0
            system = role.partition(":")[2] or run["systems"][0]
            episodes = self._episodes(system, "llm", level + gain, run["index"]) if "evaluate" in role else []
            self._stage(plan, stage, episodes, role)

    def _episodes(self, system: str, controller: str, log_error: float, seed: int) -> list[EpisodeResult]:
        problem = problems.get(system)
        mode = {"open_loop": "open_loop", "closed_loop": "replan_5"}[problem.judged]
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

    def _reference(self, plan: dict[str, Any], system: str) -> None:
        rows = [
            row
            for controller, error in (("optimum", 0.002), ("lqr", 0.01), ("zero", 1.2))
            for row in self._episodes(system, controller, math.log(error), 3)
        ]
        self._stage(plan, plan["shared"]["reference"][system], rows)

    def _stage(self, plan: dict[str, Any], stage: str, episodes: list[EpisodeResult], role: str = "") -> None:
        folder = self._attempt(plan, stage, role)
        files = {}
        if episodes:
            write_episodes(folder / "episodes.parquet", episodes)
            mode = episodes[0].mode
            write_trajectories(folder / "trajectories.parquet", _trajectories(episodes[0].system, mode, episodes))
            files = {name: _record(folder / name) for name in ("episodes.parquet", "trajectories.parquet")}
        manifest = {
            "schema": 1,
            "stage": stage,
            "kind": plan["stages"][stage]["kind"],
            "attempt": 1,
            "finished_at": FINISHED_AT,
            "files": files,
            "summary": {},
            "measured": dict(self.measured),
            "provenance": {},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))

    def _attempt(self, plan: dict[str, Any], stage: str, role: str) -> Path:
        folder = self.root / "stages" / plan["stages"][stage]["kind"] / stage
        attempt = folder / "attempts" / "0001"
        attempt.mkdir(parents=True)
        claim = {"schema": 1, "host": "somewhere", "boot_id": "b", "pid": 1, "started": "1", "token": "t"}
        (attempt / "claim.json").write_text(json.dumps(claim))
        (attempt / "resources.json").write_text(json.dumps({"schema": 1, **self.measured}))
        (attempt / "stderr.log").write_text("a line\nlast line <b>&</b>\n")
        if role in {"sft", "grpo"}:
            seed = plan["stages"][stage]["seed"]
            (attempt / "metrics.jsonl").write_text("".join(_curve(role, step, seed) for step in range(0, 41, 2)))
        return folder

    def _failure(self, plan: dict[str, Any], stage: str, failure_class: str) -> None:
        folder = self._attempt(plan, stage, "")
        record = {
            "schema": 1,
            "failure_class": failure_class,
            "message": "the loss became <NaN> at step 3\nwith more | words",
            "exception": "setpoint.errors.StageError",
            "traceback": "Traceback…",
            "evidence": {"loss": "nan", "step": 3},
            "suggestion": "use a learning rate of 5e-5 or less",
        }
        (folder / "attempts" / "0001" / "failure.json").write_text(json.dumps(record))


def _add(
    stages: dict[str, Any], kind: str, config: dict[str, Any], needs: dict[str, str] | None = None, seed: int = 0
) -> str:
    entry = {"kind": kind, "config": config, "needs": needs or {}, "seed": seed}
    name = sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()[:12]
    stages[name] = entry
    return name


def _record(path: Path) -> dict[str, Any]:
    return {"sha256": sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}


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
