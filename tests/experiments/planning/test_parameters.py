"""What swept names mean, and which values are taken."""

import pytest

from setpoint.errors import InputError, InputErrors
from setpoint.experiments.planning.parameters import (
    canonical_axes,
    canonical_fixed,
    find,
    parse_tokens,
    rate_ratios,
    resolve,
)
from setpoint.policies.presets import GENERAL, SMALL, TINY, BasePreset

DI = ("double_integrator",)


@pytest.mark.parametrize(
    ("name", "canonical", "places"),
    [
        ("lora.rank", "lora_rank", [("lora", "rank")]),
        ("lora_rank", "lora_rank", [("lora", "rank")]),
        ("rank", "lora_rank", [("lora", "rank")]),
        (
            "learning_rate",
            "learning_rate",
            [("sft", "learning_rate"), ("dagger", "learning_rate"), ("grpo", "learning_rate")],
        ),
        ("sft.learning_rate", "sft.learning_rate", [("sft", "learning_rate")]),
        ("sft_learning_rate", "sft.learning_rate", [("sft", "learning_rate")]),
        ("temperature", "grpo.temperature", [("grpo", "temperature")]),
        ("batch_size", "batch_size", [("sft", "batch_size"), ("dagger", "batch_size"), ("grpo", "batch_size")]),
    ],
)
def test_names(name: str, canonical: str, places: list[tuple[str, str]]) -> None:
    parameter = find(name)
    assert parameter.name == canonical
    assert list(parameter.places) == places


@pytest.mark.parametrize(("name", "nearest"), [("lora_rnak", "lora_rank"), ("learning_rat", "learning_rate")])
def test_an_unknown_name_is_answered_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(InputError, match=f"Did you mean '{nearest}'"):
        find(name)


@pytest.mark.parametrize("name", ["seed", "seeds", "replicates"])
def test_a_seed_is_no_parameter(name: str) -> None:
    with pytest.raises(InputError, match=f"seeds cannot be swept, but '{name}'.*Use --replicates"):
        find(name)


def test_tokens_become_numbers() -> None:
    axes = canonical_axes(parse_tokens(["lora_rank:4,8,16", "learning_rate:1e-4,2e-4"]), ["both"])
    assert axes == {"lora_rank": (4, 8, 16), "learning_rate": (1e-4, 2e-4)}
    assert isinstance(axes["lora_rank"][0], int)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("lora_rank:0", "lora_rank must be at least 1 and at most 1024, got '0'"),
        ("lora_rank:4.5", "integer"),
        ("lora_rank:1_6", "lora_rank: expected a number, got '1_6'"),
        ("learning_rate:1_0e-4", "got '1_0e-4'"),
        ("lora_rank:4,,8", "empty value"),
        ("lora_rank:", "empty value"),
        ("lora_rank", "name:value,value"),
        (":4", "name:value,value"),
        ("lora_rank:4,8,4", "repeated value of 'lora_rank': 4"),
        ("learning_rate:1e-4,0.0001", "repeated"),
        ("learning_rate:abc", "must be a number, got 'abc'"),
        ("learning_rate:nan", "finite"),
        ("learning_rate:inf", "finite"),
        ("learning_rate:-1", "greater than 0, got '-1'"),
        ("grpo.loss:ppo", "'dr_grpo' or 'grpo'"),
    ],
)
def test_values_that_cannot_be_used(token: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        canonical_axes(parse_tokens([token]), ["both"])


def test_all_mistakes_at_once() -> None:
    with pytest.raises(InputErrors) as caught:
        canonical_axes(parse_tokens(["lora_rank:0,-1", "learning_rate:abc", "colour:red"]), ["both"])
    assert len(str(caught.value).splitlines()) == 4


@pytest.mark.parametrize("tokens", [["lora_rank:4", "rank:8"], ["learning_rate:1e-4", "sft.learning_rate:1e-3"]])
def test_a_place_is_set_once(tokens: list[str]) -> None:
    first, second = (token.partition(":")[0] for token in tokens)
    with pytest.raises(InputError, match=f"'{first}' and '{second}' both set"):
        canonical_axes(parse_tokens(tokens), ["both"])
    with pytest.raises(InputError, match="twice"):
        parse_tokens(["lora_rank:4", "lora_rank:8"])
    with pytest.raises(InputError, match="both set"):
        canonical_fixed({"learning_rate": 1e-4}, ["sft.learning_rate"], ["both"])


def test_a_flag_is_no_number() -> None:
    with pytest.raises(InputError, match="lora_rank: expected a number, got True"):
        canonical_fixed({"lora_rank": True}, [], ["both"])


def test_a_parameter_that_no_run_reads_is_refused() -> None:
    with pytest.raises(InputError, match="has no effect with training type sft"):
        canonical_axes({"grpo.temperature": [0.7]}, ["sft"])


def test_only_stages_that_are_trained_restrict_a_bare_name() -> None:
    assert canonical_axes({"batch_size": ["1"]}, ["sft"]) == {"batch_size": (1,)}
    with pytest.raises(InputError, match="batch_size must be at least 2, got '1'"):
        canonical_axes({"batch_size": ["1"]}, ["both"])


def test_a_bare_learning_rate_is_that_of_the_first_stage_and_later_ones_follow() -> None:
    both = resolve(TINY, "both", {"learning_rate": 3e-4}, DI)
    assert (both["sft"]["learning_rate"], both["grpo"]["learning_rate"]) == (3e-4, 1.5e-4)
    assert rate_ratios(both) == [("grpo", 0.5)]
    assert resolve(TINY, "grpo", {"learning_rate": 3e-4}, DI)["grpo"]["learning_rate"] == 3e-4
    three = resolve(SMALL, "dagger_grpo", {"learning_rate": 2e-3}, DI)
    assert [three[kind]["learning_rate"] for kind in ("sft", "dagger", "grpo")] == [2e-3, 1e-3, 1e-4]


@pytest.mark.parametrize("training_type", ["both", "dagger_grpo"])
@pytest.mark.parametrize("preset", [TINY, SMALL, GENERAL])
def test_the_default_rate_of_the_first_stage_gives_the_default_rates_of_all(
    preset: BasePreset, training_type: str
) -> None:
    named = resolve(preset, training_type, {"learning_rate": preset.sft["learning_rate"]}, DI)
    assert named == resolve(preset, training_type, {}, DI)


def test_one_stage_has_a_rate_or_a_ratio_of_its_own() -> None:
    rates = {"learning_rate": 4e-4, "grpo.learning_rate": 1e-5}
    assert resolve(TINY, "both", rates, DI)["grpo"]["learning_rate"] == 1e-5
    assert canonical_axes({"learning_rate": [4e-4], "grpo.learning_rate": [1e-5]}, ["sft", "both"])
    ratio = {"learning_rate": 4e-4, "grpo.learning_rate_ratio": 0.1}
    resolved = resolve(TINY, "both", ratio, DI)
    assert resolved["grpo"]["learning_rate"] == 4e-5
    assert resolved == resolve(TINY, "both", {"learning_rate": 4e-4, "grpo.learning_rate": 4e-5}, DI)
    assert resolve(TINY, "both", {"sft.learning_rate": 4e-4}, DI)["grpo"]["learning_rate"] == TINY.grpo["learning_rate"]
    with pytest.raises(
        InputError, match=r"grpo\.learning_rate and grpo\.learning_rate_ratio both set the rate of grpo"
    ):
        resolve(TINY, "both", {**ratio, "grpo.learning_rate": 1e-5}, DI)
    with pytest.raises(InputError, match=r"'learning_rate' and 'grpo\.learning_rate' both set"):
        canonical_axes({"learning_rate": [4e-4], "grpo.learning_rate": [1e-5]}, ["grpo", "both"])
    with pytest.raises(InputError, match="has no effect with training type grpo"):
        canonical_axes({"grpo.learning_rate_ratio": [0.1]}, ["grpo"])


def test_a_bare_name_sets_every_trained_stage() -> None:
    both = resolve(TINY, "both", {"batch_size": 32, "lora_rank": 4}, DI)
    assert both["sft"]["batch_size"] == both["grpo"]["batch_size"] == 32
    assert both["lora"]["rank"] == 4
    assert both["lora"]["scale"] == TINY.lora["scale"]
    assert set(resolve(TINY, "sft", {"learning_rate": 3e-4}, DI)) == {"prompt", "answer", "generation", "lora", "sft"}
    one = resolve(TINY, "both", {"grpo.learning_rate": 3e-4}, DI)
    assert one["sft"]["learning_rate"] == TINY.sft["learning_rate"]


def test_values_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(InputError, match="multiple of num_generations"):
        resolve(TINY, "grpo", {"batch_size": 12}, DI)


def test_the_reward_scores_what_the_systems_are_judged_by() -> None:
    assert resolve(TINY, "grpo", {}, DI)["grpo"]["reward_horizon"] == 0
    assert resolve(TINY, "grpo", {}, ("van_der_pol",))["grpo"]["reward_horizon"] == 5
    assert resolve(TINY, "grpo", {}, (*DI, "pendulum"))["grpo"]["reward_horizon"] == 5
    assert resolve(TINY, "grpo", {"grpo.reward_horizon": 3}, DI)["grpo"]["reward_horizon"] == 3
