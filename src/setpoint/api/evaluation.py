"""Evaluation of controllers on test cases, compared with the certified optimum, the clipped LQR and zero control."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from setpoint import plants, problems
from setpoint.api.control import as_problem, require_control_of, require_controller, require_interval
from setpoint.arguments import is_number, require_instance, require_text, require_whole
from setpoint.controllers import ClippedLqr, Controller, ZeroControl
from setpoint.display import html_table, require_pandas, text_table
from setpoint.episodes import EpisodeResult
from setpoint.errors import InputError, shown, unknown_name
from setpoint.evaluation import OPEN_LOOP, Mode
from setpoint.evaluation.protocol import standard_modes
from setpoint.evaluation.references import evaluate_references
from setpoint.evaluation.run import Evaluated
from setpoint.evaluation.run import evaluate as evaluate_mode
from setpoint.evaluation.summary import Summary, summarise
from setpoint.modes import CLOSED_LOOP_REPLANNING
from setpoint.problems import (
    DEFAULT_CASES,
    Problem,
    TestCases,
    require_cases,
    suite_cases,
    suite_states,
    usual_blocking,
)
from setpoint.simulation import NO_DISTURBANCE, Disturbance

if TYPE_CHECKING:
    from setpoint.reports.figures import Figure

DEFAULT_SUITE = "nominal"
"""The suite that every problem has, registered or not."""
Notify = Callable[[str], None]
"""Receives progress messages, one line each."""

_SHOWN = ("final_error", "control_cost", "regret_median", "success_rate", "parse_rate")

__all__ = ["Evaluation", "evaluate", "evaluate_groups", "modes_of", "summarise"]


def ignore(_text: str) -> None:
    """Discard the message."""


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Results of a controller and the references on test cases.

    Attributes:
        controller: name of the evaluated controller.
        primary: system -> name of its primary evaluation mode.
        evaluated: one row per case, controller and mode, and the trajectories of the first cases.
    """

    controller: str
    primary: Mapping[str, str]
    evaluated: Evaluated = field(repr=False)

    @property
    def episodes(self) -> list[EpisodeResult]:
        """Results with one row per case, controller and mode."""
        return self.evaluated.episodes

    @cached_property
    def metrics(self) -> Summary:
        """Metrics over all cases: system -> mode -> controller -> metric -> value."""
        return summarise(self.episodes)

    def summary(
        self, *, system: str | None = None, mode: str | None = None, controller: str | None = None
    ) -> dict[str, float]:
        """Return the metrics over all cases of one system, mode and controller.

        Args:
            system: default: the only one.
            mode: such as `open_loop` or `replan_5`; default: the system's primary mode, if it was evaluated.
            controller: `optimum`, `lqr`, `zero`, … ; default: the evaluated controller.

        Raises:
            InputError: no such system, mode or controller was evaluated.
        """
        found = self.metrics
        if system is None and len(found) > 1:
            raise InputError(f"several systems were evaluated. Name one of {', '.join(found)}.")
        name = next(iter(found)) if system is None else require_text(system, "system")
        name = name if name in found else plants.canonical(name)
        modes = _entry(found, name, "system")
        usual = self.primary[name] if self.primary[name] in modes else next(iter(modes))
        controllers = _entry(modes, usual if mode is None else mode, "mode")
        return dict(_entry(controllers, self.controller if controller is None else controller, "controller"))

    def to_pandas(self) -> Any:
        """Return a DataFrame with one row per case, controller and mode."""
        return require_pandas().DataFrame([asdict(row) for row in self.episodes])

    def plot(self, case: int = 0, mode: str | None = None) -> "Figure":
        """Draw states and controls of one of the first cases for every controller.

        Raises:
            InputError: the trajectories of this case were not kept, or the system is not registered.
        """
        from setpoint.reports.figures.episodes import episode_figure

        unknown = {*self.metrics} - {*plants.names()}
        if unknown:
            raise InputError(
                f"{', '.join(sorted(unknown))} is not a registered system, so it cannot be drawn. Call "
                "register_system(problem) first."
            )
        require_whole(case, "case", least=0)
        wanted = None if mode is None else require_text(mode, "mode")
        trajectories = [
            each
            for each in self.evaluated.trajectories
            if each.case_id == case and each.mode == (wanted or self.primary[each.system])
        ]
        if not trajectories:
            kept = sorted({(each.case_id, each.mode) for each in self.evaluated.trajectories})
            raise InputError(f"no trajectories of case {case}. Kept: {', '.join(f'case {c} {m}' for c, m in kept)}.")
        return episode_figure(trajectories)

    def __repr__(self) -> str:
        """Return one line per system, mode and controller."""
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        return html_table("Evaluation", *self._table())

    def _table(self) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Header and rows."""
        rows: list[tuple[object, ...]] = [
            (system, mode, name, *(values.get(metric) for metric in _SHOWN))
            for system, modes in self.metrics.items()
            for mode, controllers in modes.items()
            for name, values in controllers.items()
        ]
        return ("system", "mode", "controller", *_SHOWN), rows


def _entry(found: Mapping[str, Any], name: str, kind: str) -> Any:
    if require_text(name, kind) not in found:
        raise unknown_name(f"evaluated {kind}", name, found)
    return found[name]


def evaluate(
    controller: Controller,
    *,
    problem: Problem | str | None = None,
    cases: int | ArrayLike = DEFAULT_CASES,
    suite: str = DEFAULT_SUITE,
    replan_every: int | Literal["standard"] | None = "standard",
    disturbance: Disturbance = NO_DISTURBANCE,
) -> Evaluation:
    """Evaluate a controller on test cases, compared with the certified optimum, the clipped LQR and zero control.

    Args:
        controller: one of this package, or any object with a `name` and a method `plan(t, x, steps)` that returns a
            `ControlPlan` for a batch of states.
        problem: default: the controller's own.
        cases: number of cases from the suite, or your own initial states, (n_x,) or (B, n_x).
        suite: `nominal`, `tight`, `held_out` or `held_out_systems`.
        replan_every: replanning interval in steps; None for open loop; `standard` for the modes of the benchmark.
        disturbance: noise, delay and plant mismatch. In closed loop `tracking_lqr`, feedback along the optimum, then
            replaces the optimum, because a disturbed state may have none; regret remains relative to the undisturbed
            optimum.

    Raises:
        InputError: an argument is invalid, or no case has a certified optimum.
    """
    require_controller(controller)
    posed = _problem_of(controller, problem)
    require_control_of(controller, posed)
    require_instance(disturbance, Disturbance, "disturbance")
    if controller.name in REFERENCES and type(controller) is not controller_class(controller.name):
        raise InputError(f"{controller.name!r} is the name of a reference controller. Give yours another name.")
    if replan_every == "standard":
        covered = getattr(controller, "covered_steps", posed.steps)
        modes = tuple(mode for mode in standard_modes(posed) if mode.needs(posed) <= covered)
    else:
        modes = (Mode(require_interval(posed, replan_every)),)
    groups = _groups(posed, cases, suite)
    found = evaluate_groups(lambda _problem: controller, [(modes, groups)], disturbance)
    return Evaluation(controller.name, {posed.name: _primary(posed, modes)}, found)


def evaluate_groups(
    make: Callable[[Problem], Controller] | None,
    wanted: Sequence[tuple[Sequence[Mode], Sequence[TestCases]]],
    disturbance: Disturbance = NO_DISTURBANCE,
    *,
    label: str = "controller",
    notify: Notify = ignore,
) -> Evaluated:
    """Evaluate the references, and the controller that `make` returns, on every group of cases.

    Args:
        make: returns the controller of a problem; None to evaluate only the references.
        wanted: modes and groups of cases of each system.
        label: name of the controller in messages.

    Raises:
        InputError: no case of a group has a certified optimum.
    """
    found = Evaluated()
    for modes, groups in wanted:
        first = 0
        for group in groups:
            problem, count = group.problem, len(group.states)
            notify(f"{_title(problem)}: {count} cases, optimum, lqr and zero")
            blocking = usual_blocking(problem.steps)
            optima, rows = evaluate_references(problem, group.states, modes, blocking, disturbance)
            if optima.rejected:
                notify(f"{problem.name}: {optima.rejected} of {count} cases have no certified optimum and are skipped")
            controller = None if make is None else make(problem)
            for mode in modes if controller is not None else ():
                assert controller is not None
                if not any((row.controller, row.mode) == (controller.name, mode.name) for row in rows.episodes):
                    notify(f"{_title(problem)}: {len(optima)} cases, {label}, {mode.name}")
                    rows.add(evaluate_mode(problem, controller, optima, mode, disturbance))
            found.add(rows.numbered_from(first))
            first += len(optima)
    return found


TEST_TYPES = ("standard", "mpc", "both")


def modes_of(
    problem: Problem, test_type: str | None, interval: int | None, name: str, covered: int | None = None
) -> tuple[Mode, ...]:
    """Return open loop (`standard`), replanning (`mpc`), or both where open loop is meaningful.

    Args:
        test_type: None for both, as far as answers are long enough.
        covered: number of steps that an answer covers; None for the whole horizon.
        interval: replanning interval in steps; None for the default, or the horizon if that is shorter.
        name: name of the interval in the error message.

    Raises:
        InputError: the test type is unknown, the interval is invalid, or the plant is unstable in open loop.
    """
    if test_type is None:
        test_type = "both" if covered is None or covered >= problem.steps else "mpc"
    if test_type not in TEST_TYPES:
        raise unknown_name("test type", test_type, TEST_TYPES)
    usual = min(CLOSED_LOOP_REPLANNING, problem.steps)
    replanning = Mode(require_interval(problem, usual if interval is None else interval, name))
    if test_type == "standard" and not problem.open_loop:
        raise InputError(
            f"{problem.name} is unstable in open loop, so open-loop results are not meaningful. Use --test-type mpc."
        )
    if test_type == "mpc" or not problem.open_loop:
        found: tuple[Mode, ...] = (replanning,)
    else:
        found = (OPEN_LOOP,) if test_type == "standard" else (OPEN_LOOP, replanning)
    longest = max(mode.needs(problem) for mode in found)
    if covered is not None and longest > covered:
        raise InputError(
            f"answers of this model cover {covered} steps of {problem.name}, but {longest} are needed. Use --test-type "
            f"mpc, with --mpc-horizon of at most {covered}."
        )
    return found


REFERENCES = ("optimum", "lqr", "zero")
"""Names of the controllers in every evaluation."""
CONTROLLERS = (*REFERENCES, "tracking_lqr", "mpc")
"""Names of all controllers that need no model."""


def controller_class(name: str) -> Callable[[Problem], Controller]:
    """Return the class of the controller `name`, one of `CONTROLLERS`; its module loads CasADi only if it solves."""
    if name in _FEEDBACK:
        return _FEEDBACK[name]
    from setpoint.controllers.mpc import ModelPredictive
    from setpoint.controllers.optimal import OptimalController
    from setpoint.controllers.tracking import TrackingLqr

    return {each.name: each for each in (OptimalController, TrackingLqr, ModelPredictive)}[name]


_FEEDBACK: Mapping[str, Callable[[Problem], Controller]] = {each.name: each for each in (ClippedLqr, ZeroControl)}


def _problem_of(controller: Controller, problem: Problem | str | None) -> Problem:
    if problem is not None:
        return as_problem(problem)
    found = getattr(controller, "problem", None)
    if not isinstance(found, Problem):
        raise InputError(
            f"controller {controller.name!r} has no attribute `problem`. Pass one, as in problem='pendulum'."
        )
    return found


def _groups(problem: Problem, cases: int | ArrayLike, suite: str) -> Sequence[TestCases]:
    require_text(suite, "suite")
    if isinstance(cases, int | np.integer) and not isinstance(cases, bool):
        if _is_registered(problem):
            return suite_cases(suite, problem.name, int(cases))
        require_cases(int(cases))
        states = suite_states(problem, suite, int(cases))
        if suite != DEFAULT_SUITE:
            raise InputError(
                f"suite {suite!r} is defined for registered systems, and this problem of {problem.name} is not one. "
                f"Use suite={DEFAULT_SUITE!r}, or pass initial states as cases."
            )
        return (TestCases(problem, states),)
    if is_number(cases) or isinstance(cases, str | bool):
        raise InputError(f"cases must be a whole number of cases, or initial states, got {shown(cases)}.")
    states, _ = problem.as_states(cases, "cases")
    return (TestCases(problem, states),)


def _is_registered(problem: Problem) -> bool:
    """Return whether this is the problem that its name denotes."""
    return problem.name in plants.names() and problem is problems.get(problem.name)


def _primary(problem: Problem, modes: Sequence[Mode]) -> str:
    """Return the name of the primary evaluation mode, or of the first mode if that was not evaluated."""
    names = [mode.name for mode in modes]
    wanted = OPEN_LOOP.name if problem.evaluation_mode == "open_loop" else names[-1]
    return wanted if wanted in names else names[0]


def _title(problem: Problem) -> str:
    """Return the name of the system, with the parameters that differ from the nominal ones."""
    parameters = problem.plant.parameters
    nominal = plants.get(problem.name).parameters if problem.name in plants.names() else parameters
    changed = [f"{name}={value:g}" for name, value in parameters.items() if value != nominal.get(name)]
    return " ".join([problem.name, *changed])
