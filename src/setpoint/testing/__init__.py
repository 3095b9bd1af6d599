"""Tools to test with: conformance tests for what others add, and faults that are injected on purpose.

Nothing here is active unless it is asked for. `SystemContract` loads the solvers, so it is imported when it is named.
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
