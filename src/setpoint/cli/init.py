"""`setpoint init FILE.yaml`: write a commented specification to start from."""

import argparse
from pathlib import Path

from setpoint.cli.options import file_path, words


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "file",
        nargs="?",
        type=file_path,
        default=Path("experiment.yaml"),
        metavar="FILE.yaml",
        help="new file (default experiment.yaml); its JSON schema for editors is written beside it",
    )
    parser.add_argument(
        "--experiment-type",
        default="hyperparameter_sweep",
        metavar="TYPE",
        help="hyperparameter_sweep (default), cross_system, training_ablation or transfer_learning",
    )
    parser.add_argument(
        "--systems",
        type=words,
        default=[],
        metavar="A,B",
        help="systems of the experiment; of a transfer, the source and then its targets (default: an example)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the specification and its schema."""
    import shlex

    from setpoint.api.schemas import start_specification
    from setpoint.cli.progress import say

    start_specification(arguments.file, arguments.experiment_type, tuple(arguments.systems))
    print(arguments.file)
    say(f"check it with: {shlex.join(['setpoint', 'experiment', 'plan', '--spec', str(arguments.file)])}")
    return 0
