"""`--budget`: designs that fit, what each can detect, and the user's choice."""

import argparse
import math
import sys
from typing import TYPE_CHECKING, Any

from setpoint.cli.options import count
from setpoint.errors import InputError

if TYPE_CHECKING:
    from setpoint.artifacts import Workspace
    from setpoint.experiments.cost.budget import Budget, Offer
    from setpoint.experiments.planning.spec import ExperimentSpec, SweptSpec
    from setpoint.experiments.request import Request
    from setpoint.records.plan import Plan

_PILOTS = 3
"""Finished experiments that are looked at for the spread between seeds."""


def add_budget_options(parser: argparse.ArgumentParser) -> None:
    """What may be spent, and which of the designs that fit is taken."""
    budget = parser.add_argument_group("within a budget")
    budget.add_argument("--budget", metavar="N", help="such as 12runs, 8core-hours or 40gpu-hours: offers designs")
    budget.add_argument("--choose", type=count, metavar="K", help="take the K-th design that is offered")
    budget.add_argument("--yes", action="store_true", help="take the first design that is offered")


def check_budget_options(arguments: argparse.Namespace) -> None:
    """Refuse a choice among designs that nobody will offer.

    Raises:
        InputError: see above.
    """
    given = [f"--{name}" for name in ("choose", "yes") if getattr(arguments, name, None)]
    if given and arguments.budget is None:
        raise InputError(
            f"{' and '.join(given)} would have no effect, for designs are only offered within a budget. Add --budget, "
            "or leave it out."
        )


def offered(request: "Request", text: str) -> "tuple[Budget, list[Offer]]":
    """The designs within the budget.

    Raises:
        InputError: nothing fits, or it is not known what the stages cost.
    """
    from setpoint.experiments.cost.budget import Budget, offers

    budget = Budget.parse(text)
    plans: dict[str, Plan] = {}

    def plan(spec: "SweptSpec") -> "Plan":
        from dataclasses import replace

        from setpoint.experiments.launch import preview

        key = spec.model_dump_json()
        if key not in plans:
            plans[key] = preview(replace(request, spec=spec, existing=None))
        return plans[key]

    return budget, offers(request.spec, budget, plan, lambda found: _price(found, request.workspace, budget))


def offers_text(budget: "Budget", found: "list[Offer]", workspace: "Workspace") -> str:
    """The designs, a paragraph each, with what they can detect at 80 % power."""
    from setpoint.analysis.data.formatting import counted

    spec = found[0].spec
    spread = _seed_spread(workspace, spec)
    metric = spec.metrics[0]
    scale = f"; 1 SD between seeds is {_percent(spread)} of {metric} here" if spread else ""
    lines = [f"Designs within {budget}, and what they resolve with 80 % power at alpha 0.05{scale}:"]
    for number, offer in enumerate(found, start=1):
        replicates = counted(offer.spec.replicates, "replicate")
        size = f"{counted(offer.configurations, 'configuration')} x {replicates} = {counted(offer.runs, 'run')}"
        spent = "" if budget.unit == "runs" else f", {offer.spent:.3g} {budget.unit}"
        lines.append(f"  {number}. {offer.name}: {size}{spent}")
        lines.append(f"     {_detects(offer, spread)}")
    return "\n".join(lines)


def chosen(request: "Request", arguments: argparse.Namespace) -> "Request":
    """The request for the design that the user takes; unchanged without a budget.

    Raises:
        InputError: nobody is there to choose, or there is no such design.
    """
    from setpoint.experiments.request import make_request

    if arguments.budget is None or request.existing is not None:
        return request
    budget, found = offered(request, arguments.budget)
    print(offers_text(budget, found, request.workspace), file=sys.stderr)
    number = arguments.choose or (1 if arguments.yes else _asked(len(found)))
    if not 1 <= number <= len(found):
        raise InputError(f"designs are numbered 1 to {len(found)}, but {number} was chosen. Choose one of them.")
    identifier = arguments.experiment_id
    spec = found[number - 1].spec
    return make_request(request.workspace, spec, experiment_id=identifier, fresh=arguments.fresh)


def chosen_before(workspace: "Workspace", identifier: str | None, spec: "ExperimentSpec") -> "Request | None":
    """The experiment of this id, where it is a design that was chosen for the same question.

    So the same command goes on, although what is left to pay for has changed.
    """
    from setpoint.experiments.cost.budget import VARIED
    from setpoint.experiments.planning.spec import planned_spec
    from setpoint.experiments.request import resume_request
    from setpoint.records.plan import read_plan

    plan = None if identifier is None else read_plan(workspace.experiment(identifier))
    if plan is None or identifier is None:
        return None
    asked, before = (each.model_dump(exclude=set(VARIED)) for each in (spec, planned_spec(plan)))
    return resume_request(workspace, identifier) if asked == before else None


def offers_json(budget: "Budget", found: "list[Offer]", workspace: "Workspace") -> list[dict[str, Any]]:
    """The designs for programs."""
    spread = _seed_spread(workspace, found[0].spec)
    return [
        {
            "name": offer.name,
            "runs": offer.runs,
            "configurations": offer.configurations,
            "replicates": offer.spec.replicates,
            "spent": offer.spent,
            "unit": budget.unit,
            "detectable_seed_deviations": _between_levels(offer),
            "seed_deviation": spread,
            "spec": offer.spec.model_dump(mode="json", exclude_defaults=True),
        }
        for offer in found
    ]


def _asked(count_: int) -> int:
    if not sys.stdin.isatty():
        raise InputError(f"a design must be chosen, 1 to {count_}. Use --choose K, or --yes for the first.")
    print(f"Which one? 1 to {count_} [1] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip() or "1"
    return int(answer) if answer.isdecimal() else 0


def _detects(offer: "Offer", spread: float | None) -> str:
    if offer.spec.design == "sobol":
        return "no tests between levels; shows where the good values are, to be compared with fresh seeds"
    between_configurations = _smallest(offer.spec.replicates, 1, offer.configurations, 1)
    return (
        f"between two levels of a parameter: {_difference(_between_levels(offer), spread)}; "
        f"between two configurations: {_difference(between_configurations, spread)}"
    )


def _between_levels(offer: "Offer") -> float | None:
    seeds = offer.spec.replicates
    return _smallest(seeds, offer.runs_per_level // seeds, offer.levels, offer.parameters)


def _smallest(seeds: int, cells: int, levels: int, tests: int) -> float | None:
    """In standard deviations between seeds; None where there is no error to test against."""
    from setpoint.analysis.statistics.intervals import detectable_difference, planned_contrast

    if seeds * cells < 2 or levels < 2:
        return None
    return detectable_difference(*planned_contrast(seeds, cells), levels, 0.05 / tests)


def _difference(deviations: float | None, spread: float | None) -> str:
    if deviations is None:
        return "nothing (one run each)"
    known = f" ({_percent(deviations * spread)})" if spread else ""
    return f"{deviations:.1f} SD between seeds{known}"


def _percent(log_difference: float) -> str:
    return f"{100 * math.expm1(min(log_difference, 7.0)):.0f} %"


def _seed_spread(workspace: "Workspace", spec: "ExperimentSpec") -> float | None:
    """The SD between seeds of the logarithm of the primary metric, from experiments on the same systems.

    None where none of them has replicates, or the metric has no logarithm.
    """
    from setpoint.analysis.data.design import Scale, observe
    from setpoint.analysis.data.reading import read_experiment
    from setpoint.analysis.statistics.intervals import pooled_deviation
    from setpoint.experiments.planning.spec_fields import METRICS
    from setpoint.experiments.running.status import experiment_ids
    from setpoint.records.plan import plan_path, read_plan

    metric = spec.metrics[0]
    if METRICS[metric] != "log":
        return None
    folders = [workspace.experiment(name) for name in experiment_ids(workspace)]
    for folder in sorted(folders, key=lambda path: -plan_path(path).stat().st_mtime)[:_PILOTS]:
        try:
            plan = read_plan(folder)
            if plan is None or plan.systems != spec.systems or not any(run.replicate for run in plan.runs):
                continue
            data = read_experiment(folder)
        except InputError:  # damaged ones say nothing
            continue
        samples: dict[tuple[int, str], list[float]] = {}
        for seen in observe(data, Scale(data.quantity(metric), logarithmic=True)):
            if seen.value is not None:
                samples.setdefault((seen.run.configuration, seen.system), []).append(seen.value)
        deviation, df = pooled_deviation(list(samples.values()))
        if df and deviation:
            return deviation
    return None


def _price(plan: "Plan", workspace: "Workspace", budget: "Budget") -> float:
    """What is left of a plan, in the unit of the budget.

    Raises:
        InputError: kinds of stages that never ran here.
    """
    from setpoint.experiments.cost.estimate import estimate

    if budget.unit == "runs":
        return float(len(plan.runs))
    expected = estimate(plan, workspace, 1)
    if expected.unknown:
        raise InputError(
            f"what {', '.join(expected.unknown)} stages cost is not known here, so that no design can be priced. "
            "Measure it with --calibrate, or give the budget in runs."
        )
    return expected.gpu_hours if budget.unit == "gpu-hours" else expected.cpu_s / 3600.0
