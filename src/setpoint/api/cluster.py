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
    """Plan the experiment, write its scripts, and submit them if asked to.

    Returns:
        The scripts, and batch name -> job id of those that were submitted.

    Raises:
        InputError: something is missing, or SLURM refuses a script.
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
        notify(f"SLURM could not be asked for its limits ({error}); using the usual ones")
        limits = ClusterLimits()
    generated = scripts.generate(request.workspace, prepared.plan, cluster, limits)
    return generated, scripts.submit(generated, client) if submit else {}
