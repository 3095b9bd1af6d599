"""`setpoint grpo preflight`: whether GRPO would have a signal to learn from, before it costs anything."""

import argparse

from setpoint.cli.options import add_json, add_workspace, print_json, words, workspace_of
from setpoint.cli.progress import say
from setpoint.cli.spec_options import add_training_options, training_fields
from setpoint.errors import InputError

_TARGET = "setpoint.training.grpo:run_preflight"
_LABELS = {
    "readable": "readable share of sampled answers",
    "groups_with_spread": "share of prompts whose answers have different rewards",
    "greedy": "mean reward of the most likely answers",
    "sampled": "mean reward of sampled answers",
    "best": "mean reward of the best sample of each prompt",
    "spread": "mean standard deviation of rewards of a prompt",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs below `setpoint grpo`."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    help_line = "sample and score a few groups of answers, without training"
    check = verbs.add_parser("preflight", help=help_line, description=help_line, allow_abbrev=False)
    check.add_argument(
        "--system", "--systems", dest="systems", type=words, required=True, metavar="A,B", help="system or systems"
    )
    check.add_argument(
        "--dataset-name", metavar="NAME", help="dataset of demonstrations (default: that of the systems)"
    )
    check.add_argument("--start-from", metavar="ADAPTER", help="adapter to train further (folder or kind/id)")
    add_training_options(check)
    add_workspace(check)
    add_json(check)


def run(arguments: argparse.Namespace) -> int:
    """Print what the pre-flight found; a stage without a signal is an error."""
    from setpoint.api.planning import prepare
    from setpoint.experiments.planning.single_run import single_fields
    from setpoint.experiments.planning.spec import make_spec
    from setpoint.experiments.request import make_request
    from setpoint.experiments.running.one_stage import examine_stage

    fields = training_fields(arguments)
    parameters = fields.pop("fixed", {})
    single = single_fields(systems=arguments.systems, training_type="grpo", parameters=parameters, **fields)
    workspace = workspace_of(arguments)
    plan = prepare(make_request(workspace, make_spec(single), fresh=True), say).plan
    found = examine_stage(workspace, plan, plan.runs[0].stages["grpo"], _TARGET)
    values = {name: found[f"preflight_{name}"] for name in _LABELS}
    if arguments.json:
        print_json(values)
    else:
        for name, label in _LABELS.items():
            print(f"{values[name]:8.3f}  {label}")
    if not values["readable"] or not values["groups_with_spread"]:
        raise InputError(
            "GRPO has no signal to learn from here. Train with SFT first if answers are unreadable; otherwise raise "
            "grpo.temperature or grpo.num_generations."
        )
    return 0
