"""Applies the numbered SQL files of `migrations/`, forward in order and back one at a time.

A migration and the row that records it commit together, under an advisory lock, so that any
number of processes may start at once and a killed one leaves nothing half done. One that begins
with `-- Online:` would hold up writers in a transaction: its statements commit one by one, and
each may be run again after a run that did not get to the end; so it is on the way back. A file
that changed after it was applied is refused: history is corrected by a new migration.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import asyncpg
from asyncpg.pool import PoolConnectionProxy

MIGRATIONS: Final = Path(__file__).parent.parent / "migrations"

_FILE_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.(up|down)\.sql")
# Any constant: whoever migrates this database takes the same one.
_ADVISORY_LOCK: Final = 0x7061796D656E7473
# DDL that waits for a lock blocks every query behind it, so it gives up before clients do.
_LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '2s'"
_LOCK_TIMEOUT_ONLINE: Final = "SET lock_timeout = '2s'"
_ONLINE: Final = "-- Online:"
# Of an online migration: a query whose rows are the statements to run, one after the other.
_RUN_EACH: Final = "-- Run each:"
# Of an online migration: up to a semicolon that ends a line, but for those of a function's body.
_STATEMENT: Final = re.compile(r"(?:\$\$.*?\$\$|[^;]|;(?![ \t]*$))+", re.MULTILINE | re.DOTALL)
_DROPPED_TABLE: Final = re.compile(r"^\s*DROP TABLE (?:IF EXISTS )?(\w+)", re.MULTILINE)
_ALTERED_TABLE: Final = re.compile(r"^\s*ALTER TABLE (\w+)([^;]*);", re.MULTILINE)
_DROPPED_COLUMN: Final = re.compile(r"DROP COLUMN (?:IF EXISTS )?(\w+)")
# Who gave up lets everybody by that waited behind it, and tries again, for half a minute.
_TRIES: Final = 12
_AGAIN_AFTER_S: Final = 0.5
_LONGEST_TRANSACTION: Final = """
    SELECT pid, application_name, now() - xact_start AS age FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
    ORDER BY xact_start LIMIT 1
"""
# How often one that waits for another's migrations asks whether they are done.
_PAUSE_SECONDS: Final = 0.1


class MigrationError(Exception):
    """The files and the database do not belong together; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A step of the schema, and the way back."""

    version: int
    name: str
    up: str
    down: str

    @property
    def label(self) -> str:
        return f"{self.version:04d}_{self.name}"

    @property
    def checksum(self) -> str:
        """SHA-256 of the forward file; the way back may be corrected at any time."""
        return hashlib.sha256(self.up.encode()).hexdigest()

    @property
    def online_statements(self) -> tuple[str, ...]:
        """The statements that commit one by one; none if all of them commit together."""
        return _online(self.up)

    @property
    def loses(self) -> tuple[str, ...]:
        """The tables and columns with data that go with the way back."""
        tables = [f"table {name}" for name in _DROPPED_TABLE.findall(self.down)]
        columns = [
            f"column {table}.{column}"
            for table, changes in _ALTERED_TABLE.findall(self.down)
            for column in _DROPPED_COLUMN.findall(changes)
        ]
        return (*tables, *columns)


@dataclass(frozen=True, slots=True)
class Applied:
    """What the database says of one version."""

    version: int
    name: str
    checksum: str
    applied_at: datetime


async def migrate_up(
    connection: "asyncpg.Connection[asyncpg.Record]",
    known: Sequence[Migration],
    *,
    tries: int = _TRIES,
) -> list[Migration]:
    """Apply whatever is pending, one after the other; what was applied.

    Raises MigrationError where somebody holds a lock it needs in each of so many `tries`.
    """
    async with _alone(connection):
        applied = await history(connection)
        _require_same(known, applied)
        waiting = [step for step in known if step.version not in applied]
        for step in waiting:
            await _apply(connection, step, tries)
        return waiting


async def migrate_down(
    connection: "asyncpg.Connection[asyncpg.Record]",
    known: Sequence[Migration],
    *,
    meant: Migration | None = None,
    tries: int = _TRIES,
) -> Migration | None:
    """Take the newest version back; None when there is nothing to take back.

    Raises MigrationError likewise, and if the newest is not the one that is `meant`.
    """
    async with _alone(connection):
        newest = await newest_applied(connection, known)
        if newest is None:
            return None
        if meant not in {None, newest}:
            raise MigrationError(f"another has been here: the newest is {newest.label} now")
        await _apply_online(connection, _online(newest.down), tries)
        await _unless_blocked(connection, partial(_take_back, connection, newest), tries)
        return newest


async def newest_applied(
    connection: "asyncpg.Connection[asyncpg.Record]", known: Sequence[Migration]
) -> Migration | None:
    """The one that would be taken back. Raises MigrationError if it is not known here."""
    applied = await history(connection)
    _require_same(known, applied)
    return next((step for step in reversed(known) if step.version in applied), None)


async def pending(
    connection: "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy",
    known: Sequence[Migration] | None = None,
) -> list[Migration]:
    """The migrations this program needs and the database does not have; it writes nothing."""
    applied = await history(connection)
    steps = read_migrations() if known is None else known
    return [step for step in steps if step.version not in applied]


async def history(
    connection: "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy",
) -> Mapping[int, Applied]:
    """What is applied, by version; nothing in a database that was never migrated."""
    try:
        rows = await connection.fetch(
            "SELECT version, name, checksum, applied_at FROM schema_migrations ORDER BY version"
        )
    except asyncpg.UndefinedTableError:
        return {}
    return {
        row["version"]: Applied(row["version"], row["name"], row["checksum"], row["applied_at"])
        for row in rows
    }


def read_migrations(directory: Path = MIGRATIONS) -> list[Migration]:
    """The files of a directory in order. Raises `MigrationError` unless they pair and count up."""
    texts: dict[tuple[int, str], dict[str, str]] = {}
    for path in sorted(directory.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name} is not named NNNN_name.up.sql or .down.sql")
        texts.setdefault((int(match[1]), match[2]), {})[match[3]] = path.read_text("utf-8")
    steps = []
    for expected, ((version, name), sides) in enumerate(sorted(texts.items()), start=1):
        if version != expected or set(sides) != {"up", "down"}:
            raise MigrationError(
                f"{version:04d}_{name} needs number {expected:04d}, an .up.sql and a .down.sql"
            )
        steps.append(Migration(version, name, sides["up"], sides["down"]))
    return steps


@asynccontextmanager
async def _alone(connection: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[None]:
    """Nobody else migrates this database meanwhile, and there is a table to write it down in.

    Asked for until it is had: a statement that waits has a snapshot, which an index that another
    process builds online would wait for.
    """
    asked = "SELECT pg_try_advisory_lock($1)", _ADVISORY_LOCK
    while not await connection.fetchval(*asked):  # noqa: ASYNC110 - another process has it
        await asyncio.sleep(_PAUSE_SECONDS)
    try:
        await connection.execute(
            """
            CREATE TABLE IF NOT EXISTS schema_migrations (
                version integer PRIMARY KEY,
                name text NOT NULL,
                checksum text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
            )
            """
        )
        yield
    finally:
        if not connection.is_closed():  # the server lets a lock go with its connection
            await connection.fetchval("SELECT pg_advisory_unlock($1)", _ADVISORY_LOCK)


async def _apply(
    connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration, tries: int
) -> None:
    try:
        await _apply_online(connection, migration.online_statements, tries)
        await _unless_blocked(connection, partial(_apply_at_once, connection, migration), tries)
    except (asyncpg.PostgresError, MigrationError) as error:
        error.add_note(f"while applying {migration.label}.up.sql")
        raise


async def _take_back(connection: "asyncpg.Connection[asyncpg.Record]", newest: Migration) -> None:
    async with connection.transaction():
        await connection.execute(_LOCK_TIMEOUT)
        if not _online(newest.down):
            await connection.execute(newest.down)
        await connection.execute("DELETE FROM schema_migrations WHERE version = $1", newest.version)


async def _apply_at_once(
    connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration
) -> None:
    async with connection.transaction():
        await connection.execute(_LOCK_TIMEOUT)
        if not migration.online_statements:
            await connection.execute(migration.up)
        await _write_down(connection, migration)


async def _apply_online(
    connection: "asyncpg.Connection[asyncpg.Record]", statements: Sequence[str], tries: int
) -> None:
    if not statements:
        return
    await connection.execute(_LOCK_TIMEOUT_ONLINE)
    try:
        for statement in statements:
            for each in await _meant(connection, statement):
                await _unless_blocked(connection, partial(connection.execute, each), tries)
    finally:
        if not connection.is_closed():
            await connection.execute("RESET lock_timeout")


async def _meant(connection: "asyncpg.Connection[asyncpg.Record]", statement: str) -> Sequence[str]:
    """The statement itself, or those that it makes of what it finds."""
    if not statement.startswith(_RUN_EACH):
        return (statement,)
    return [made for (made,) in await connection.fetch(statement)]


async def _unless_blocked(
    connection: "asyncpg.Connection[asyncpg.Record]",
    work: Callable[[], Awaitable[object]],
    tries: int,
) -> None:
    """Raises MigrationError if somebody holds the lock it needs for all that time, and says who."""
    for _ in range(tries):
        with suppress(asyncpg.LockNotAvailableError):
            await work()
            return
        await asyncio.sleep(_AGAIN_AFTER_S)
    found = await connection.fetchrow(_LONGEST_TRANSACTION)
    who = (
        f" (the oldest transaction is of process {found['pid']}, {found['application_name']!r},"
        f" {found['age'].total_seconds():.0f} s old)"
        if found
        else ""
    )
    raise MigrationError(f"somebody holds a lock it needs{who}: try again when that has ended")


async def _write_down(
    connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration
) -> None:
    await connection.execute(
        "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
        migration.version,
        migration.name,
        migration.checksum,
    )


def _online(text: str) -> tuple[str, ...]:
    if not text.startswith(_ONLINE):
        return ()
    return tuple(each.strip() for each in _STATEMENT.findall(text) if each.strip())


def _require_same(known: Sequence[Migration], applied: Mapping[int, Applied]) -> None:
    steps = {step.version: step for step in known}
    for version, row in applied.items():
        if version not in steps:
            raise MigrationError(
                f"the database has {version:04d}_{row.name}, which this release does not know"
            )
        if steps[version].checksum != row.checksum:
            raise MigrationError(
                f"{steps[version].label}.up.sql changed after it was applied: "
                "restore it and write a new migration"
            )
