"""Plans of experiments, before they run."""

from setpoint.api.running import Notify
from setpoint.experiments.launch import Preparation, available_adapters, prepare, preview, require_machine
from setpoint.experiments.request import Request

__all__ = ["Preparation", "available_adapters", "calibrated", "prepare", "preview", "require_machine"]


def calibrated(request: Request, notify: Notify) -> Preparation:
    """Return the plan after short runs have timed the stage kinds that have never run in the workspace.

    Raises:
        InputError: a requirement is missing.
    """
    return prepare(request, notify, calibration=True)
