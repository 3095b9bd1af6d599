"""The Python API, from `setpoint.__all__` and the docstrings."""

import functools
import importlib
import inspect

import setpoint
from pages.markdown import page

TYPES = {
    "setpoint.api.experiment": ("BestRun",),
    "setpoint.bridges.environment": ("ControlEnvironment",),
    "setpoint.execution": ("Limits",),
    "setpoint.experiments.cost.estimate": ("Estimate",),
    "setpoint.plants": ("Interval",),
    "setpoint.trajectory": ("Trajectory", "Termination"),
}
"""What public names take or return, by the module that it is imported from."""

ABOUT = """\
# Python API

`import setpoint as sp` offers these names and loads nothing heavy until one is used. Only what this page lists is
public; everything else may change without notice."""

ABOUT_TYPES = """
## Types

Objects that the names above take or return. [Claims](claims.md) have a page of their own."""


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


def _has_docstrings(member: object) -> bool:
    kinds = property | classmethod | staticmethod | functools.cached_property
    return inspect.isroutine(member) or isinstance(member, kinds)


def _docstring(thing: object) -> str:
    """Its docstring, but not the signature that `dataclass` writes where there is none."""
    text = (getattr(thing, "__doc__", None) or "").strip()
    return "" if inspect.isclass(thing) and text.startswith(f"{thing.__name__}(") else text
