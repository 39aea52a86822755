"""The last word under a key: what was stored provisionally gets it once, before anybody hears it.

A request that waits for what it started has its answer stored with its effect, so that it is
there whatever happens, and marked: it may still be replaced. Whoever is about to give an answer
that is so marked settles it first. The first one to do so decides for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from store.queries import bound
from store.write.commit import answer_from

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    from store.write.commit import Answer, Idempotency


async def settled_answer(
    connection: PoolConnectionProxy, asked: Idempotency, last: Answer
) -> Answer:
    """What is answered to this key from now on: `last`, unless somebody was faster.

    Not to be called within a transaction: what it returns may be given away.
    """
    outcome = await connection.execute(
        *bound(
            "settle_answer",
            tenant_id=asked.tenant_id,
            key=asked.key,
            status=last.status,
            headers=orjson.dumps(dict(last.headers)).decode(),
            body=last.body,
        )
    )
    if outcome == "UPDATE 1":
        return last
    stored = bound("idempotency_answers", tenant_ids=[asked.tenant_id], keys=[asked.key])
    row = await connection.fetchrow(*stored)
    return answer_from(row) if row else last
