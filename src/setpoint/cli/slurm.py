"""`setpoint slurm generate|submit|status|collect|cancel`."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from setpoint.cli.options import add_json, add_workspace, print_json, workspace_of
from setpoint.cli.progress import say, say_nothing
from setpoint.cli.running import add_cluster_options, add_take_over_option, exit_code, slurm_of
from setpoint.cli.spec_options import add_spec_options, spec_from

if TYPE_CHECKING:
    from setpoint.experiments.slurm.scripts import GeneratedScripts


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs below `setpoint slurm`."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def add(name: str, help_line: str, action: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help_line, description=help_line, allow_abbrev=False)
        added.set_defaults(call=action)
        add_workspace(added)
        add_json(added)
        return added

    generate = add("generate", "plan an experiment and write its batch scripts", _generate)
    generate.add_argument("--experiment-id", metavar="ID", help="name of the experiment (default: <type>-<digest>)")
    generate.add_argument("--fresh", action="store_true", help="start a new experiment even if the same one exists")
    add_spec_options(generate)
    add_cluster_options(generate)
    generate.add_argument("--submit-batch", action="store_true", help="also submit the scripts")
    generate.add_argument("--quiet", action="store_true", help="no progress on stderr")

    submit = add("submit", "submit the scripts generated last", _submit)
    submit.add_argument("experiment_id", metavar="ID")
    status = add("status", "show the job of every stage and the suggested action", _status)
    status.add_argument("experiment_id", metavar="ID")
    collect = add("collect", "record how the jobs ended, then write and print the report", _collect)
    collect.add_argument("experiment_id", metavar="ID")
    add_take_over_option(collect)
    cancel = add("cancel", "cancel all jobs of an experiment", _cancel)
    cancel.add_argument("experiment_id", metavar="ID")


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen action."""
    action: Callable[[argparse.Namespace], int] = arguments.call
    return action(arguments)


def _generate(arguments: argparse.Namespace) -> int:
    from setpoint.api.cluster import generate_scripts
    from setpoint.experiments.request import make_request

    request = make_request(
        workspace_of(arguments), spec_from(arguments), experiment_id=arguments.experiment_id, fresh=arguments.fresh
    )
    notify = say_nothing if arguments.quiet else say
    generated, jobs = generate_scripts(request, slurm_of(arguments), submit=arguments.submit_batch, notify=notify)
    _show(generated, jobs, as_json=arguments.json)
    return 0


def _submit(arguments: argparse.Namespace) -> int:
    from setpoint.execution.slurm import Client
    from setpoint.experiments.running.status import require_plan
    from setpoint.experiments.slurm import scripts

    workspace = workspace_of(arguments)
    plan = require_plan(workspace, arguments.experiment_id)
    generated = scripts.read_generated(workspace, plan)
    _show(generated, scripts.submit(generated, Client()), as_json=arguments.json)
    return 0


def _show(generated: "GeneratedScripts", jobs: dict[str, str], *, as_json: bool) -> None:
    from setpoint.experiments.running.commands import command

    if as_json:
        described = [
            {"script": str(batch.script), "stages": len(batch.stages), "job": jobs.get(batch.name)}
            for batch in generated.batches
        ]
        print_json({"experiment": generated.site.experiment, "submit": str(generated.submit), "scripts": described})
        return
    for batch in generated.batches:
        after = ", ".join(f"{link.kind} {link.batch}" for link in batch.after)
        job = f"job {jobs[batch.name]:<8} " if batch.name in jobs else ""
        print(f"{job}{batch.script}  {len(batch.stages)} {batch.kind}{f'  after: {after}' if after else ''}")
    name = generated.site.experiment
    if jobs:
        status = command(generated.workspace, name, "slurm", "status")
        report = generated.site.folder.parent / "reports" / "report.txt"
        print(f"submitted; the last job writes {report}. Monitor it with: {status}")
    else:
        print(f"submit them with: {generated.submit}")


def _status(arguments: argparse.Namespace) -> int:
    from collections import Counter

    from setpoint.execution.slurm import Client
    from setpoint.experiments.running.status import require_plan
    from setpoint.experiments.slurm import jobs

    workspace = workspace_of(arguments)
    plan = require_plan(workspace, arguments.experiment_id)
    reports = jobs.status(workspace, plan, Client())
    if arguments.json:
        print_json([asdict(report) for report in reports])
        return 0
    counts = ", ".join(f"{number} {state}" for state, number in sorted(Counter(each.state for each in reports).items()))
    print(f"{plan.experiment}: {len(reports)} stages: {counts}")
    for each in reports:
        words = " ".join(filter(None, [each.slurm_state, each.reason, each.node, each.failure_class]))
        print(f"  {each.state:<9} {each.kind:<10} {each.stage}  {each.job:<10} {words}".rstrip())
        if each.action:
            print(f"            -> {each.action}")
    return 0


def _collect(arguments: argparse.Namespace) -> int:
    from setpoint.execution.slurm import Client
    from setpoint.experiments.running.status import read_status, require_plan
    from setpoint.experiments.slurm import jobs
    from setpoint.reports import write_reports

    workspace = workspace_of(arguments)
    plan = require_plan(workspace, arguments.experiment_id)
    for stage, failure_class in jobs.collect(workspace, plan, Client(), take_over=arguments.take_over).items():
        print(f"setpoint: {plan.stages[stage].kind} {stage} failed ({failure_class})", file=sys.stderr)
    status = read_status(workspace, plan.experiment)
    report = write_reports(workspace.experiment(plan.experiment))
    if arguments.json:
        print_json({**status.to_json(), "report": str(report)})
    else:
        print(report.read_text(encoding="utf-8"), end="")
    return exit_code(status)


def _cancel(arguments: argparse.Namespace) -> int:
    from setpoint.execution.slurm import Client
    from setpoint.experiments.running.status import require_plan
    from setpoint.experiments.slurm import jobs

    workspace = workspace_of(arguments)
    ended = jobs.cancel(workspace, require_plan(workspace, arguments.experiment_id), Client())
    if arguments.json:
        print_json(ended)
    else:
        print(f"cancelled {', '.join(ended)}" if ended else "no jobs in the queue")
    return 0
