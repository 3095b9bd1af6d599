"""What an observer of a running experiment sees: stages done and reused, running stages, the time left.

An observer only reads: the journal's events, the estimate, and the logs of running stages.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from statistics import mean
from typing import Any

from setpoint.artifacts import StageKind, Workspace, parse_json
from setpoint.artifacts.fields import finite
from setpoint.errors import InputError
from setpoint.experiments.running.stage_names import stage_names
from setpoint.records import journal
from setpoint.records.estimate import read_estimate
from setpoint.records.plan import Plan, read_plan
from setpoint.regular_files import read_end

_TAIL = 4096
SHOWN: Mapping[StageKind, tuple[str, ...]] = {
    StageKind.SFT: ("loss", "validation_loss"),
    StageKind.GRPO: ("reward", "loss"),
}
"""Kind of stage -> values of its log in order of preference; the first that is available is shown."""


@dataclass
class Watch:
    """Follows the journal's events of one experiment.

    Attributes:
        running: stage -> when it started.
        ended: stages that have finished or failed for good, including reused ones.
        reused: stages that had finished before.
        runs: run -> its final state.
        names: stage -> its name for people.
    """

    plan: Plan
    workspace: Workspace
    running: dict[str, datetime] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    reused: set[str] = field(default_factory=set)
    runs: dict[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(init=False)
    _took_s: dict[str, float] = field(default_factory=dict)
    _widest: int = 1
    _predicted_s: dict[str, float] | None = None

    def __post_init__(self) -> None:
        """Name the stages."""
        self.names = stage_names(self.plan)

    def listen(self, event: journal.Event) -> None:
        """Update the counts with one event; stages outside the plan are ignored."""
        match event:
            case journal.Started():  # stages of an earlier coordinator ended with it
                self.running, self.ended, self.reused, self._predicted_s = {}, set(), set(), None
            case journal.Extended():
                self.plan = read_plan(self.workspace.experiment(self.plan.experiment)) or self.plan
                self.names = stage_names(self.plan)
            case journal.StageStarted() if event.stage in self.plan.stages:
                self.running[event.stage] = event.at
                self._widest = max(self._widest, len(self.running))
            case journal.StageReused():
                self.reused.add(event.stage)
                self.ended.add(event.stage)
            case journal.StageFinished():
                started = self.running.pop(event.stage, None)
                if started is not None:
                    self._took_s[event.stage] = max(0.0, (event.at - started).total_seconds())
                self.ended.add(event.stage)
            case journal.StageFailed():
                self.running.pop(event.stage, None)
                if not event.retry:
                    self.ended.add(event.stage)
            case journal.RunFinished():
                self.runs[event.run] = event.state

    def position(self, now: datetime) -> str:
        """Return `12 of 34, about 3 min left`; without the time if nothing comparable has been measured."""
        left_s = self.remaining_s(now)
        left = "" if left_s is None or len(self.ended) == len(self.plan.stages) else f", {_about(left_s)} left"
        return f"{len(self.ended)} of {len(self.plan.stages)}{left}"

    def remaining_s(self, now: datetime) -> float | None:
        """Return the wall-clock time left, from the estimate and from the stages that this experiment has finished.

        The estimate is scaled by measured over predicted time so far. A stage without an estimate takes as long as the
        finished ones of its kind, else as the finished ones on average; None if there are none.
        """
        predicted = self._predictions()
        known = [(took, predicted[stage]) for stage, took in self._took_s.items() if predicted.get(stage)]
        pace = sum(took for took, _ in known) / sum(expected for _, expected in known) if known else 1.0
        total = 0.0
        for stage in self.plan.stages.keys() - self.ended:
            expected = predicted[stage] * pace if predicted.get(stage) else self._usual(self.plan.stages[stage].kind)
            if expected is None:
                return None
            since = self.running.get(stage)
            total += expected if since is None else max(0.0, expected - max(0.0, (now - since).total_seconds()))
        return total / max(1, len(self.running), min(self._widest, len(self.plan.stages) - len(self.ended)))

    def _predictions(self) -> dict[str, float]:
        if self._predicted_s is None:
            try:
                record = read_estimate(self.workspace.experiment(self.plan.experiment))
            except InputError:
                record = None
            self._predicted_s = {} if record is None else {name: cost.wall_s for name, cost in record.stages.items()}
        return self._predicted_s

    def _usual(self, kind: StageKind) -> float | None:
        same = [took for stage, took in self._took_s.items() if self.plan.stages[stage].kind is kind]
        return mean(same or self._took_s.values()) if self._took_s else None

    def step_text(self, stage: str) -> str:
        """Return `step 30 of 40`, `150 of 600 cases` or what else the stage has logged as its progress, if anything."""
        record, planned = self.last_record(stage), self.plan.stages[stage]
        if isinstance(record.get("progress"), str):
            return str(record["progress"])
        at, cases = finite(record.get("step")), finite(record.get("cases"))
        if at is None:
            return ""
        if cases is not None:
            return f"{at:g} of {cases:g} cases"
        return f"step {at:g}{'' if planned.steps is None else f' of {planned.steps}'}"

    def value_text(self, stage: str) -> str:
        """Return the latest `loss 0.31` of SFT or `reward -0.12` of GRPO; empty if there is none."""
        record = self.last_record(stage)
        names = SHOWN.get(self.plan.stages[stage].kind, ())
        return next((f"{name} {record[name]:.4g}" for name in names if isinstance(record.get(name), float)), "")

    def last_record(self, stage: str) -> dict[str, Any]:
        """Return the last complete line that the latest attempt has logged."""
        attempt = self.workspace.stage(self.plan.stages[stage].kind, stage).latest_attempt()
        if attempt is None:
            return {}
        try:
            whole = read_end(attempt.metrics, _TAIL).rpartition(b"\n")[0]
        except OSError:
            return {}
        record = parse_json(whole.rpartition(b"\n")[2])
        return record if isinstance(record, dict) else {}


def _about(seconds: float) -> str:
    """Return `less than a minute`, `about 3 min` or `about 2.5 h`."""
    minutes = seconds / 60.0
    if minutes < 1.0:
        return "less than 1 min"
    return f"about {minutes:.0f} min" if minutes < 100.0 else f"about {minutes / 60.0:.1f} h"
