"""`setpoint experiment run|plan|confirm|status|resume|retry|recover|list|delete|archive`."""

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from setpoint.cli.budgeting import add_budget_options, check_budget_options, chosen, show_designs
from setpoint.cli.keeping import add_keeping
from setpoint.cli.naming import confirm_adapters, say_renamed_datasets
from setpoint.cli.options import add_json, add_workspace, count, one_of, print_json, words, workspace_of
from setpoint.cli.plan_view import show_plan
from setpoint.cli.progress import progress, say
from setpoint.cli.running import (
    add_accept_option,
    add_calibrate_option,
    add_place_options,
    add_run_options,
    check_run_options,
    run_request,
)
from setpoint.cli.spec_options import add_spec_options, spec_from
from setpoint.errors import Findings, InputError, collect, unknown_name

if TYPE_CHECKING:
    from setpoint.api.planning import Preparation
    from setpoint.artifacts import Workspace
    from setpoint.experiments.request import Request
    from setpoint.records.failure import FailureClass


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs below `setpoint experiment`."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def add(name: str, help_line: str, action: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help_line, description=help_line, allow_abbrev=False)
        added.set_defaults(call=action)
        add_workspace(added)
        add_json(added)
        return added

    run_parser = add("run", "run or resume an experiment and print its report", _run)
    _add_identity(run_parser)
    add_spec_options(run_parser)
    add_budget_options(run_parser)
    _add_running(run_parser)
    run_parser.add_argument("--dry-run", action="store_true", help="show the plan without running it")
    add_calibrate_option(run_parser)

    plan_parser = add("plan", "show the plan of an experiment without running it", _plan)
    _add_identity(plan_parser)
    add_spec_options(plan_parser)
    add_budget_options(plan_parser)
    add_calibrate_option(plan_parser)
    plan_parser.add_argument(
        "--commands", action="store_true", help="print the scripts/train_single_system.py command of every run"
    )
    _add_resuming(add)
    _add_confirm(add)

    status_parser = add("status", "show the state of an experiment's runs", _status)
    status_parser.add_argument("experiment_id", metavar="ID")
    status_parser.add_argument("--watch", action="store_true", help="follow the experiment until it ends")
    status_parser.add_argument("--check", action="store_true", help="read every stage instead of the last snapshot")

    list_parser = add("list", "list the experiments of the workspace", _list)
    list_parser.add_argument(
        "--sort", type=one_of(*_SORTED), default="date", metavar="BY", help="date (default), name, state or score"
    )
    add_keeping(add)


_Add = Callable[[str, str, Callable[[argparse.Namespace], int]], argparse.ArgumentParser]


def _add_running(parser: argparse.ArgumentParser) -> None:
    add_run_options(parser)
    add_place_options(parser)
    add_accept_option(parser)


def _add_resuming(add: _Add) -> None:
    """Add the verbs that resume an experiment."""
    resume = add("resume", "resume an experiment; failed runs stay failed", _resume)
    resume.add_argument("experiment_id", metavar="ID")
    _add_running(resume)

    retry = add("retry", "resume an experiment and retry its failed runs", _retry)
    retry.add_argument("experiment_id", metavar="ID")
    retry.add_argument(
        "--class", dest="classes", type=words, metavar="A,B", help="failure classes to retry (default: all)"
    )
    _add_running(retry)

    recover = add("recover", "resume an experiment and retry infrastructure failures", _recover)
    recover.add_argument("experiment_id", metavar="ID")
    recover.add_argument(
        "--class",
        dest="classes",
        type=words,
        metavar="A,B",
        help="failure classes to retry (default: infrastructure failures)",
    )
    recover.add_argument("--dry-run", action="store_true", help="show the recovery steps without running them")
    _add_running(recover)


def _add_confirm(add: _Add) -> None:
    parser = add(
        "confirm",
        "rerun the best configurations of a finished sweep with new seeds, for scores free of selection bias",
        _confirm,
    )
    parser.add_argument("confirmed", metavar="ID", help="finished sweep")
    parser.add_argument("--top", type=count, default=3, metavar="K", help="configurations per system (default 3)")
    parser.add_argument("--seeds", type=count, default=5, metavar="N", help="new seeds per configuration (default 5)")
    _add_identity(parser)
    _add_running(parser)
    parser.add_argument("--dry-run", action="store_true", help="show the plan without running it")


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen action."""
    check_run_options(arguments)
    check_budget_options(arguments)
    action: Callable[[argparse.Namespace], int] = arguments.call
    return action(arguments)


def _add_identity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--experiment-id", metavar="ID", help="name of the experiment (default: <type>-<digest of the specification>)"
    )
    parser.add_argument("--fresh", action="store_true", help="start a new experiment even if the same one exists")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.dry_run:
        return _dry_run(arguments)
    wanted = _requested(arguments)
    confirm_adapters(wanted, yes=arguments.yes)
    if arguments.budget is not None and arguments.calibrate:
        _calibrated(wanted)
    return run_request(chosen(wanted, arguments), arguments)


def _requested(arguments: argparse.Namespace) -> "Request":
    """Return the request for the experiment that the options describe.

    Raises:
        InputError: with one line for each invalid option.
    """
    from setpoint.artifacts import check_identifier
    from setpoint.experiments.planning.datasets import canonical_datasets
    from setpoint.experiments.planning.designs import searched
    from setpoint.experiments.request import make_request
    from setpoint.policies import BUILTIN, resolve_base

    findings = Findings()
    with findings.check():
        spec = spec_from(arguments)
    if findings.errors:  # these checks need no specification
        with findings.check():
            check_identifier("an experiment id", "none" if arguments.experiment_id is None else arguments.experiment_id)
        with findings.check():
            resolve_base(arguments.base_model or BUILTIN)
    findings.settle()
    if arguments.budget is not None and searched(spec) is not None:
        raise InputError("--budget chooses a design, but a search has none. Limit it with --trials, or drop --search.")
    if not getattr(arguments, "quiet", False):
        say_renamed_datasets(spec)
    if arguments.budget is not None:
        from setpoint.api.designs import chosen_before

        earlier = chosen_before(workspace_of(arguments), arguments.experiment_id, canonical_datasets(spec))
        if earlier is not None:
            return earlier
    return make_request(
        workspace_of(arguments),
        spec,
        experiment_id=arguments.experiment_id,
        fresh=arguments.fresh,
        accept_changes=getattr(arguments, "accept_changes", False),
    )


def _dry_run(arguments: argparse.Namespace) -> int:
    """Show the plan, then run the preflight checks of the run itself."""
    from setpoint.api.planning import require_machine

    arguments.commands = False
    wanted = _requested(arguments)
    exit_code = _show_plan(wanted, arguments)
    require_machine(wanted, trains_here=arguments.on == "local")
    return exit_code


def _plan(arguments: argparse.Namespace) -> int:
    return _show_plan(_requested(arguments), arguments)


def _show_plan(wanted: "Request", arguments: argparse.Namespace) -> int:
    from setpoint.api.planning import preview
    from setpoint.experiments.planning.single_run import script_commands

    if arguments.budget is not None:
        if arguments.calibrate:
            _calibrated(wanted)
        if not (arguments.yes or arguments.choose):
            show_designs(wanted, arguments)
            return 0
        prepared = preview(chosen(wanted, arguments))
    else:
        prepared = _calibrated(wanted) if arguments.calibrate else preview(wanted)
    if arguments.commands:
        print("\n".join(script_commands(prepared.plan, wanted.workspace)))
    else:
        show_plan(prepared, as_json=arguments.json)
    return 0


def _calibrated(wanted: "Request") -> "Preparation":
    """Calibrate the estimate with short runs of the stage kinds that have never run in this workspace."""
    from setpoint.api.planning import calibrated

    return calibrated(wanted, say)


def _confirm(arguments: argparse.Namespace) -> int:
    from setpoint.api.confirming import confirmation_request
    from setpoint.api.planning import preview

    wanted = confirmation_request(
        workspace_of(arguments),
        arguments.confirmed,
        top=arguments.top,
        seeds=arguments.seeds,
        experiment_id=arguments.experiment_id,
        fresh=arguments.fresh,
        accept_changes=arguments.accept_changes,
    )
    if not arguments.dry_run:
        return run_request(wanted, arguments)
    show_plan(preview(wanted), as_json=arguments.json)
    return 0


def _resume(arguments: argparse.Namespace) -> int:
    from setpoint.experiments.request import resume_request

    return run_request(resume_request(workspace_of(arguments), arguments.experiment_id), arguments)


def _retry(arguments: argparse.Namespace) -> int:
    from setpoint.experiments.request import resume_request

    classes = _classes(arguments)
    wanted = resume_request(workspace_of(arguments), arguments.experiment_id)
    if not arguments.quiet:
        _say_if_nothing_to_retry(wanted, classes)
    return run_request(wanted, arguments, retry=lambda name: classes is None or name in classes)


def _say_if_nothing_to_retry(wanted: "Request", classes: "frozenset[FailureClass] | None") -> None:
    """Tell the user if no failed stage is of the given classes, because the command then only resumes."""
    from setpoint.experiments.running.status import read_stages
    from setpoint.formatting import listed

    states = read_stages(wanted.workspace, wanted.existing).values() if wanted.existing else ()
    failed = {state.failure.failure_class for state in states if state.failure}
    if classes is None and not failed:
        say("no stage has failed: nothing to retry")
    elif classes is not None and not failed & classes:
        found = f" (failure classes: {listed(sorted(failed))})" if failed else ""
        say(f"no stage has failed with class {listed(sorted(classes), 'or')}{found}: nothing to retry")


def _classes(arguments: argparse.Namespace) -> "frozenset[FailureClass] | None":
    """Return the failure classes given by --class, or None for all of them.

    Raises:
        InputError: a class is unknown.
    """
    from setpoint.records.failure import STAGE_CLASSES, FailureClass

    given = arguments.classes
    collect([unknown_name("failure class", each, STAGE_CLASSES) for each in given or () if each not in STAGE_CLASSES])
    return None if given is None else frozenset(map(FailureClass, given))


def _recover(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from setpoint.experiments.request import resume_request
    from setpoint.experiments.running.recovery import RECOVERABLE, recovery_steps, recovery_text
    from setpoint.experiments.running.status import require_plan

    classes = _classes(arguments) or RECOVERABLE
    workspace = workspace_of(arguments)
    if not arguments.dry_run:
        wanted = resume_request(workspace, arguments.experiment_id)
        return run_request(wanted, arguments, retry=lambda name: name in classes)
    plan = require_plan(workspace, arguments.experiment_id)
    if arguments.json:
        print_json([asdict(step) for step in recovery_steps(workspace, plan, lambda name: name in classes)])
    else:
        print(recovery_text(workspace, plan, lambda name: name in classes))
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from setpoint.experiments.running.scores import best_so_far
    from setpoint.experiments.running.status import read_status, require_plan
    from setpoint.formatting import counted

    workspace = workspace_of(arguments)
    plan = require_plan(workspace, arguments.experiment_id)
    if arguments.watch:
        _watch(workspace, arguments.experiment_id)
    status = read_status(workspace, arguments.experiment_id, check=arguments.check)
    best = best_so_far(workspace, plan)
    if arguments.json:
        print_json({**status.to_json(), "best": [score.to_json() for score in best]})
        return 0
    counts = ", ".join(f"{count} {state}" for state, count in sorted(status.counts.items()))
    print(f"{status.experiment}: {status.state}; {counted(len(status.runs), 'run')}: {counts}")
    if plan.search is not None:
        print(f"search ({plan.search.sampler}): {plan.search.done} of {counted(plan.search.trials, 'trial')} planned")
    for score in best:
        print(f"best so far on {score.text}\n  ({score.run})")
    for name, run_state in status.runs.items():
        named = run_state.failure_class if (run_state.failure_class or "") not in (run_state.reason or "") else None
        detail = ": ".join(filter(None, [named, run_state.reason]))
        print(f"  {run_state.state:<10} {name}{f'  ({detail})' if detail else ''}")
    return 0


def _watch(workspace: "Workspace", experiment_id: str) -> None:
    from setpoint.cli.live import follow
    from setpoint.experiments.running.status import require_plan

    plan = require_plan(workspace, experiment_id)
    with progress(plan, workspace, quiet=False) as listener:
        follow(plan, workspace, listener)


_SORTED = ("date", "name", "state", "score")


def _list(arguments: argparse.Namespace) -> int:
    from setpoint.experiments.running.status import experiment_ids

    workspace = workspace_of(arguments)
    found = []
    for name in experiment_ids(workspace):
        try:
            found.append(_listed(workspace, name))
        except (InputError, OSError) as error:  # an unreadable experiment must not hide the others
            print(f"setpoint: {error}", file=sys.stderr)
    found.sort(key=lambda entry: _sort_key(entry, arguments.sort))
    if arguments.json:
        print_json(found)
    elif not found:
        print(f"no experiments in workspace {str(workspace.root)!r}")
    else:
        print("\n".join(line for entry in found for line in _entry_lines(entry)))
    return 0


def _listed(workspace: "Workspace", name: str) -> dict[str, Any]:
    """Return the record of one experiment: its state, its date, its systems and its best scores."""
    from setpoint.experiments.running.scores import best_so_far
    from setpoint.experiments.running.status import read_status, require_plan

    plan = require_plan(workspace, name)
    status = read_status(workspace, name)
    best = [score.to_json() | {"text": score.text} for score in best_so_far(workspace, plan)]
    return {**status.to_json(), "created_at": plan.created_at, "systems": list(plan.systems), "best": best}


def _sort_key(entry: dict[str, Any], by: str) -> tuple[Any, ...]:
    keys: dict[str, Any] = {
        "date": entry["created_at"],
        "name": entry["experiment"],
        "state": entry["state"],
        "score": min((score["value"] for score in entry["best"]), default=float("inf")),
    }
    return keys[by], entry["experiment"]


def _entry_lines(entry: dict[str, Any]) -> list[str]:
    """Return an experiment in lines of at most 80 characters: its date and state, then the best run of each system."""
    done = f"{entry['counts'].get('ok', 0)}/{len(entry['runs'])} ok"
    scores = [f"    best on {score['text']}" for score in entry["best"]]
    return [
        f"{entry['created_at'][:10]}  {entry['state']:<11}  {done:<9}  {entry['experiment']}",
        *(scores or [f"    {', '.join(entry['systems'])}: no score yet"]),
    ]
