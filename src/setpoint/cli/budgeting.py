"""`--budget`: designs that fit, what each can detect, and the user's choice."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from setpoint.cli.options import count, print_json
from setpoint.errors import InputError

if TYPE_CHECKING:
    from setpoint.api.designs import PricedDesign
    from setpoint.experiments.cost.budget import Budget
    from setpoint.experiments.request import Request


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
        verb = "have" if len(given) > 1 else "has"
        raise InputError(f"{' and '.join(given)} {verb} no effect without --budget. Add --budget.")


def show_designs(request: "Request", arguments: argparse.Namespace) -> None:
    """Print the designs that fit the budget."""
    from setpoint.api.designs import designs_within
    from setpoint.experiments.cost.budget import Budget

    budget = Budget.parse(arguments.budget)
    found = designs_within(request, budget)
    if arguments.json:
        print_json([design.to_json(budget) for design in found])
    else:
        print(designs_text(budget, found))


def designs_text(budget: "Budget", found: "Sequence[PricedDesign]") -> str:
    """The designs, a paragraph each, with what they can detect at 80 % power."""
    from setpoint.formatting import counted

    spread = found[0].seed_deviation
    metric = found[0].offer.spec.metrics[0]
    scale = f"; 1 SD between seeds is {_percent(spread)} of {metric} here" if spread else ""
    lines = [f"Designs within {budget}, and the differences they detect with 80 % power at alpha 0.05{scale}:"]
    for number, design in enumerate(found, start=1):
        offer = design.offer
        replicates = counted(offer.spec.replicates, "replicate")
        size = f"{counted(offer.configurations, 'configuration')} x {replicates} = {counted(offer.runs, 'run')}"
        spent = "" if budget.unit == "runs" else f", {offer.spent:.3g} {budget.unit}"
        lines.append(f"  {number}. {offer.name}: {size}{spent}")
        lines.append(f"     {_detects(design)}")
    return "\n".join(lines)


def chosen(request: "Request", arguments: argparse.Namespace) -> "Request":
    """The request for the design that the user chooses; unchanged without a budget.

    Raises:
        InputError: nobody is there to choose, or there is no such design.
    """
    from setpoint.api.designs import designs_within
    from setpoint.experiments.cost.budget import Budget
    from setpoint.experiments.request import make_request

    if arguments.budget is None or request.existing is not None:
        return request
    budget = Budget.parse(arguments.budget)
    found = designs_within(request, budget)
    print(designs_text(budget, found), file=sys.stderr)
    number = arguments.choose or (1 if arguments.yes else _asked(len(found)))
    if not 1 <= number <= len(found):
        raise InputError(f"designs are numbered 1 to {len(found)}, but {number} was chosen. Choose one of them.")
    identifier = arguments.experiment_id
    spec = found[number - 1].offer.spec
    return make_request(request.workspace, spec, experiment_id=identifier, fresh=arguments.fresh)


def _asked(count_: int) -> int:
    if not sys.stdin.isatty():
        raise InputError(f"choose a design, 1 to {count_}: use --choose K, or --yes for the first.")
    print(f"Which one? 1 to {count_} [1] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip() or "1"
    return int(answer) if answer.isdecimal() else 0


def _detects(design: "PricedDesign") -> str:
    if design.offer.spec.design == "sobol":
        return "no tests between levels: screening only; confirm with new seeds"
    spread = design.seed_deviation
    return (
        f"smallest detectable level difference: {_difference(design.between_levels, spread)}; "
        f"between two configurations: {_difference(design.between_configurations, spread)}"
    )


def _difference(deviations: float | None, spread: float | None) -> str:
    if deviations is None:
        return "n/a (one run per cell)"
    known = f" ({_percent(deviations * spread)})" if spread else ""
    return f"{deviations:.1f} × seed SD{known}"


def _percent(log_difference: float) -> str:
    from setpoint.api.designs import relative_change

    return f"{100 * relative_change(log_difference):.0f} %"
