"""The Python API, from `setpoint.__all__` and the docstrings."""

import functools
import importlib
import inspect
import typing
from collections.abc import Callable, Iterator

import setpoint
from pages.markdown import page
from setpoint.experiments.planning.spec import SPECS

TYPES = {
    "setpoint.analysis.data.experiment": ("ExperimentData", "RunResult"),
    "setpoint.analysis.data.tables": ("TableQuestion",),
    "setpoint.api.experiment": ("BestRun",),
    "setpoint.artifacts": ("StageKind",),
    "setpoint.bridges.environment": ("ControlEnvironment",),
    "setpoint.controllers.shooting": ("Optimum",),
    "setpoint.episodes": ("EpisodeResult",),
    "setpoint.execution": ("Limits",),
    "setpoint.experiments.cost.estimate": ("Estimate", "StageCost"),
    "setpoint.experiments.request": ("Request",),
    "setpoint.experiments.slurm.scripts": ("Cluster",),
    "setpoint.modes": ("EvaluationMode",),
    "setpoint.plants": ("Interval",),
    "setpoint.policies.controller": ("LLMController",),
    "setpoint.problems": ("MoveBlocking",),
    "setpoint.records.estimate": ("EstimateRecord",),
    "setpoint.records.plan": ("Plan",),
    "setpoint.records.state": ("ExperimentState",),
    "setpoint.trajectory": ("Trajectory", "Termination"),
}
"""What public names take or return, by the module that it is imported from."""

OWN_PAGES = {"Claim", *(spec.__name__ for spec in SPECS.values())}
"""Types that other pages of the reference describe."""

ABOUT = """\
# Python API

`import setpoint as sp` offers these names and loads nothing heavy until one is used. What this page
lists is public, and so are the extension points of the how-to guides; everything else may change without notice."""

ABOUT_TYPES = """
## Types

Objects that the names above take or return. Import them from the module that is shown, for type hints.
[Claims](claims.md) have a page of their own."""


def python_api() -> str:
    """Every public name; its documentation is its docstring."""
    things = {name: getattr(setpoint, name) for name in sorted(setpoint.__all__)}
    classes = [name for name, thing in things.items() if inspect.isclass(thing)]
    functions = [name for name in things if name not in classes]
    lines = [ABOUT]
    for title, directive, names in (("Functions", "autofunction", functions), ("Classes", "autoclass", classes)):
        lines += ["", f"## {title}"]
        for name in names:
            lines += _documented(directive, "setpoint", name)
    lines.append(ABOUT_TYPES)
    for module, names in TYPES.items():
        for name in names:
            assert hasattr(importlib.import_module(module), name), f"{module} has no {name}"
            lines += _documented("autoclass", module, name)
    return page(*lines)


def _documented(directive: str, module: str, name: str) -> list[str]:
    return ["", f"### {name}", "", "```{eval-rst}", f".. {directive}:: {module}.{name}", "```"]


def undocumented() -> list[str]:
    """The public names, methods and properties without a docstring of their own."""
    found = []
    for name in setpoint.__all__:
        thing = getattr(setpoint, name)
        found += [] if _docstring(thing) else [name]
        members = vars(thing).items() if inspect.isclass(thing) else ()
        public = {f"{name}.{member}": value for member, value in members if not member.startswith("_")}
        found += [place for place, value in public.items() if _has_docstrings(value) and not _docstring(value)]
    return found


def unlisted() -> list[str]:
    """The classes of this package that public functions, methods and properties return, but this page leaves out."""
    listed = {*setpoint.__all__, *OWN_PAGES, *(name for names in TYPES.values() for name in names)}
    return sorted(
        f"{place} returns {found.__name__}"
        for place, function in _public_functions()
        for found in _classes(typing.get_type_hints(function, localns=_LATE).get("return"))
        if found.__module__.startswith("setpoint.") and found.__name__ not in listed and not _inherits(found, listed)
    )


_LATE = {"Figure": object, "LLMController": object}
"""Names in annotations whose modules are imported late."""


def _public_functions() -> Iterator[tuple[str, Callable[..., object]]]:
    """Every public function, and the public methods and properties of every public class, by name."""
    for name in setpoint.__all__:
        thing = getattr(setpoint, name)
        if not inspect.isclass(thing):
            yield name, thing
            continue
        for member, value in vars(thing).items():
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if not member.startswith("_") and inspect.isfunction(function):
                yield f"{name}.{member}", function


def _classes(annotation: object) -> Iterator[type]:
    for argument in typing.get_args(annotation):
        yield from _classes(argument)
    found = typing.get_origin(annotation) or annotation
    if inspect.isclass(found):
        yield found


def _inherits(found: type, listed: set[str]) -> bool:
    return any(base.__name__ in listed for base in found.__mro__)


def _has_docstrings(member: object) -> bool:
    kinds = property | classmethod | staticmethod | functools.cached_property
    return inspect.isroutine(member) or isinstance(member, kinds)


def _docstring(thing: object) -> str:
    """Its docstring, but not the signature that `dataclass` writes where there is none."""
    text = (getattr(thing, "__doc__", None) or "").strip()
    return "" if inspect.isclass(thing) and text.startswith(f"{thing.__name__}(") else text
