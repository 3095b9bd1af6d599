"""`setpoint schema [WHAT]`: print the JSON schema of specification files or cluster profiles."""

import argparse

from setpoint.cli.options import one_of, print_json

SPECIFICATION, PROFILE = "specification", "profile"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "what",
        nargs="?",
        type=one_of(SPECIFICATION, PROFILE),
        default=SPECIFICATION,
        metavar="WHAT",
        help="specification (default) or profile, the file of a SLURM cluster",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the schema."""
    from setpoint.api.schemas import profile_schema, specification_schema

    print_json(profile_schema() if arguments.what == PROFILE else specification_schema())
    return 0
