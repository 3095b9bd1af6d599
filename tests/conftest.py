"""What every test needs: nothing that one test registers is there for the next."""

from collections.abc import Iterator

import pytest

from setpoint.plants import registry


@pytest.fixture(autouse=True)
def _systems_of_this_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget at the end of a test the systems that it registered in this process."""
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_registered", dict(registry._registered))
        yield
    registry.get.cache_clear()
