"""Every way in which Postgres fails has a meaning, and only ours are bugs."""

from __future__ import annotations

import asyncpg
import pytest

from store.faults import Fault, KeyHeldError, VersionConflictError, fault_of


def of_postgres(sqlstate: str) -> asyncpg.PostgresError:
    """The error that asyncpg raises for a code of Postgres's."""
    error = asyncpg.PostgresError.new({"C": sqlstate, "M": "as the server put it"})
    assert isinstance(error, asyncpg.PostgresError)
    return error


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ConnectionRefusedError(), Fault.AWAY),
        (OSError(24, "too many open files"), Fault.AWAY),
        (TimeoutError(), Fault.AWAY),
        (asyncpg.InterfaceError("the connection is closed"), Fault.AWAY),
        (of_postgres("08006"), Fault.AWAY),  # connection_failure
        (of_postgres("25006"), Fault.AWAY),  # read_only_sql_transaction
        (of_postgres("25P03"), Fault.AWAY),  # idle_in_transaction_session_timeout
        (of_postgres("28P01"), Fault.AWAY),  # invalid_password
        (of_postgres("3D000"), Fault.AWAY),  # invalid_catalog_name
        (of_postgres("53100"), Fault.AWAY),  # disk_full
        (of_postgres("53300"), Fault.AWAY),  # too_many_connections
        (of_postgres("57P01"), Fault.AWAY),  # admin_shutdown
        (of_postgres("57P03"), Fault.AWAY),  # cannot_connect_now
        (of_postgres("58030"), Fault.AWAY),  # io_error
        (of_postgres("55P03"), Fault.HELD),  # lock_not_available
        (of_postgres("57014"), Fault.HELD),  # query_canceled: its statement timeout
        (of_postgres("40P01"), Fault.HELD),  # deadlock_detected
        (KeyHeldError(), Fault.HELD),
        (of_postgres("23505"), Fault.RACE),  # unique_violation
        (of_postgres("40001"), Fault.RACE),  # serialization_failure
        (of_postgres("0A000"), Fault.BUG),  # feature_not_supported
        (asyncpg.InvalidCachedStatementError("another shape"), Fault.RACE),
        (VersionConflictError(), Fault.RACE),
        (of_postgres("22021"), Fault.BUG),  # character_not_in_repertoire
        (of_postgres("23514"), Fault.BUG),  # check_violation
        (of_postgres("42703"), Fault.BUG),  # undefined_column
        (asyncpg.DataError("value out of int32 range"), Fault.BUG),
        (ZeroDivisionError(), Fault.BUG),
    ],
    ids=lambda value: getattr(value, "sqlstate", None) or type(value).__name__,
)
def test_a_failure_is_sorted_by_who_has_to_do_something(error: Exception, fault: Fault) -> None:
    assert fault_of(error) is fault
