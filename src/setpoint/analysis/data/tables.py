"""Read a tidy table of results as an experiment, so that any data can be analysed.

One row is one run. A run whose response is missing or not finite counts as failed. Rows with equal labels in the block
column are compared with each other.
"""

import csv
import io
import math
import re
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
from setpoint.errors import InputError, legible, refusal_of, shown, unknown_name
from setpoint.formatting import counted, listed
from setpoint.records.failure import FailureClass
from setpoint.records.plan import LEAST_TREND_LEVELS, AnalysisPlan, NamedDigest, Plan, Shared
from setpoint.records.state import RunStatus
from setpoint.regular_files import read_regular

_NO_COST = MeasuredCost(None, None, None, None, None)
_DAY = "1970-01-01T00:00:00+00:00"
_SEEDS = ("seed", "replicate")
_LABELS = frozenset({*_SEEDS, "run", "index", "configuration", "state", "failure_class", "failure_reason"})
"""Columns of results.csv that identify rows or record their state, and so are no parameters."""
MANY_LEVELS = 4
"""Number of levels of a numeric factor from which a trend is often the better question."""
MISSING = frozenset({"", "na", "n/a", "null", "none"})
"""Spellings of a missing value, in lower case."""


_NOT_FINITE = frozenset({f"{sign}{word}" for sign in ("", "+", "-") for word in ("nan", "inf", "infinity")})
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+([eE][-+]?[0-9]+)?")
_MOST_BYTES = 200_000_000


@dataclass(frozen=True)
class TableQuestion:
    """The analysis of a table.

    Attributes:
        response: column of the metric.
        factors: columns of the parameters.
        block: column of block labels, such as seeds.
        larger_is_better: direction of the response.
        logarithmic: analyse the response on a logarithmic scale.
        alpha: significance level.
        adaptive: earlier results decided which rows were run.
        trend: numeric factors that are tested for linear and curved trends.
        equivalence: largest difference that does not matter, see `AnalysisPlan`.
    """

    response: str
    factors: tuple[str, ...]
    block: str | None = None
    larger_is_better: bool = False
    logarithmic: bool = True
    alpha: float = 0.05
    adaptive: bool = False
    trend: tuple[str, ...] = ()
    equivalence: float | None = None


def read_table(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file with a header; the delimiter is a comma, a semicolon or a tab.

    Raises:
        InputError: the file cannot be read, has no rows, or is not a table.
    """
    name = legible(str(path))
    try:
        text = read_regular(path, _MOST_BYTES).decode("utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        header, *lines = [line for line in reader if line] or [[]]
    except OSError as error:
        raise InputError(f"{name}: {refusal_of(error)}. Give the path of a CSV file with a header line.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{name}: not a CSV file in UTF-8 ({error}). Give a CSV file with a header line.") from error
    if not lines:
        raise InputError(f"{name}: no rows. Give a CSV file with a header line and at least one row.")
    names = [name.strip() for name in header]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(
            f"{name}: duplicate column {listed([*map(legible, repeated)])}. Give every column a unique name."
        )
    uneven = next(((k, len(line)) for k, line in enumerate(lines) if len(line) != len(names)), None)
    if uneven is not None:
        raise InputError(
            f"{name}: row {uneven[0] + 1} has {counted(uneven[1], 'cell')}, but the header has {len(names)}. Give all "
            "rows the same number of cells."
        )
    return [dict(zip(names, line, strict=True)) for line in lines]


def table_experiment(rows: Sequence[Mapping[str, str]], question: TableQuestion, name: str) -> ExperimentData:
    """Convert the rows to an experiment `name`.

    Raises:
        InputError: a column does not exist or is named twice, a cell is empty, or the response is text.
    """
    columns = [*question.factors, question.response, *([question.block] if question.block else [])]
    for column in columns:
        if column not in rows[0]:
            raise unknown_name("column", column, list(rows[0]))
    if len(set(columns)) < len(columns):
        raise InputError(
            f"response, factors and block must be different columns, got {listed([*map(legible, columns)])}."
        )
    for column in (*question.factors, *([question.block] if question.block else [])):
        empty = next((k for k, row in enumerate(rows) if not row[column].strip()), None)
        if empty is not None:
            raise InputError(f"column {shown(column)} is empty in row {empty + 1}. Fill it in, or remove the row.")
    _refuse_copies(rows)
    levels = {factor: _levels([row[factor] for row in rows], factor) for factor in question.factors}
    for factor in question.trend:
        _require_trend(factor, levels)
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


def _require_trend(name: str, levels: Mapping[str, Sequence[Level]]) -> None:
    """Check that a trend can be tested over the levels of a factor.

    Raises:
        InputError: `name` is not a factor, not numeric, or has fewer than three levels.
    """
    if name not in levels:
        raise InputError(f"trend must name a factor, got {shown(name)}. Add it to the factors.")
    words = [level for level in levels[name] if isinstance(level, str)]
    if words:
        raise InputError(f"a trend needs numbers, but column {shown(name)} has {shown(words[0])}. Remove the trend.")
    if len(set(levels[name])) < LEAST_TREND_LEVELS:
        raise InputError(
            f"a trend needs at least {LEAST_TREND_LEVELS} levels, but column {shown(name)} has "
            f"{len(set(levels[name]))}. Remove the trend: the levels are compared without it."
        )


def _refuse_copies(rows: Sequence[Mapping[str, str]]) -> None:
    """Check for duplicate rows, which would count as two runs, in tables that name the seed of each row.

    Raises:
        InputError: two rows are equal.
    """
    first: dict[tuple[str, ...], int] = {}
    seeds = [name for name in rows[0] if name.strip().lower() in _SEEDS]
    for index, row in enumerate(rows):
        earlier = first.setdefault(tuple(row.values()), index)
        if seeds and earlier != index:
            raise InputError(
                f"rows {earlier + 1} and {index + 1} are equal in all columns, including {seeds[0]}. Remove the "
                "duplicates, which would count as independent runs."
            )


def remarks(rows: Sequence[Mapping[str, str]], question: TableQuestion) -> list[str]:
    """Return remarks on columns that the analysis ignores but that may matter: other parameters, and seeds."""
    used = {*question.factors, question.response, question.block}
    others = [name for name in rows[0] if name not in used]
    structure = _structure(rows, question)
    pooled = [name for name in others if name.lower() not in _LABELS and _pooled(rows, question.factors, name)]
    notes = [*structure]
    if pooled:
        vary, one = ("varies", pooled[0]) if len(pooled) == 1 else ("vary", "one of them")
        notes.append(f"rows were pooled over {listed(pooled)}, which {vary} at equal factors")
        if question.block is None:
            notes.append(
                f"if rows with equal {listed(pooled, 'or')} share a subject, a batch or a machine, they are not "
                f"independent: add --block with that column; if {one} is a parameter, add it to --factors instead"
            )
        else:
            notes.append(f"if {one} is a parameter, add it to --factors, or filter the rows")
    copies = len(rows) - len({tuple(row.values()) for row in rows})
    if copies and len(rows[0]) > len([name for name in used if name]):
        notes.append(
            f"{counted(copies, 'row')} {'equals' if copies == 1 else 'equal'} an earlier row in all columns; remove "
            "duplicates of the same run, which count as independent runs"
        )
    seeds = [name for name in others if name.lower() in _SEEDS and len({row[name] for row in rows}) > 1]
    if question.block is None and seeds:
        notes.append(
            f"column {seeds[0]} was not used; if rows with equal {seeds[0]} share test cases or initial weights, use "
            f"--block {seeds[0]}"
        )
    return notes


def _structure(rows: Sequence[Mapping[str, str]], question: TableQuestion) -> list[str]:
    """Return remarks on numeric factors with many levels, and on factors that vary between blocks only."""
    notes = []
    for factor in question.factors:
        levels = set(_levels([row[factor] for row in rows], factor))
        numeric = len(levels) >= MANY_LEVELS and not any(isinstance(level, str) for level in levels)
        if numeric and factor not in question.trend:
            notes.append(
                f"{factor} is numeric with {len(levels)} levels, which were compared as unordered groups; to test "
                f"whether {question.response} rises or falls with it, add --trend {factor}"
            )
        if question.block is not None and _nested(rows, factor, question.block):
            notes.append(
                f"every {question.block} has a single {factor}, so {factor} is tested against the variation between "
                f"values of {question.block} (whole plots)"
            )
    return notes


def _nested(rows: Sequence[Mapping[str, str]], factor: str, block: str) -> bool:
    """Return whether a factor does not vary within blocks, and some block has several rows."""
    pairs = {(row[block].strip(), row[factor].strip()) for row in rows}
    return len(pairs) == len({name for name, _ in pairs}) < len(rows)


def _pooled(rows: Sequence[Mapping[str, str]], factors: Sequence[str], name: str) -> bool:
    """Return whether a column looks like a parameter: its values repeat, and it varies at equal factors."""
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
    """Return the plan of an experiment without stages that has this analysis."""
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
            trends=question.trend,
            alpha=question.alpha,
            evaluation_modes={},
            blocks=("seed",) if question.block else (),
            adaptive=question.adaptive,
            equivalence=question.equivalence,
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
    """Parse a response; None if it is missing or not finite."""
    if text.strip().lower() in MISSING | _NOT_FINITE:
        return None
    value = _parsed(text)
    if value is None:
        raise InputError(
            f"column {shown(column)} must hold numbers, got {shown(text)} in row {index + 1}.{_comma(text)}"
        )
    return value if math.isfinite(value) else None


def _levels(texts: Sequence[str], column: str) -> list[Level]:
    """Parse the cells of a factor: as numbers if all of them are, else as text. Equal numbers are one level either way.

    Raises:
        InputError: a cell has a decimal comma, so that its order among the levels would be lost.
    """
    for index, text in enumerate(texts):
        if remedy := _comma(text):
            raise InputError(f"column {shown(column)} has {shown(text)} in row {index + 1}.{remedy}")
    levels: list[Level] = [_level(text) for text in texts]
    return list(map(str, levels)) if any(isinstance(level, str) for level in levels) else levels


def _level(text: str) -> Level:
    number = _parsed(text)
    if number is None or not math.isfinite(number):
        return text.strip()
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _parsed(text: str) -> float | None:
    """Parse a decimal number. `float` would also accept `1_5`, and digits of other scripts."""
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def _comma(text: str) -> str:
    return " Write numbers with a decimal point." if _DECIMAL_COMMA.fullmatch(text.strip()) else ""
