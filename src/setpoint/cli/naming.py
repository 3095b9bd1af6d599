"""Messages about names on the command line: renamed datasets, and the adapters that `all_available` takes."""

import sys
from typing import TYPE_CHECKING

from setpoint.cli.progress import say
from setpoint.errors import InputError

if TYPE_CHECKING:
    from setpoint.experiments.planning.spec import ExperimentSpec
    from setpoint.experiments.request import Request


def say_renamed_datasets(spec: "ExperimentSpec") -> None:
    """Say which dataset a short name stands for, such as `double_integrator` for `di`."""
    from setpoint.experiments.planning.datasets import renamed_datasets

    for given, name in renamed_datasets(spec).items():
        say(f"dataset {given!r} is {name!r}")


def confirm_adapters(request: "Request", *, yes: bool) -> None:
    """List the adapters that `all_available` takes, and ask; nothing if the experiment exists or takes none.

    Raises:
        InputError: the answer is no, or there is nobody to ask.
    """
    from setpoint.api.planning import available_adapters
    from setpoint.formatting import counted

    found = available_adapters(request)
    if not found or yes:
        return
    lines = [f"  {adapter.place}  ({adapter.label}, seed {adapter.seed})" for adapter in found]
    count = counted(len(found), "adapter")
    print("\n".join([f"--base-models all_available takes {count}:", *lines]), file=sys.stderr)
    if not sys.stdin.isatty():
        raise InputError(f"all_available takes {count}. Accept them with --yes, or use --base-models source.")
    print("Start? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise InputError("nothing was started.")
