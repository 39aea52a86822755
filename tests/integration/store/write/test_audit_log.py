"""The audit log: a line for what was asked for, with its effect or its refusal, and for good."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import asyncpg
import pytest

from payments.commands import CancelPayment
from payments.decision import Refused
from payments.progress import Policy
from store.read.audit_log import AuditFilters, Signature, Via, audit_log_page
from store.write.commit import Submission, commit, rehearsed
from store.write.context import live
from tests.support.factories import TENANT

if TYPE_CHECKING:
    from store.write.commit import Committed

_NOBODYS = CancelPayment(tenant_id=TENANT, payment_id=uuid.uuid4())
_SIGNED = Signature(
    tenant_id=TENANT,
    actor="ada",
    via=Via.CONSOLE,
    action="cancel_payment",
    target="/api/v1/payments/x/cancel",
    reason="a test",
    asked="{}",
    request_id="r",
)


async def _committed(pool: asyncpg.Pool[asyncpg.Record]) -> Committed:
    async with pool.acquire() as connection, connection.transaction():
        asked = [Submission(_NOBODYS, signature=_SIGNED), Submission(_NOBODYS)]
        return await commit(connection, asked, live(Policy()))


async def test_what_is_refused_is_written_down_with_why(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """Of what is signed, and of nothing else."""
    await _committed(pool)
    async with pool.acquire() as connection:
        ours = await audit_log_page(connection, TENANT, AuditFilters(), before=None, limit=10)
        others = await audit_log_page(connection, "other", AuditFilters(), before=None, limit=10)
    (entry,) = ours.items
    assert (entry.signature, entry.outcome) == (_SIGNED, "payment_not_found")
    assert others.items == []


async def test_a_rehearsal_leaves_nothing(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Neither rows nor a line."""
    async with pool.acquire() as connection:
        reply = await rehearsed(connection, _NOBODYS, live(Policy()))
    assert isinstance(reply.result, Refused)
    assert await pool.fetchval("SELECT count(*) FROM audit_log") == 0


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET actor = 'nobody'", "DELETE FROM audit_log", "TRUNCATE audit_log"],
)
async def test_no_line_is_changed_or_removed(
    pool: asyncpg.Pool[asyncpg.Record], statement: str
) -> None:
    """Not by mistake, in any case."""
    with pytest.raises(asyncpg.RaiseError, match="audit_log is append-only"):
        await pool.execute(statement)
