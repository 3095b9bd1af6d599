"""Provenance is found out without changing anything."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from setpoint import provenance


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository of its own in the place of the package's."""
    (tmp_path / "provenance.py").write_text("")
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    provenance.git_state.cache_clear()
    yield tmp_path
    provenance.git_state.cache_clear()


def test_commit_and_changes_are_recorded(checkout: Path) -> None:
    state = provenance.git_state()
    assert state is not None
    assert len(state["commit"]) == 40
    assert state["changed"] is False
    (checkout / "provenance.py").write_text("changed")
    provenance.git_state.cache_clear()
    assert provenance.git_state() == {**state, "changed": True}


def test_the_index_is_never_refreshed(checkout: Path) -> None:
    """`git status` locks and rewrites it otherwise; a worker killed at that moment would leave the lock behind."""
    index = checkout / ".git" / "index"
    os.utime(checkout / "provenance.py", (0, 0))
    before = index.read_bytes()
    assert provenance.git_state() is not None
    assert index.read_bytes() == before


def test_outside_a_checkout_there_is_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    provenance.git_state.cache_clear()
    assert provenance.git_state() is None
    provenance.git_state.cache_clear()


def test_the_code_digest_follows_the_sources_of_its_layers() -> None:
    assert provenance.code_digest(["errors", "systems"]) == provenance.code_digest(["systems", "errors"])
    assert provenance.code_digest(["errors"]) != provenance.code_digest(["seeding"])
