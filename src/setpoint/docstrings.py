"""Docstrings of attributes: the strings below them in the source of their class."""

import ast
import inspect
import itertools
import textwrap


def attribute_docstrings(owner: type) -> dict[str, str]:
    """Return attribute -> docstring, for the attributes of `owner` and of the classes of this package it inherits from.

    Raises:
        OSError: the source is not available.
    """
    found: dict[str, str] = {}
    for each in reversed([each for each in owner.__mro__ if each.__module__.startswith("setpoint.")]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        assert isinstance(definition, ast.ClassDef)
        for attribute, below in itertools.pairwise(definition.body):
            if isinstance(attribute, ast.Assign | ast.AnnAssign) and isinstance(below, ast.Expr):
                target = attribute.targets[0] if isinstance(attribute, ast.Assign) else attribute.target
                assert isinstance(target, ast.Name)
                found[target.id] = " ".join(ast.literal_eval(below.value).split())
    return found
