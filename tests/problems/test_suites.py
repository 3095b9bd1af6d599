"""Suites by name: which systems, which parameters, which states, and apart from what is trained on."""

from dataclasses import replace

import numpy as np
import pytest

from setpoint import plants, problems
from setpoint.errors import InputError
from setpoint.problems import NAMED_SUITES, require_disjoint, suite_cases, suite_states, suite_systems
from setpoint.problems.suites import CASES_PER_MEMBER, smallest_distance


@pytest.mark.parametrize("suite", NAMED_SUITES)
def test_a_longer_suite_begins_with_the_shorter_one(suite: str) -> None:
    for system in suite_systems(suite):
        short, long = (suite_cases(suite, system, cases) for cases in (12, 25))
        one, other = (np.concatenate([group.states for group in groups]) for groups in (short, long))
        assert np.array_equal(one, other[:12])
        assert [group.problem for group in short] == [group.problem for group in long[: len(short)]]


def test_suites_hold_the_systems_that_their_names_say() -> None:
    assert suite_systems("nominal") == plants.names()
    assert all(name.endswith("_tight") for name in suite_systems("tight"))
    assert set(suite_systems("held_out_systems")) == {"duffing", "orbit_raising", "attitude_mrp"}


def test_held_out_members_have_no_parameter_that_training_draws() -> None:
    for system in suite_systems("held_out"):
        groups = suite_cases("held_out", system, 35)
        assert [len(group.states) for group in groups] == [CASES_PER_MEMBER] * 3 + [5]
        family = plants.get(system).family
        for group in groups:
            assert all(interval.holds_out(group.problem.plant.parameters[name]) for name, interval in family.items())
        assert len({group.problem.plant for group in groups}) > 1


def test_the_states_of_the_suites_are_apart() -> None:
    problem = problems.get("van_der_pol")
    nominal, held_out = (suite_states(problem, suite, 200) for suite in ("nominal", "held_out"))
    assert smallest_distance(problem, nominal, held_out) > 0
    require_disjoint(problem, problem.initial_states(20, "elsewhere"), nominal[:20])
    with pytest.raises(InputError, match=r"must differ by more than 0\.001 of the half width"):
        require_disjoint(problem, nominal[5:6] + 1e-4, nominal)
    assert smallest_distance(problem, nominal, np.empty((0, 2))) == float("inf")


def test_mistakes_are_named() -> None:
    with pytest.raises(InputError, match=r"unknown suite 'tigth'.*Did you mean 'tight'\?"):
        suite_systems("tigth")
    with pytest.raises(InputError, match="duffing is not in suite 'held_out'"):
        suite_cases("held_out", "duffing", 5)
    with pytest.raises(InputError, match="at least one case"):
        suite_cases("nominal", "duffing", 0)


def test_states_that_are_not_in_the_initial_set_are_refused() -> None:
    problem = problems.get("orbit_raising")
    problem.require_initial(problem.initial_states(50, "any"))
    for state in ([1.1, 0.0, 1.0], [float("nan"), 0.0, 1.0]):
        with pytest.raises(InputError, match=r"must lie in its initial set \(radius 0.97 … 1.03"):
            problem.require_initial(np.array([state]))


def test_everything_that_is_wrong_with_a_problem_is_said_at_once() -> None:
    problem = problems.get("pendulum")
    with pytest.raises(InputError) as caught:
        replace(problem, steps=0, q=(1.0,), target=(float("nan"), 0.0))
    for part in ("steps must be an integer of at least 1, got 0", "q must have 2 values", "target must be finite"):
        assert part in str(caught.value)


def test_one_number_for_several_is_told_how_many_there_are() -> None:
    problem = problems.get("pendulum")
    with pytest.raises(InputError, match=r"q must be a tuple of 2 numbers, got 10\.0"):
        replace(problem, q=10.0)
    with pytest.raises(InputError, match=r"r must have 1 value, got 2"):
        replace(problem, r=(0.1, 0.1))
