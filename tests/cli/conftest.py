"""Workspaces with small datasets."""

from pathlib import Path

import pytest

from setpoint.artifacts import Workspace
from setpoint.demonstrations import Recipe, create


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two small datasets; only to be read."""
    root = tmp_path_factory.mktemp("prepared")
    create(Workspace(root), "small", Recipe(systems=("double_integrator",), total_samples=8), workers=1)
    create(Workspace(root), "mixed", Recipe(systems=("double_integrator", "van_der_pol"), total_samples=12), workers=1)
    return root


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    (tmp_path / "datasets").symlink_to(prepared / "datasets")
    return tmp_path
