"""Proposals of a sampler, given the history of a search."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from setpoint.errors import InputError
from setpoint.experiments.planning.designs import Setting
from setpoint.experiments.planning.spec import SweepSpec
from setpoint.experiments.planning.spec_fields import Search
from setpoint.experiments.search.space import Space
from setpoint.seeding import derive_seed

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study

MOST_STARTUP = 10
"""Random trials before a sampler uses the history; a quarter of a small budget."""
LEAST_STARTUP = 4
_TRIES = 20
"""Proposals for one trial, if they repeat earlier configurations, before random points are drawn."""
_RANDOM_TRIES = 500

Told = tuple[Setting, float | None]
"""A configuration and its objective, which is minimised; None if it failed."""


def proposals(spec: SweepSpec, search: Search, history: Sequence[Told], count: int, first: int) -> list[Setting]:
    """Return up to `count` new configurations; fewer only if the space has no more.

    Trials of one batch are told to the sampler with the worst objective so far (constant liar), and so are those that
    failed, so that it looks elsewhere.

    Args:
        first: number of the first new trial, which decides its seed.

    Raises:
        InputError: Optuna is not installed.
    """
    study = _study()
    from optuna.trial import TrialState

    space = Space(spec)
    known = [value for _, value in history if value is not None]
    worst = max(known, default=0.0)
    for setting, value in history:
        study.add_trial(space.frozen(setting, worst if value is None else value))
    seen = [setting for setting, _ in history]
    found: list[Setting] = []
    for number in range(first, first + count):
        for attempt in range(_TRIES + _RANDOM_TRIES):
            name = search.sampler if attempt < _TRIES else "random"
            seed = derive_seed("search", spec.seed, number, attempt) % 2**32
            study.sampler = _sampler(name, seed, search.trials)
            trial = study.ask()
            setting = space.ask(trial)
            if setting not in seen:
                study.tell(trial, worst)
                seen.append(setting)
                found.append(setting)
                break
            study.tell(trial, state=TrialState.FAIL)
        else:
            break
    return found


def _study() -> "Study":
    try:
        import optuna
    except ImportError as error:
        raise InputError("a search needs Optuna. Install it: pip install 'setpoint[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(direction="minimize", sampler=optuna.samplers.RandomSampler(0))


def _sampler(name: str, seed: int, trials: int) -> "BaseSampler":
    from optuna import samplers

    startup = min(MOST_STARTUP, max(LEAST_STARTUP, trials // 4))
    if name == "tpe":
        return samplers.TPESampler(seed=seed, n_startup_trials=startup)
    if name == "gp":
        return samplers.GPSampler(seed=seed, n_startup_trials=startup)
    return samplers.RandomSampler(seed=seed)
