"""Dataset names: default names derived from systems, user-defined names, and the folder of each.

`di`, `double_integrator` and `double_integrator_dataset` name the same content. Names joined by `+` stand for data of
several systems; the suffix `-detuned` stands for the detuned expert. Any other name is user-defined.
"""

from dataclasses import dataclass, replace

from setpoint import plants
from setpoint.artifacts import check_identifier
from setpoint.demonstrations.recipe import Expert
from setpoint.errors import InputError
from setpoint.problems import COARSE_TO_FINE, MoveBlocking

_DETUNED = "-detuned"
_DATASET = "_dataset"


@dataclass(frozen=True, slots=True)
class DatasetName:
    """A parsed dataset name.

    Attributes:
        text: the canonical or user-defined name.
        systems: full names of the systems in the name; empty for a user-defined name.
        expert: the expert in the name; ignored for a user-defined name.
    """

    text: str
    systems: tuple[str, ...] = ()
    expert: Expert = "optimal"

    def of_expert(self, expert: Expert) -> "DatasetName":
        """Return the name for `expert`; a `-detuned` name stays detuned."""
        return self if expert == "optimal" else replace(self, expert=expert)

    def folder(self, blocking: MoveBlocking) -> str:
        """Return the folder name; default names have one folder per expert and number of moves."""
        if not self.systems:
            return self.text
        moves = "" if blocking == COARSE_TO_FINE else f"-{blocking.moves}moves"
        return f"{self.text}{_DETUNED if self.expert == 'detuned' else ''}{moves}"

    def command(self, wanted: tuple[str, ...] = ()) -> str:
        """Return the command that generates the dataset; `wanted` are the systems of a user-defined name."""
        if not self.systems:
            systems = ",".join(wanted) or plants.names()[0]
            return f"setpoint data generate --systems {systems} --dataset-name {self.text}"
        expert = " --expert detuned" if self.expert == "detuned" else ""
        return f"setpoint data generate --systems {','.join(self.systems)}{expert}"


def parse(name: str) -> DatasetName:
    """Parse a dataset name.

    Raises:
        InputError: it is neither derived from systems nor a valid folder name.
    """
    expert: Expert = "detuned" if name.endswith(_DETUNED) else "optimal"
    parts = [part.removesuffix(_DATASET) for part in name.removesuffix(_DETUNED).split("+")]
    try:
        return joined(tuple(plants.canonical(part) for part in parts), expert)
    except InputError:
        return DatasetName(check_identifier("a dataset name", name))


def joined(full_names: tuple[str, ...], expert: Expert = "optimal") -> DatasetName:
    """Return the default name for one or more systems, given by their full names."""
    return DatasetName("+".join(full_names), full_names, expert)
