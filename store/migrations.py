"""Applies the numbered SQL files of `migrations/`, forward in order and back one at a time.

A migration and the row that records it commit together, under an advisory lock, so that any
number of processes may start at once and a killed one leaves nothing half done. A file that
changed after it was applied is refused: history is corrected by a new migration.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
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


@dataclass(frozen=True, slots=True)
class Applied:
    """What the database says of one version."""

    version: int
    name: str
    checksum: str
    applied_at: datetime


async def migrate_up(
    connection: "asyncpg.Connection[asyncpg.Record]", known: Sequence[Migration]
) -> list[Migration]:
    """Apply whatever is pending, each in a transaction of its own; what was applied."""
    done: list[Migration] = []
    while True:
        async with connection.transaction():
            applied = await _locked_history(connection)
            _require_same(known, applied)
            waiting = [step for step in known if step.version not in applied]
            if not waiting:
                return done
            await _apply(connection, waiting[0])
        done.append(waiting[0])


async def migrate_down(
    connection: "asyncpg.Connection[asyncpg.Record]", known: Sequence[Migration]
) -> Migration | None:
    """Take the newest version back; None when there is nothing to take back."""
    async with connection.transaction():
        applied = await _locked_history(connection)
        _require_same(known, applied)
        if not applied:
            return None
        newest = next(step for step in known if step.version == max(applied))
        await connection.execute(_LOCK_TIMEOUT)
        await connection.execute(newest.down)
        await connection.execute("DELETE FROM schema_migrations WHERE version = $1", newest.version)
        return newest


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


async def _locked_history(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> Mapping[int, Applied]:
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _ADVISORY_LOCK)
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
    return await history(connection)


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration) -> None:
    await connection.execute(_LOCK_TIMEOUT)
    try:
        await connection.execute(migration.up)
    except asyncpg.PostgresError as error:
        error.add_note(f"while applying {migration.label}.up.sql")
        raise
    await connection.execute(
        "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
        migration.version,
        migration.name,
        migration.checksum,
    )


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
