"""Proposals: distinct, inside the space, and determined by the history alone."""

import math

import pytest

from setpoint.experiments.planning.canonical import canonical_spec
from setpoint.experiments.planning.spec import SweepSpec, make_spec
from setpoint.experiments.search.sampling import Told, proposals
from setpoint.experiments.search.space import Space

FIELDS = {
    "systems": "di",
    "training_types": ["sft"],
    "ranges": {"learning_rate": {"min": 1e-5, "max": 1e-2, "scale": "log"}, "sft.steps": {"min": 10, "max": 50}},
}


def spec_of(**fields: object) -> SweepSpec:
    given = {**FIELDS, "parameters": {"lora_rank": [2, 4, 8, 16]}, "search": {"sampler": "tpe", "trials": 30}, **fields}
    spec = canonical_spec(make_spec(given))
    assert isinstance(spec, SweepSpec)
    return spec


def propose(spec: SweepSpec, history: list[Told], count: int) -> list[dict[str, object]]:
    assert spec.search is not None
    return [dict(each) for each in proposals(spec, spec.search, history, count, len(history))]


def searched(spec: SweepSpec, count: int, batch: int = 1) -> list[Told]:
    """A whole search of a bowl with its minimum at rank 8 and a learning rate of 1e-3."""
    assert spec.search is not None
    history: list[Told] = []
    while len(history) < count:
        for setting in proposals(spec, spec.search, history, batch, len(history)):
            rate, rank = setting["learning_rate"], setting.get("lora_rank", 8)
            assert isinstance(rate, float) and isinstance(rank, int)
            history.append((setting, (math.log10(rate) + 3.0) ** 2 + abs(rank - 8)))
    return history


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_history_gives_the_same_trials(sampler: str) -> None:
    spec = spec_of(search={"sampler": sampler, "trials": 30})
    whole = searched(spec, 14)
    assert propose(spec, whole[:13], 1) == [dict(whole[13][0])]
    assert propose(spec, whole[:5], 1) == [dict(whole[5][0])]


def test_a_batch_has_distinct_trials_inside_the_space() -> None:
    spec = spec_of()
    space, history = Space(spec), searched(spec, 12, batch=4)
    assert all(space.contains(setting) for setting, _ in history)
    assert len({tuple(setting.items()) for setting, _ in history}) == 12
    assert all(isinstance(setting["sft.steps"], int) for setting, _ in history)


def test_tpe_finds_a_better_point_than_it_starts_with_and_failures_do_not_stop_it() -> None:
    spec = spec_of()
    history = searched(spec, 30, batch=2)
    values = [value for _, value in history if value is not None]
    assert min(values[8:]) < min(values[:8]) + 1e-12
    failed: list[Told] = [(setting, None if k % 3 == 0 else value) for k, (setting, value) in enumerate(history)]
    assert len(propose(spec, failed, 2)) == 2


def test_an_exhausted_space_ends_the_search() -> None:
    spec = spec_of(ranges={}, parameters={"lora_rank": [2, 4], "learning_rate": [1e-4, 1e-3]})
    found = propose(spec, [], 10)
    assert len(found) == 4
    history: list[Told] = [({"lora_rank": f["lora_rank"], "learning_rate": f["learning_rate"]}, 1.0) for f in found]  # type: ignore[dict-item]
    assert propose(spec, history, 2) == []


def test_parameters_are_asked_only_where_their_condition_holds() -> None:
    spec = spec_of(conditions={"sft.steps": {"lora_rank": [8]}})
    history = searched(spec, 16, batch=4)
    assert {("sft.steps" in setting) for setting, _ in history} == {True, False}
    assert all(("sft.steps" in setting) == (setting["lora_rank"] == 8) for setting, _ in history)
