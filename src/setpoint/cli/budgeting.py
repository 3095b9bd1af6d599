"""`--budget`: designs that fit a budget, their minimum detectable differences, and the user's choice."""

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


ALL_AVAILABLE = "all_available"


def add_budget_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for a budget and for the choice of a design."""
    budget = parser.add_argument_group("within a budget")
    budget.add_argument(
        "--budget", metavar="N", help="propose designs within a budget, such as 12runs, 8core-hours or 40gpu-hours"
    )
    budget.add_argument("--choose", type=count, metavar="K", help="choose the K-th proposed design")
    budget.add_argument(
        "--yes",
        action="store_true",
        help="choose the first proposed design; take all adapters of --base-models all_available",
    )


def check_budget_options(arguments: argparse.Namespace) -> None:
    """Reject a choice of a design without a budget.

    Raises:
        InputError: --choose or --yes is given without --budget.
    """
    asked = getattr(arguments, "base_models", None) == ALL_AVAILABLE
    options = ("choose",) if asked else ("choose", "yes")
    given = [f"--{name}" for name in options if getattr(arguments, name, None)]
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
    """Return the designs, one paragraph each, with their minimum detectable differences at 80 % power."""
    from setpoint.formatting import counted

    spread = found[0].seed_deviation
    metric = found[0].offer.spec.metrics[0]
    scale = f"; 1 seed SD = {_percent(spread)} of {metric}" if spread else ""
    lines = [f"Designs within {budget} (minimum detectable differences at 80 % power, alpha 0.05{scale}):"]
    for number, design in enumerate(found, start=1):
        offer = design.offer
        replicates = counted(offer.spec.replicates, "replicate")
        size = f"{counted(offer.configurations, 'configuration')} x {replicates} = {counted(offer.runs, 'run')}"
        spent = "" if budget.unit == "runs" else f", {offer.spent:.3g} {budget.unit}"
        lines.append(f"  {number}. {offer.name}: {size}{spent}")
        lines.append(f"     {_detects(design)}")
    return "\n".join(lines)


def chosen(request: "Request", arguments: argparse.Namespace) -> "Request":
    """Return the request for the design that the user chooses; unchanged without a budget.

    Raises:
        InputError: no design was chosen and stdin is not a terminal, or there is no such design.
    """
    from setpoint.api.designs import designs_within
    from setpoint.experiments.cost.budget import Budget
    from setpoint.experiments.request import make_request

    if arguments.budget is None or request.existing is not None:
        return request
    budget = Budget.parse(arguments.budget)
    found = designs_within(request, budget)
    print(designs_text(budget, found), file=sys.stderr)
    number = arguments.choose or (1 if arguments.yes else _ask(len(found)))
    if not 1 <= number <= len(found):
        raise InputError(f"there is no design {number}. Choose one from 1 to {len(found)}.")
    identifier = arguments.experiment_id
    spec = found[number - 1].offer.spec
    return make_request(request.workspace, spec, experiment_id=identifier, fresh=arguments.fresh)


def _ask(most: int) -> int:
    if not sys.stdin.isatty():
        raise InputError(f"no design is chosen. Choose one from 1 to {most} with --choose, or the first with --yes.")
    print(f"Design (1 to {most}) [1]: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip() or "1"
    return int(answer) if answer.isdecimal() else 0


def _detects(design: "PricedDesign") -> str:
    if design.offer.spec.design == "sobol":
        return "screening only (no tests between levels); confirm with new seeds"
    spread = design.seed_deviation
    return (
        f"minimum detectable difference between levels: {_difference(design.between_levels, spread)}; "
        f"between configurations: {_difference(design.between_configurations, spread)}"
    )


def _difference(deviations: float | None, spread: float | None) -> str:
    if deviations is None:
        return "n/a (one run per cell)"
    known = f" ({_percent(deviations * spread)})" if spread else ""
    return f"{deviations:.1f} × seed SD{known}"


def _percent(log_difference: float) -> str:
    from setpoint.api.designs import relative_change

    return f"{100 * relative_change(log_difference):.0f} %"
