"""`setpoint doctor`: preflight checks of the machine and the workspace."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from setpoint.cli.options import add_json, add_workspace, print_json, workspace_of
from setpoint.errors import InputError

if TYPE_CHECKING:
    from setpoint.artifacts import Workspace
    from setpoint.experiments.preflight import Check
    from setpoint.policies import BaseModel

_MARKS = {"ok": "ok     ", "remark": "remark ", "problem": "PROBLEM"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `setpoint doctor`."""
    parser.add_argument("--base-model", default="builtin:tiny", metavar="BASE", help="base model to train")
    add_workspace(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print every check; return 3 if one finds a problem."""
    from setpoint.experiments.preflight import check_machine

    workspace = workspace_of(arguments)
    base, base_checks = _check_base(arguments.base_model)
    checks = [*check_machine(workspace, base), *base_checks, *_check_datasets(workspace)]
    if arguments.json:
        print_json([asdict(check) for check in checks])
    else:
        for check in checks:
            print(f"{_MARKS[check.result]}  {check.name}: {check.text}")
    return InputError.exit_code if any(check.result == "problem" for check in checks) else 0


def _check_base(name: str) -> "tuple[BaseModel | None, list[Check]]":
    """Return the base of this name, and the checks of it that `check_machine` does not cover."""
    from setpoint.experiments.preflight import Check
    from setpoint.policies import resolve_base
    from setpoint.policies.base_report import examine_base

    try:
        base = resolve_base(name)
    except InputError as error:
        return None, [Check("base model", "problem", str(error))]
    if base.on_hub:
        return base, []
    report = examine_base(base)
    if report.problem:
        return None, [Check("base model", "problem", f"{base.name} cannot be used: {report.problem}")]
    facts = "".join(f"; {fact}" for fact in report.facts)
    return base, [Check("base model", "ok", f"{base.name} at {base.location}, digest {base.digest}{facts}")]


def _check_datasets(workspace: "Workspace") -> "list[Check]":
    from setpoint.demonstrations import damage_text, list_datasets
    from setpoint.experiments.preflight import Check

    found = list_datasets(workspace)
    if not found:
        return [Check("datasets", "ok", "none yet (generated on first use)")]
    checks = []
    for data in found:
        text = f"{data.name}: {', '.join(data.systems)}, {data.total_rows} rows"
        damage = damage_text(data)
        checks.append(Check("dataset", "remark", f"{text}; {damage}") if damage else Check("dataset", "ok", text))
    return checks
