"""Testing tools: conformance tests for third-party systems, and fault injection.

Nothing here is active by default. `SystemContract` loads the solvers, so it is imported on first access.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from setpoint.testing.system_contract import SystemContract

__all__ = ["SystemContract"]


def __getattr__(name: str) -> Any:
    if name == "SystemContract":
        from setpoint.testing.system_contract import SystemContract

        return SystemContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
