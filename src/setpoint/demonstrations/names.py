"""Names of data sets: which of them name a system's own data, and the folder where each lies.

`di`, `double_integrator` and `double_integrator_dataset` name the same content. Names joined by `+` name the data of
several systems; `-detuned` at the end names those of the detuned expert. Any other name is its user's own.
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
    """A name as it was understood.

    Attributes:
        text: the canonical name, or the user's own.
        systems: full names of the systems that the name stands for; none for a name of the user's own.
        expert: the expert that the name stands for; means nothing for a name of the user's own.
    """

    text: str
    systems: tuple[str, ...] = ()
    expert: Expert = "optimal"

    def of_expert(self, expert: Expert) -> "DatasetName":
        """The name of the same systems' data by `expert`; a name that says detuned already stays so."""
        return self if expert == "optimal" else replace(self, expert=expert)

    def folder(self, blocking: MoveBlocking) -> str:
        """The folder's name; a system's data have one folder per expert and number of moves."""
        if not self.systems:
            return self.text
        moves = "" if blocking == COARSE_TO_FINE else f"-{blocking.moves}moves"
        return f"{self.text}{_DETUNED if self.expert == 'detuned' else ''}{moves}"

    def command(self, blocked_for: tuple[str, ...] = ()) -> str:
        """The command that makes the data set; `blocked_for` are the systems that are wanted of a user's own name."""
        if not self.systems:
            wanted = ",".join(blocked_for) or plants.names()[0]
            return f"setpoint data generate --systems {wanted} --dataset-name {self.text}"
        expert = " --expert detuned" if self.expert == "detuned" else ""
        return f"setpoint data generate --systems {','.join(self.systems)}{expert}"


def parse(name: str) -> DatasetName:
    """Understand a data set's name.

    Raises:
        InputError: it is neither a system's nor can it be the name of a folder.
    """
    expert: Expert = "detuned" if name.endswith(_DETUNED) else "optimal"
    parts = [part.removesuffix(_DATASET) for part in name.removesuffix(_DETUNED).split("+")]
    try:
        return joined(tuple(plants.canonical(part) for part in parts), expert)
    except InputError:
        return DatasetName(check_identifier("a data set's name", name))


def joined(full_names: tuple[str, ...], expert: Expert = "optimal") -> DatasetName:
    """The name of the data of one or more systems, given by their full names."""
    return DatasetName("+".join(full_names), full_names, expert)
