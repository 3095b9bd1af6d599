"""Every system of this package keeps the contract that plug-ins are held to."""

import pytest

from setpoint import plants
from setpoint.testing import SystemContract


@pytest.fixture(scope="class", autouse=True, params=plants.shipped_names())
def _system(request: pytest.FixtureRequest) -> None:
    request.cls.system = request.param


class TestShippedSystem(SystemContract):
    """The contract, once for every name."""
