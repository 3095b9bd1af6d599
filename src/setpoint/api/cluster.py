"""Batch scripts of an experiment for a SLURM cluster."""

from setpoint.api.running import Notify, Slurm
from setpoint.execution.slurm import Client, Unavailable
from setpoint.execution.slurm.client import ClusterLimits
from setpoint.experiments import launch
from setpoint.experiments.request import Request
from setpoint.experiments.slurm import scripts
from setpoint.experiments.slurm.scripts import GeneratedScripts


def generate_scripts(
    request: Request, slurm: Slurm, *, submit: bool, notify: Notify
) -> tuple[GeneratedScripts, dict[str, str]]:
    """Plan the experiment, write its scripts, and optionally submit them.

    Returns:
        The scripts, and a table from batch name to job id of the submitted ones.

    Raises:
        InputError: a requirement is missing, or SLURM rejects a script.
    """
    client = Client()
    if submit:
        client.require()
    cluster = slurm.cluster(request.folder)
    prepared = launch.prepare(request, notify, trains_here=False)
    scripts.freeze(prepared)
    try:
        limits = client.limits
    except Unavailable as error:
        notify(f"cannot query the limits of SLURM ({error}); using its defaults")
        limits = ClusterLimits()
    generated = scripts.generate(request.workspace, prepared.plan, cluster, limits)
    return generated, scripts.submit(generated, client) if submit else {}
