"""A tidy table of results as an experiment, so that any data can be analysed like our own.

One row is one run. An empty response, one of `MISSING` or one that is not finite is a failed run; a block is what
equal labels share.
"""

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from setpoint.analysis.data.experiment import (
    ExperimentData,
    Level,
    MeasuredCost,
    RunFailure,
    RunOutcome,
    RunResult,
    Words,
)
from setpoint.analysis.data.quantities import QUANTITIES, Quantity
from setpoint.artifacts import Workspace
from setpoint.errors import InputError, unknown_name
from setpoint.formatting import counted, listed
from setpoint.records.failure import FailureClass
from setpoint.records.plan import AnalysisPlan, NamedDigest, Plan, Shared
from setpoint.records.state import RunStatus

_NO_COST = MeasuredCost(None, None, None, None, None)
_DAY = "1970-01-01T00:00:00+00:00"
_SEEDS = ("seed", "replicate")
_LABELS = frozenset({*_SEEDS, "run", "index", "configuration", "state", "failure_class", "failure_reason"})
"""Columns of our own tables that name rows or say what became of them."""
MISSING = frozenset({"", "na", "n/a", "null", "none"})
"""How other programs write that there is no value, in any case of letters."""


@dataclass(frozen=True)
class TableQuestion:
    """What is asked of a table.

    Attributes:
        response: the column with the metric.
        factors: columns with the parameters that may matter.
        block: the column whose equal labels share something, such as a seed.
        larger_is_better: the direction of the response.
        logarithmic: whether the response is analysed on a logarithmic scale.
        adaptive: whether results decided which rows were run.
    """

    response: str
    factors: tuple[str, ...]
    block: str | None = None
    larger_is_better: bool = False
    logarithmic: bool = True
    alpha: float = 0.05
    adaptive: bool = False


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with a header; semicolons or tabs may part the cells as well as commas.

    Raises:
        InputError: it cannot be read, has no rows, or is no table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            parted = max(",;\t", key=first.count)
            header, *lines = [line for line in csv.reader(stream, delimiter=parted) if line] or [[]]
    except OSError as error:
        raise InputError(
            f"The table must be a file that can be read, but {path}: {(error.strerror or 'unreadable').lower()}; "
            "give the path of a CSV file with a header line."
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} must be a CSV file in UTF-8 with a header line, but: {error}") from error
    if not lines:
        raise InputError(f"{path} must have a header line and at least one row, but has no rows.")
    names = [name.strip() for name in header]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"{path} must give every column a name of its own, but {', '.join(repeated)} is repeated.")
    uneven = next(((k, len(line)) for k, line in enumerate(lines) if len(line) != len(names)), None)
    if uneven is not None:
        raise InputError(
            f"{path} must have as many cells in every line as its header has, {len(names)}, but row {uneven[0] + 1} "
            f"has {uneven[1]}."
        )
    return [dict(zip(names, line, strict=True)) for line in lines]


def table_experiment(rows: Sequence[Mapping[str, str]], question: TableQuestion, name: str) -> ExperimentData:
    """The rows as an experiment called `name`.

    Raises:
        InputError: a column does not exist or is asked for twice, or the response holds text.
    """
    columns = [*question.factors, question.response, *([question.block] if question.block else [])]
    for column in columns:
        if column not in rows[0]:
            raise unknown_name("column", column, list(rows[0]))
    if len(set(columns)) < len(columns):
        raise InputError(f"response, factors and block must be different columns, but are {', '.join(columns)}.")
    for column in (*question.factors, *([question.block] if question.block else [])):
        empty = next((k for k, row in enumerate(rows) if not row[column].strip()), None)
        if empty is not None:
            raise InputError(f"column {column!r} must have a value in every row, but row {empty + 1} is empty there.")
    _refuse_copies(rows)
    levels = {factor: _levels([row[factor] for row in rows]) for factor in question.factors}
    blocks = [row[question.block].strip() for row in rows] if question.block else []
    label = {block: k for k, block in enumerate(dict.fromkeys(blocks))}
    configurations: dict[tuple[Level, ...], int] = {}
    seen: dict[int, int] = {}
    runs = []
    for index, row in enumerate(rows):
        factors = {factor: levels[factor][index] for factor in question.factors}
        configuration = configurations.setdefault(tuple(factors.values()), len(configurations))
        replicate = label[row[question.block].strip()] if question.block else seen.get(configuration, 0)
        seen[configuration] = seen.get(configuration, 0) + 1
        value = _number(row[question.response], question.response, index)
        runs.append(_run(index, configuration, replicate, factors, {question.response: value}))
    return _experiment(tuple(runs), question, name)


def _refuse_copies(rows: Sequence[Mapping[str, str]]) -> None:
    """A run that is there twice would count as two; rows that name their seed cannot be equal otherwise.

    Raises:
        InputError: two rows are.
    """
    first: dict[tuple[str, ...], int] = {}
    seeds = [name for name in rows[0] if name.strip().lower() in _SEEDS]
    for index, row in enumerate(rows):
        earlier = first.setdefault(tuple(row.values()), index)
        if seeds and earlier != index:
            raise InputError(
                f"every row must be a run of its own, but rows {earlier + 1} and {index + 1} are equal in all columns, "
                f"{seeds[0]} included. Remove the copies, which would count as evidence."
            )


def remarks(rows: Sequence[Mapping[str, str]], question: TableQuestion) -> list[str]:
    """What the question leaves out of the table that may matter: columns it pools over, and a column of seeds."""
    asked = {*question.factors, question.response, question.block}
    others = [name for name in rows[0] if name not in asked]
    pooled = [name for name in others if name.lower() not in _LABELS and _pooled(rows, question.factors, name)]
    notes = []
    if pooled:
        vary, one = ("varies", pooled[0]) if len(pooled) == 1 else ("vary", "one of them")
        notes.append(f"rows were pooled over {listed(pooled)}, which {vary} while the factors stay the same")
        if question.block is None:
            notes.append(
                f"do rows with an equal {listed(pooled, 'or')} share something, such as a subject, a batch or a "
                "machine? Then they are not independent, and --block with that column compares them with each other; "
                f"if {one} is a parameter that was set, name it in --factors instead"
            )
        else:
            notes.append(f"if {one} is a parameter that was set, name it in --factors, or filter the rows")
    copies = len(rows) - len({tuple(row.values()) for row in rows})
    if copies and len(rows[0]) > len([name for name in asked if name]):
        notes.append(
            f"{counted(copies, 'row')} equal an earlier one in all columns; where it is the same run, remove the copy, "
            "for it counts as evidence"
        )
    seeds = [name for name in others if name.lower() in _SEEDS and len({row[name] for row in rows}) > 1]
    if question.block is None and seeds:
        notes.append(
            f"column {seeds[0]} was not used; where rows with an equal {seeds[0]} share something, such as cases or "
            f"initial weights, --block {seeds[0]} compares them with each other"
        )
    return notes


def _pooled(rows: Sequence[Mapping[str, str]], factors: Sequence[str], name: str) -> bool:
    """Whether a column looks like a parameter, each value of which is in several rows, and varies within factors."""
    values = [row[name] for row in rows]
    counts = Counter(values)
    if len(counts) < 2 or min(counts.values()) < 2:
        return False
    by_factors: dict[tuple[str, ...], set[str]] = {}
    for row, value in zip(rows, values, strict=True):
        by_factors.setdefault(tuple(row[factor] for factor in factors), set()).add(value)
    return any(len(found) > 1 for found in by_factors.values())


def _experiment(runs: tuple[RunResult, ...], question: TableQuestion, name: str) -> ExperimentData:
    quantity = Quantity(
        question.response, question.response, "", "larger" if question.larger_is_better else "smaller", "episodes"
    )
    return ExperimentData(
        folder=Path(name),
        workspace=Workspace(Path()),
        plan=_plan(question, name),
        finished_at=_DAY,
        runs=runs,
        anchors={},
        base={},
        cost=_NO_COST,
        unmeasured_attempts=0,
        quantities={**QUANTITIES, question.response: quantity},
        words=Words("row", "row", "combination", question.block or "block"),
    )


def _plan(question: TableQuestion, name: str) -> Plan:
    """What was asked, as an experiment of no stages would have planned it."""
    return Plan(
        schema=1,
        experiment=name,
        type="table",
        created_at=_DAY,
        spec={},
        spec_digest="",
        analysis=AnalysisPlan(
            primary_metric=question.response,
            scale="log" if question.logarithmic else "linear",
            factors=question.factors,
            alpha=question.alpha,
            judged={},
            blocks=("seed",) if question.block else (),
            adaptive=question.adaptive,
        ),
        systems=("table",),
        base=NamedDigest(name="", digest=""),
        datasets={},
        runs=(),
        stages={},
        shared=Shared(),
        provenance={},
    )


def _run(
    index: int, configuration: int, replicate: int, factors: Mapping[str, Level], metrics: Mapping[str, float | None]
) -> RunResult:
    failed = all(value is None for value in metrics.values())
    return RunResult(
        name=f"row {index + 1}",
        index=index,
        configuration=configuration,
        replicate=replicate,
        seed=replicate,
        model_type="table",
        training_type="table",
        systems=("table",),
        factors=factors,
        resolved={},
        stages={},
        start=None,
        state=RunStatus.FAILED if failed else RunStatus.OK,
        failure=RunFailure(FailureClass.NO_VALUE, "the response is missing or not finite") if failed else None,
        outcomes={} if failed else {"table": RunOutcome(None, None, metrics)},
        training_time_s=None,
        cost=_NO_COST,
    )


def _number(text: str, column: str, index: int) -> float | None:
    """The response; None where it is missing or not finite."""
    if text.strip().lower() in MISSING:
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"column {column!r} must hold numbers, but row {index + 1} has {text!r}.") from error
    return value if math.isfinite(value) else None


def _levels(texts: Sequence[str]) -> list[Level]:
    """The cells of a factor: numbers where all of them are."""
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return [text.strip() for text in texts]
    if not all(math.isfinite(number) for number in numbers):
        return [text.strip() for text in texts]
    return [int(number) if number.is_integer() and abs(number) < 1e15 else number for number in numbers]
