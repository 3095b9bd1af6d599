"""Comparison of experiments of one workspace, side by side."""

from collections.abc import Sequence
from pathlib import Path

from setpoint.analysis.data.reading import read_experiment
from setpoint.analysis.side_by_side import Line, SideBySide, side_by_side
from setpoint.api.results import answer
from setpoint.arguments import require_path, require_texts
from setpoint.artifacts import Workspace
from setpoint.display import html_table, text_table
from setpoint.errors import InputError
from setpoint.experiments.running.status import require_plan
from setpoint.formatting import listed
from setpoint.records.margin import margin_of


class Comparison:
    """Experiments side by side; printing it shows what differs, and the tests.

    Attributes:
        result: inputs, parameters and results of the experiments.
    """

    def __init__(self, result: SideBySide) -> None:
        """Store the comparison."""
        self.result = result

    def __repr__(self) -> str:
        """Return the tables and the tests as text."""
        found = self.result
        lines = _table("Inputs that differ", found.experiments, [line for line in found.inputs if line.differs])
        equal = [line.name for line in found.inputs if not line.differs]
        lines += [f"Equal: {', '.join(equal)}.", ""] if equal else []
        for each in found.systems:
            lines += _table(f"{each.system}: parameters", found.experiments, found.parameters[each.system])
            lines += _table(f"{each.system}: results", found.experiments, each.results)
            lines += [f"- {claim.heading} [{claim.status.value}]: {answer(claim)}" for claim in each.claims]
            lines += [f"not tested: {each.obstacle}."] if each.obstacle else []
            if each.claims and len(each.differences) > 1:
                lines.append(f"Several things differ, so the cause is open: {listed(each.differences)}.")
            lines.append("")
        if not found.systems:
            lines.append("not tested: the experiments have no system in common.")
        return "\n".join(lines).rstrip()

    def _repr_html_(self) -> str:
        found = self.result
        rows = [(line.name, *line.values) for line in found.inputs if line.differs]
        for each in found.systems:
            rows += [(f"{each.system}: {line.name}", *line.values) for line in found.parameters[each.system]]
            rows += [(f"{each.system}: {line.name}", *line.values) for line in each.results]
            rows += [(claim.heading, claim.status.value, answer(claim)) for claim in each.claims]
        return html_table("Comparison", ("", *found.experiments), rows)


def _table(title: str, names: Sequence[str], lines: Sequence[Line]) -> list[str]:
    if not lines:
        return []
    return [f"{title}:", text_table(("", *names), [(line.name, *line.values) for line in lines]), ""]


def compare(*experiments: str, workspace: str | Path = ".", equivalence: str | float | None = None) -> Comparison:
    """Compare experiments side by side: configurations, inputs and results, with a test where runs are comparable.

    Args:
        experiments: two or more ids.
        workspace: folder of the experiments.
        equivalence: largest difference that does not matter, such as `5%`; None: equivalence is not tested.

    Raises:
        InputError: an experiment does not exist, or fewer than two were named.
    """
    names = require_texts(list(experiments), "experiments")
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise InputError(f"a comparison needs two or more different experiments, got {listed(names) or 'none'}.")
    root = Workspace(require_path(workspace, "workspace"))
    plans = [require_plan(root, name) for name in names]
    logarithmic = plans[0].analysis.scale == "log"
    margin = None if equivalence is None else margin_of(str(equivalence), logarithmic=logarithmic)
    return Comparison(side_by_side([read_experiment(root.experiment(name)) for name in names], margin))
