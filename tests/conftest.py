"""What every test needs: nothing that one test registers is there for the next."""

from collections.abc import Iterator

import pytest

from setpoint.plants import registry


@pytest.fixture(autouse=True)
def _systems_of_this_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start without systems that were registered in this process, and forget those of the test at its end."""
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_registered", {})
        yield
    registry.get.cache_clear()
