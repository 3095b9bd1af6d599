"""Which sources belong to the identity of a stage, and which do not."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from setpoint import provenance
from setpoint.artifacts import StageKind
from setpoint.experiments.planning import build, stages
from support.sweeps import make_plan

Edit = Callable[[str], None]


def forget_sources() -> None:
    for cached in (provenance._layer_digest, stages._code, build._code_json):
        cached.cache_clear()


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edit]:
    """Changes a word in a copy of the sources, whose digests are those of the stages from here on."""
    sources = tmp_path / "setpoint"
    shutil.copytree(provenance.PACKAGE, sources, ignore=shutil.ignore_patterns("builtin_tiny", "__pycache__"))
    monkeypatch.setattr(provenance, "PACKAGE", sources)
    forget_sources()

    def change(name: str) -> None:
        path = sources / name
        path.write_text(path.read_text().replace("the", "a", 1))
        forget_sources()

    yield change
    monkeypatch.undo()
    forget_sources()


def stage_ids() -> dict[StageKind, set[str]]:
    found: dict[StageKind, set[str]] = {}
    for name, stage in make_plan().stages.items():
        found.setdefault(stage.kind, set()).add(name)
    return found


def test_a_word_in_code_that_makes_no_result_changes_no_identity(edit: Edit) -> None:
    before = stage_ids()
    for name in (
        "pretraining/recipe.py",
        "references/tables.py",
        "reports/text.py",
        "analysis/data/reading.py",
        "experiments/launch.py",
        "records/plan.py",
        "api/running.py",
        "cli/main.py",
    ):
        edit(name)
        assert stage_ids() == before, name


def test_a_word_in_code_that_makes_results_changes_what_depends_on_it(edit: Edit) -> None:
    before = stage_ids()
    edit("training/sft.py")
    trained = stage_ids()
    assert trained[StageKind.SFT].isdisjoint(before[StageKind.SFT])
    assert trained[StageKind.GRPO].isdisjoint(before[StageKind.GRPO])
    assert trained[StageKind.REFERENCE] == before[StageKind.REFERENCE]
    edit("evaluation/run.py")
    evaluated = stage_ids()
    assert evaluated[StageKind.EVALUATE].isdisjoint(trained[StageKind.EVALUATE])
    assert evaluated[StageKind.REFERENCE].isdisjoint(trained[StageKind.REFERENCE])
    assert evaluated[StageKind.SFT] == trained[StageKind.SFT]


@pytest.mark.parametrize("layer", sorted({layer for code in stages.STAGES.values() for layer in code.layers}))
def test_every_source_that_is_named_is_there(layer: str) -> None:
    assert (provenance.PACKAGE / f"{layer}.py").exists() or list((provenance.PACKAGE / layer).rglob("*.py"))
