"""Three clusters: with accounting and cgroups; with neither, small arrays and a short memory; with cgroups alone."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Commands
from lab import Experiment, Lab, missing

RUN = os.getpid() % 200
"""Decides on ports and on the names of nodes, so that two runs of these tests do not meet."""
PORT = 20000 + 60 * RUN
SETTINGS = {
    "accounting": {"DBD": "1", "BASE_PORT": str(PORT), "NODE": f"a{RUN}-", "ENFORCE": "limits"},
    "bare": {
        **{"DBD": "0", "BASE_PORT": str(PORT + 20), "NODE": f"b{RUN}-"},
        **{"CGROUP": "0", "MAXARRAY": "11", "MIN_JOB_AGE": "15"},
    },
    "cgroups": {"DBD": "0", "BASE_PORT": str(PORT + 40), "NODE": f"c{RUN}-"},
}


class Clusters:
    """Clusters that are brought up when they are first asked for, and stay up."""

    def __init__(self) -> None:
        self._up: dict[str, Lab] = {}

    def use(self, name: str) -> Lab:
        """The cluster that SLURM's commands mean from now on; each test starts with all its daemons."""
        settings = SETTINGS[name]
        reason = missing(accounting=settings["DBD"] == "1")
        if reason is not None:
            pytest.skip(f"NO REAL SLURM: {reason}")
        if name not in self._up:
            self._up[name] = Lab(Path(tempfile.mkdtemp(prefix="setpoint-slurm-")), settings)
        self._up[name].up()
        return self._up[name]

    def down(self) -> None:
        for lab in self._up.values():
            lab.down()


@pytest.fixture(scope="session")
def clusters() -> Iterator[Clusters]:
    """All clusters, taken down in the end."""
    found = Clusters()
    try:
        yield found
    finally:
        found.down()


@pytest.fixture(params=["accounting", "bare"])
def lab(clusters: Clusters, request: pytest.FixtureRequest) -> Lab:
    """The two clusters that differ most, in turn."""
    return clusters.use(request.param)


@pytest.fixture(params=list(SETTINGS))
def every_lab(clusters: Clusters, request: pytest.FixtureRequest) -> Lab:
    """Each cluster in turn, for what depends on how memory is watched."""
    return clusters.use(request.param)


@pytest.fixture
def accounting_lab(clusters: Clusters) -> Lab:
    return clusters.use("accounting")


@pytest.fixture
def bare_lab(clusters: Clusters) -> Lab:
    return clusters.use("bare")


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """An empty experiment."""
    return Experiment(tmp_path)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Stand-ins for SLURM's commands that say nothing."""
    return Commands(tmp_path / "bin", monkeypatch)
