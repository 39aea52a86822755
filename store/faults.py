"""What a failure of Postgres means: whose fault it is, and so what becomes of the command.

Sorted once, here. What is nobody's fault is tried again and costs nothing: no answer 500, no dead
letter, no exit of a process.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import asyncpg


class VersionConflictError(Exception):
    """A row is not as it was when it was read, though it was locked: nothing may be committed."""


class KeyHeldError(Exception):
    """Another session is recording something under an idempotency key of this batch."""


class Fault(Enum):
    """Who has to do something about it."""

    # Postgres is away, on its way out or back, or may not write. The session that said so is to
    # be dropped: it may be one of a primary that was demoted.
    AWAY = "away"
    # Somebody else holds what was to be locked. It may be had in a moment.
    HELD = "held"
    # Another transaction, or a migration, was faster: tried again, it is seen what it did.
    RACE = "race"
    # The command cannot be recorded, by a mistake of ours.
    BUG = "bug"


_HELD: Final = (
    KeyHeldError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    # Postgres itself is there; what took so long was this statement.
    asyncpg.QueryCanceledError,
)
_RACE: Final = (
    VersionConflictError,
    asyncpg.UniqueViolationError,
    asyncpg.SerializationError,
    # A table has another shape than when the statement was prepared on this session.
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
)
# A value that asyncpg cannot send is an error of the interface to it, and a bug to us.
_BUG: Final = (asyncpg.DataError,)
_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    # Too many connections, a full disk, no memory.
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    # A primary that was demoted, or that somebody has told to take no writes.
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    # A password that is being changed, a database that is being restored.
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


def fault_of(error: BaseException) -> Fault:
    """Whose fault it is that nothing was committed."""
    for kinds, fault in (
        (_HELD, Fault.HELD),
        (_RACE, Fault.RACE),
        (_BUG, Fault.BUG),
        (_AWAY, Fault.AWAY),
    ):
        if isinstance(error, kinds):
            return fault
    return Fault.BUG
