"""The swept values as a search space of Optuna: one dimension per axis, and only where its condition holds."""

from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from setpoint.experiments.planning.designs import Setting, SweepAxis, axes, conditional, rounded
from setpoint.experiments.planning.spec import SweepSpec
from setpoint.records.plan import Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial


class Space:
    """Search space of a specification.

    Attributes:
        axes: dimensions, those that others depend on first.
    """

    def __init__(self, spec: SweepSpec) -> None:
        """Order the axes by their conditions."""
        self._spec = spec
        every = axes(spec)
        owner = {name: k for k, axis in enumerate(every) for name in axis.names}
        needs = {
            k: {owner[other] for name in axis.names for other in spec.conditions.get(name, {}) if other in owner}
            for k, axis in enumerate(every)
        }
        self.axes = [every[k] for k in TopologicalSorter(needs).static_order()]

    def ask(self, trial: "Trial") -> Setting:
        """Return the configuration that the sampler of `trial` proposes."""
        setting: Setting = {}
        for axis in self.axes:
            if self._swept(axis, setting):
                setting |= _values(axis, _suggested(trial, axis))
        return self.canonical(setting)

    def frozen(self, setting: Setting, value: float) -> "FrozenTrial":
        """Return a finished trial with this objective, which is minimised."""
        from optuna.trial import create_trial

        here = [axis for axis in self.axes if axis.names[0] in setting]
        return create_trial(
            params={_name(axis): _coordinate(axis, setting) for axis in here},
            distributions={_name(axis): _distribution(axis) for axis in here},
            value=value,
        )

    def canonical(self, setting: Setting) -> Setting:
        """Return the values in the order of the specification, without those whose condition does not hold."""
        order = [*self._spec.parameters, *self._spec.ranges]
        kept = conditional(self._spec, setting, self._spec.training_types[0])
        return {name: kept[name] for name in order if name in kept}

    def contains(self, setting: Setting) -> bool:
        """Return whether the values are a configuration of this space."""
        return all(
            _inside(axis, setting) for axis in self.axes if self._swept(axis, setting)
        ) and setting == self.canonical(setting)

    def _swept(self, axis: SweepAxis, setting: Setting) -> bool:
        probe = {**setting, **{name: setting.get(name, value) for name, value in axis.at(0.0).items()}}
        return axis.names[0] in conditional(self._spec, probe, self._spec.training_types[0])


def _name(axis: SweepAxis) -> str:
    return "+".join(axis.names)


def _ordered(axis: SweepAxis) -> bool:
    """Return whether listed values are ascending numbers, so that neighbours are alike."""
    values = [values[0] for values in axis.levels]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return len(numbers) == len(values) and numbers == sorted(numbers)


def _distribution(axis: SweepAxis) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if axis.range is None:
        last = len(axis.levels) - 1
        return IntDistribution(0, last) if _ordered(axis) else CategoricalDistribution(tuple(range(last + 1)))
    low, high, log = axis.range.min, axis.range.max, axis.range.scale == "log"
    return IntDistribution(int(low), int(high), log=log) if axis.range.whole else FloatDistribution(low, high, log=log)


def _suggested(trial: "Trial", axis: SweepAxis) -> float:
    """Return the coordinate that the sampler chooses."""
    from optuna.distributions import FloatDistribution, IntDistribution

    name, found = _name(axis), _distribution(axis)
    if isinstance(found, IntDistribution):
        return trial.suggest_int(name, found.low, found.high, log=found.log)
    if isinstance(found, FloatDistribution):
        return trial.suggest_float(name, found.low, found.high, log=found.log)
    position = trial.suggest_categorical(name, list(range(len(axis.levels))))
    assert isinstance(position, int)
    return position


def _values(axis: SweepAxis, coordinate: float) -> Setting:
    if axis.range is None:
        return dict(zip(axis.names, axis.levels[int(coordinate)], strict=True))
    return {axis.names[0]: rounded(axis.range, coordinate)}


def _coordinate(axis: SweepAxis, setting: Setting) -> float:
    if axis.range is None:
        return axis.levels.index(_chosen(axis, setting))
    value = setting[axis.names[0]]
    assert isinstance(value, int | float)
    return int(value) if axis.range.whole else float(value)


def _chosen(axis: SweepAxis, setting: Setting) -> tuple[Value, ...]:
    return tuple(setting[name] for name in axis.names)


def _inside(axis: SweepAxis, setting: Setting) -> bool:
    if any(name not in setting for name in axis.names):
        return False
    if axis.range is None:
        return _chosen(axis, setting) in axis.levels
    value = setting[axis.names[0]]
    return isinstance(value, int | float) and axis.range.min <= value <= axis.range.max
