"""What an experiment would run, before it runs."""

from setpoint.api.running import Notify
from setpoint.experiments.launch import Preparation, prepare, preview, require_machine
from setpoint.experiments.request import Request

__all__ = ["Preparation", "calibrated", "preview", "require_machine"]


def calibrated(request: Request, notify: Notify) -> Preparation:
    """The plan, after short runs measured what kinds of stages cost that have never run in the workspace.

    Raises:
        InputError: something is missing.
    """
    return prepare(request, notify, calibration=True)
