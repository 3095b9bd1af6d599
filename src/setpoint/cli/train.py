"""`setpoint train`: train and evaluate one model, as an experiment with one run."""

import argparse

from setpoint.cli.naming import say_renamed_datasets
from setpoint.cli.options import add_json, add_workspace, print_json, words, workspace_of
from setpoint.cli.plan_view import show_plan
from setpoint.cli.progress import say
from setpoint.cli.running import (
    add_accept_option,
    add_calibrate_option,
    add_place_options,
    add_run_options,
    check_run_options,
    run_request,
)
from setpoint.cli.spec_options import MATCH_HELP, add_training_options, training_fields
from setpoint.errors import InputError

_PARAMETERS = ("lora_rank", "learning_rate", "batch_size")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `setpoint train`."""
    parser.add_argument(
        "--system",
        "--systems",
        dest="systems",
        type=words,
        metavar="A,B",
        help="system; with several, the model is universal",
    )
    parser.add_argument(
        "--dataset-name", metavar="NAME", help="dataset of demonstrations (default: that of the systems)"
    )
    parser.add_argument("--datasets", type=words, metavar="A,B", help="datasets, in the order of --systems")
    parser.add_argument(
        "--training-type",
        default="both",
        metavar="TYPE",
        help="sft, grpo, both (SFT then GRPO), dagger (SFT then DAgger) or dagger_grpo (default both)",
    )
    parser.add_argument(
        "--run-id", metavar="ID", help="name of the run (default: single-<digest of the specification>)"
    )
    parser.add_argument("--fresh", action="store_true", help="start a new run even if the same one exists")
    parser.add_argument("--match", metavar="HOW", help=MATCH_HELP)
    parser.add_argument("--start-from", metavar="ADAPTER", help="adapter to train further (folder or kind/id)")
    for name in _PARAMETERS:
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="V", help=f"short for --set {name}=V")
    add_training_options(parser)
    add_run_options(parser)
    add_place_options(parser)
    add_accept_option(parser)
    add_workspace(parser)
    add_json(parser)
    parser.add_argument("--again", action="store_true", help="retry stages that failed before, whatever the reason")
    parser.add_argument("--dry-run", action="store_true", help="show the plan without running it")
    add_calibrate_option(parser)
    parser.add_argument("--list-datasets", action="store_true", help="list the datasets of the workspace and exit")


def run(arguments: argparse.Namespace) -> int:
    """Train the model; reuse finished stages."""
    from setpoint.api.planning import calibrated, preview, require_machine
    from setpoint.experiments.planning.single_run import single_fields
    from setpoint.experiments.planning.spec import make_spec
    from setpoint.experiments.request import make_request

    check_run_options(arguments)
    if arguments.list_datasets:
        return _list_datasets(arguments)
    if arguments.systems is None:
        raise InputError("training needs a system. Name it with --system; `setpoint systems` lists them.")
    fields = training_fields(arguments)
    parameters = fields.pop("fixed", {})
    for name in _PARAMETERS:
        if getattr(arguments, name) is not None:
            if name in parameters:
                raise InputError(f"{name!r} is set by --set and by --{name.replace('_', '-')}. Use one of them.")
            parameters[name] = getattr(arguments, name)
    spec = make_spec(
        single_fields(systems=arguments.systems, training_type=arguments.training_type, parameters=parameters, **fields)
    )
    if not arguments.quiet:
        say_renamed_datasets(spec)
    wanted = make_request(
        workspace_of(arguments),
        spec,
        experiment_id=arguments.run_id,
        fresh=arguments.fresh,
        accept_changes=arguments.accept_changes,
    )
    if not arguments.dry_run:
        return run_request(wanted, arguments, retry=lambda _: arguments.again)
    show_plan(calibrated(wanted, say) if arguments.calibrate else preview(wanted), as_json=arguments.json)
    require_machine(wanted, trains_here=arguments.on == "local")
    return 0


def _list_datasets(arguments: argparse.Namespace) -> int:
    from setpoint.demonstrations import list_datasets

    found = list_datasets(workspace_of(arguments))
    if arguments.json:
        print_json([{"name": data.name, "systems": list(data.systems), "rows": data.total_rows} for data in found])
    else:
        for data in found:
            print(f"{data.name}  {', '.join(data.systems)}  {data.total_rows} rows")
    return 0
