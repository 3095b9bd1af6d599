"""Effects of training stages: where they differ between cells, the cells come before the mean.

A mean over cells of unlike effects says little about any of them. Then the claim names the cells first, is at most
suggestive, and the recommendation names the parameter along which the effect changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, median

from setpoint.analysis.data.claim import Claim, ClaimKind, Status
from setpoint.analysis.data.experiment import Level
from setpoint.analysis.data.subject import OneCell
from setpoint.formatting import change_text, counted, factor_label, level_text

STAGES = {
    ClaimKind.SFT_AGAINST_BASE: "SFT",
    ClaimKind.DAGGER_AGAINST_SFT: "DAgger",
    ClaimKind.GRPO_AGAINST_SFT: "GRPO",
}
UNLIKE = 3.0
"""Cells are unlike if the largest effect is this many times the median effect, or if signs differ."""
SMALL = 0.02
"""Effects below this share are not counted as unlike signs."""
DIFFERS = "the effect differs between configurations"
NAMED = 4
OPEN = "not resolved: "


@dataclass(frozen=True)
class StageEffect:
    """The effect of one training stage on one system.

    Attributes:
        overall: the claim over all cells.
        cells: the claims of the single cells that have an estimate.
        relative: estimates are shares of the error before the stage.
    """

    overall: Claim
    cells: tuple[Claim, ...]
    relative: bool

    @property
    def stage(self) -> str:
        """Return `SFT` or `GRPO`."""
        return STAGES[self.overall.kind]

    @property
    def differs(self) -> bool:
        """Return whether the cells are so unlike that their mean says little about any of them."""
        sizes = [cell.estimate or 0.0 for cell in self.cells]
        if len(sizes) < 2:
            return False
        large = [size for size in sizes if abs(size) >= SMALL]
        signs = {size > 0.0 for size in large}
        middle = median(map(abs, sizes))
        return len(signs) > 1 or (bool(large) and max(map(abs, sizes)) > UNLIKE * max(middle, SMALL))

    def by_size(self) -> list[Claim]:
        """Return the cells, the largest effect first."""
        return sorted(self.cells, key=lambda cell: -abs(cell.estimate or 0.0))

    def estimate_of(self, cell: str) -> float | None:
        """Return the effect in one cell: its relative improvement."""
        return next((claim.estimate for claim in self.cells if str(claim.subject) == cell), None)

    def parameter(self) -> tuple[str, str] | None:
        """Return the parameter along which the effect changes most, and its level with the worst mean effect."""
        rows = [(_levels(str(claim.subject)), claim.estimate or 0.0) for claim in self.cells]
        found: dict[str, dict[str, list[float]]] = {}
        for levels, size in rows:
            for name, level in levels.items():
                found.setdefault(name, {}).setdefault(level, []).append(size)
        means = {name: {level: mean(sizes) for level, sizes in of.items()} for name, of in found.items() if len(of) > 1}
        if not means:
            return None
        name = max(means, key=lambda factor: max(means[factor].values()) - min(means[factor].values()))
        return name, min(means[name], key=lambda level: means[name][level])


def _levels(cell: str) -> dict[str, str]:
    """Return the levels that a cell's name states: `lora_rank=8, learning_rate=5e-4`."""
    pairs = [part.partition("=") for part in cell.split(", ")]
    return {name: level for name, equals, level in pairs if equals}


def stage_effects(claims: Iterable[Claim], *, relative: bool) -> list[StageEffect]:
    """Return the effect of each training stage on each system; `relative` if the analysis scale is logarithmic."""
    found = [claim for claim in claims if claim.kind in STAGES]
    return [
        StageEffect(
            overall,
            tuple(
                cell
                for cell in found
                if isinstance(cell.subject, OneCell)
                and (cell.kind, cell.system) == (overall.kind, overall.system)
                and cell.estimate is not None
            ),
            relative,
        )
        for overall in found
        if overall.subject is None
    ]


def cells_first(claims: Sequence[Claim], *, relative: bool) -> list[Claim]:
    """Return the claims with those on stages qualified: unlike cells are named before their mean."""
    effects = stage_effects(claims, relative=relative)
    qualified = {effect.overall.id: _qualified(effect) for effect in effects if effect.differs}
    return [qualified.get(claim.id, claim) for claim in claims]


def _qualified(effect: StageEffect) -> Claim:
    claim = effect.overall
    if claim.estimate is None:
        return claim
    status = Status.SUGGESTIVE if claim.status is Status.SUPPORTED else claim.status
    cells = f"the effect differs between configurations: {cells_text(effect)}"
    statement = f"not resolved: {cells}; mean of all: {_facts(claim)}"
    heading = claim.heading.removesuffix(", mean of all cells")
    return replace(claim, heading=heading, status=status, statement=statement, reason=f"{DIFFERS}; {claim.reason}")


def _facts(claim: Claim) -> str:
    """Return the numbers of a statement without its verdict: `final error worsened by 10 % [0.5 %, 21 %], p=0.0456`."""
    if claim.statement.startswith(OPEN):
        return claim.statement.removeprefix(OPEN)
    return claim.statement.partition(" (")[2].removesuffix(")") or claim.statement


def cells_text(effect: StageEffect) -> str:
    """Return `worsened by 45 % with learning rate 5e-4, improved by 1.4 % with …`, the largest effect first."""
    parts = [
        f"{change_text(cell.estimate or 0.0, None, relative=effect.relative)} with {cell_label(str(cell.subject))}"
        for cell in effect.by_size()
    ]
    rest = len(parts) - NAMED
    return "; ".join([*parts[:NAMED], *([f"{counted(rest, 'more configuration')} in report.md"] if rest > 0 else [])])


def worst_text(effect: StageEffect) -> str:
    """Return `worsened by 45 % with LoRA rank 8, learning rate 5e-4`: the cell with the worst effect."""
    worst = min(effect.cells, key=lambda cell: cell.estimate or 0.0)
    return f"{change_text(worst.estimate or 0.0, None, relative=effect.relative)} with {cell_label(str(worst.subject))}"


def range_text(effect: StageEffect) -> str:
    """Return `from worsened by 45 % (LoRA rank 8, learning rate 5e-4) to improved by 1.4 % (…)`."""
    ordered = sorted(effect.cells, key=lambda cell: cell.estimate or 0.0)
    ends = [
        f"{change_text(cell.estimate or 0.0, None, relative=effect.relative)} ({cell_label(str(cell.subject))})"
        for cell in (ordered[0], ordered[-1])
    ]
    return f"from {ends[0]} to {ends[1]}"


def cell_label(cell: str) -> str:
    """Return `LoRA rank 8, learning rate 5e-4` for `lora_rank=8, learning_rate=5e-4`."""
    levels = _levels(cell)
    return ", ".join(f"{factor_label(name)} {level}" for name, level in levels.items()) or cell


def cell_name(levels: Mapping[str, Level]) -> str:
    """Return the name of a configuration's cell: `lora_rank=8, learning_rate=5e-4`."""
    return ", ".join(f"{name}={level_text(level)}" for name, level in levels.items()) or "all runs"
