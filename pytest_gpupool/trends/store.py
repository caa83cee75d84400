"""The store: metrics of many runs, of any machine, in one SQLite file that can be fed, merged and kept.

A value has its place by run, test, metric and number, so that what comes twice changes nothing, and two stores that are
merged have what either of them had. Writers wait for each other by SQLite's own locks and its rollback journal: a
write-ahead log would need memory that hosts of a network file system do not share. A process that is killed while it
writes leaves what was there before.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..metrics.metric import Number
from ..records.datatypes import TEXT, list_of
from ..records.store import LOCK_SECONDS, lock
from ..values.errors import UsageProblem
from ..values.texts import safe_repr
from .trend import MeasuredRun, Value

VERSION = 1
MOST_VALUES = 200_000
"""So many are read where a run waits for it to end: about a second."""

_APPLICATION = 0x67707068  # "gpph"
_WAIT = 30.0  # seconds for another writer
_LARGEST = 2**63 - 1
_HEADER = b"SQLite format 3\0"
_SUFFIXES = frozenset({".sqlite", ".sqlite3", ".db"})
_TABLES = (
    "CREATE TABLE runs (id TEXT PRIMARY KEY, started TEXT NOT NULL, commit_id TEXT, workers INTEGER NOT NULL, "
    "makespan_s REAL, speedup REAL, efficiency REAL) WITHOUT ROWID",
    "CREATE TABLE measured (run TEXT NOT NULL, test TEXT NOT NULL, metric TEXT NOT NULL, number INTEGER NOT NULL, "
    "value, non_finite TEXT, unit TEXT NOT NULL, higher_is_better INTEGER, verdict TEXT, baseline, "
    "device TEXT NOT NULL, device_ids TEXT NOT NULL, outcome TEXT NOT NULL, "
    "PRIMARY KEY (run, test, metric, number)) WITHOUT ROWID",
    "CREATE INDEX by_metric ON measured (test, metric)",
)
_COLUMNS = "value, non_finite, unit, higher_is_better, verdict, baseline, device, device_ids, outcome"
_NUMBER, _PERHAPS, _TEXT = (int, float, str, type(None)), (str, type(None)), (str,)
_TYPES = (_NUMBER, _PERHAPS, _TEXT, (int, type(None)), _PERHAPS, _NUMBER, _TEXT, _TEXT, _TEXT)
"""What there may be in each of these columns."""
_IDS = list_of(TEXT)
_ADD_RUN = "INSERT OR IGNORE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)"
# A verdict comes late: who has one knows more than who has none.
_ADD_VALUE = (
    "INSERT INTO measured VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
    "verdict = excluded.verdict, baseline = excluded.baseline, outcome = excluded.outcome "
    "WHERE measured.verdict IS NULL AND excluded.verdict IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class Added:
    """What came in: runs and values that were not there.

    ``aside`` is where a damaged file was put, None where there was none.
    """

    runs: int
    values: int
    aside: Path | None = None


class NotNow(UsageProblem):
    """Another process keeps the store to itself."""


def add(path: Path, runs: Iterable[MeasuredRun]) -> Added:
    """Add runs; make the file where there is none, put one aside that is damaged.

    Raises:
        UsageProblem: it cannot be written, is of a newer version, or is something else.
    """
    measured = list(runs)
    return _written(path, lambda connection: _add(connection, measured))


def runs(path: Path, *, most: int | None = None) -> list[MeasuredRun]:
    """Return the runs of a store, the oldest first; the latest of them where there are more than so many values.

    Raises:
        UsageProblem: there is none, or it cannot be read.
    """
    with _reading(path) as connection:
        rows = connection.execute("SELECT * FROM runs ORDER BY started DESC, id DESC").fetchall()
        found: list[MeasuredRun] = []
        left = most
        for row in rows:
            values = _values(connection, row[0])
            if left is not None:
                left -= sum(map(len, values.values()))
                if left < 0 and found:
                    break
            found.append(_run(row, values))
    return found[::-1]


def names(path: Path) -> dict[str, set[str]]:
    """Return the metrics of each test that a store knows. Raises as :func:`runs`."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    with _reading(path) as connection:
        for test, metric in connection.execute("SELECT DISTINCT test, metric FROM measured"):
            if not (type(test) is type(metric) is str):
                raise _damaged("measured", (test, metric))
            found[test].add(metric)
    return dict(found)


def of_metric(path: Path, test: str, metric: str) -> list[MeasuredRun]:
    """Return the runs that have measured a metric, the oldest first, with nothing else. Raises as :func:`runs`."""
    values: defaultdict[str, list[Value]] = defaultdict(list)
    with _reading(path) as connection:
        wanted = f"SELECT run, {_COLUMNS} FROM measured WHERE test = ? AND metric = ? ORDER BY run, number"
        for run, *columns in connection.execute(wanted, (test, metric)):
            values[run].append(_value(columns))
        rows = connection.execute("SELECT * FROM runs ORDER BY started, id").fetchall()
        return [_run(row, {test: {metric: tuple(values[row[0]])}}) for row in rows if row[0] in values]


def is_one(path: Path) -> bool:
    """Say whether a file is a SQLite file, which a report is not."""
    try:
        with path.open("rb") as file:
            return file.read(len(_HEADER)) == _HEADER
    except OSError:
        return False


def _add(connection: sqlite3.Connection, measured: Iterable[MeasuredRun]) -> tuple[int, int]:
    new, rows = 0, []
    for run in measured:
        figures = (run.makespan_s, run.speedup, run.efficiency)
        new += connection.execute(_ADD_RUN, (run.id, run.started, run.commit, run.workers, *figures)).rowcount
        rows += [
            (run.id, test, metric, number, *_columns(value))
            for test, metrics in run.values.items()
            for metric, values in metrics.items()
            for number, value in enumerate(values)
        ]
    before = connection.total_changes
    connection.executemany(_ADD_VALUE, rows)
    return new, connection.total_changes - before


def _columns(value: Value) -> tuple[Any, ...]:
    better = value.higher_is_better
    return (
        _kept(value.value),
        value.non_finite,
        value.unit,
        None if better is None else int(better),
        value.verdict,
        _kept(value.baseline),
        value.device,
        json.dumps(value.device_ids),
        value.outcome,
    )


def _kept(number: Number | None) -> Number | str | None:
    """Return a number as SQLite can keep it: a larger whole one as text."""
    return str(number) if isinstance(number, int) and abs(number) > _LARGEST else number


def _number(kept: Number | str | None) -> Number | None:
    return int(kept) if isinstance(kept, str) else kept


def _value(columns: Iterable[Any]) -> Value:
    value, non_finite, unit, better, verdict, baseline, device, ids, outcome = told = tuple(columns)
    if not _is_sound(told):  # SQLite keeps in any column whatever somebody writes there
        raise _damaged("measured", told)
    return Value(
        value=_number(value),
        non_finite=non_finite,
        unit=unit,
        higher_is_better=None if better is None else bool(better),
        verdict=verdict,
        baseline=_number(baseline),
        device=device,
        device_ids=tuple(json.loads(ids)),
        outcome=outcome,
    )


def _damaged(table: str, row: object) -> ValueError:
    return ValueError(f"a row of its table {table!r} is damaged: {safe_repr(row, 200)}")


def _is_sound(columns: tuple[Any, ...]) -> bool:
    return all(type(column) in types for column, types in zip(columns, _TYPES, strict=True)) and _IDS.check(
        json.loads(columns[7])
    )


def _values(connection: sqlite3.Connection, run: str) -> dict[str, dict[str, tuple[Value, ...]]]:
    found: defaultdict[str, defaultdict[str, list[Value]]] = defaultdict(lambda: defaultdict(list))
    wanted = f"SELECT test, metric, {_COLUMNS} FROM measured WHERE run = ? ORDER BY test, metric, number"
    for test, metric, *columns in connection.execute(wanted, (run,)):
        if not (type(test) is type(metric) is str):
            raise _damaged("measured", (test, metric))
        found[test][metric].append(_value(columns))
    return {test: {name: tuple(values) for name, values in metrics.items()} for test, metrics in found.items()}


def _run(row: Iterable[Any], values: Mapping[str, Mapping[str, tuple[Value, ...]]]) -> MeasuredRun:
    id_, started, commit, workers, makespan, speedup, efficiency = told = tuple(row)
    figures = all(type(one) in (int, float, type(None)) for one in (makespan, speedup, efficiency))
    if not (figures and type(started) is str and type(commit) in _PERHAPS and type(workers) is int):
        raise _damaged("runs", told)
    return MeasuredRun(
        id=id_,
        started=started,
        commit=commit,
        workers=workers,
        makespan_s=makespan,
        speedup=speedup,
        efficiency=efficiency,
        values=values,
    )


def _written(path: Path, write: Callable[[sqlite3.Connection], tuple[int, int]]) -> Added:
    """Write in one transaction, where needed into a new file after a damaged one was put aside."""
    aside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            try:
                with _open(path) as connection, _transaction(connection):
                    _prepare(connection, path)
                    new, values = write(connection)
                    return Added(new, values, aside)
            except sqlite3.DatabaseError as error:
                if aside is not None or not _is_damage(error):
                    raise
                aside = _put_aside(path)
    except sqlite3.Error as error:
        raise _problem(path, error, "written") from None
    except OSError as error:
        raise UsageProblem(f"{path} cannot be written: {error.strerror or error}") from None
    except UnicodeEncodeError as error:  # a name in a report that somebody has edited
        raise UsageProblem(f"{path} cannot be written: {error}") from None
    raise AssertionError  # both rounds end above


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise UsageProblem(f"there is no history {path}: 'gpupool ingest REPORT… --history {path}' makes it")
    try:
        with _open(path) as connection:
            _check(connection, path)
            yield connection
    except (sqlite3.Error, ValueError) as error:
        raise _problem(path, error, "read") from None


@contextlib.contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new file; refuse what is none of ours."""
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if tables:
        return _check(connection, path)
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    return None


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise UsageProblem(f"{path} is a SQLite file, and no history of pytest-gpupool: give another path")
    if version > VERSION:
        raise UsageProblem(
            f"{path} is of version {version}, of a newer pytest-gpupool: use that one, or another file; "
            "it is left as it is"
        )


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorname", "") in ("SQLITE_NOTADB", "SQLITE_CORRUPT") or "malformed" in str(error)


def _put_aside(path: Path) -> Path:
    """Give a damaged file another name, and its journal too, which else would be taken for the next one's."""
    if not is_one(path) and path.suffix not in _SUFFIXES:
        raise UsageProblem(f"{path} is no SQLite file: give another path for the history; it is left as it is")
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        lock(descriptor, LOCK_SECONDS)
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        if path.exists() and not _is_whole(path):  # else another process has put it aside
            path.rename(aside)
            with contextlib.suppress(FileNotFoundError):
                path.with_name(f"{path.name}-journal").rename(f"{aside}-journal")
        return aside
    finally:
        os.close(descriptor)  # which unlocks


def _is_whole(path: Path) -> bool:
    try:
        with _open(path) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.DatabaseError:
        return False


def _problem(path: Path, error: Exception, done: str) -> UsageProblem:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_BUSY") or "locked" in str(error):
        return NotNow(f"{path} cannot be {done}: another process has kept it to itself for {_WAIT:.0f} s")
    return UsageProblem(f"{path} cannot be {done}: {error}")
