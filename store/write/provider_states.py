"""Writes how a stage's worker finds its providers, where the ingress and `payments lag` read it.

It is what a process says of itself, not a fact about a payment: no decision reads it, and
nothing depends on its being there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.queries import bound

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from payments.provider_state import ProviderCondition


async def write_provider_states(
    pool: asyncpg.Pool[asyncpg.Record],
    stage: str,
    worker: str,
    conditions: Sequence[ProviderCondition],
) -> None:
    """Say how the providers are now; to be repeated while the worker lives."""
    asked = bound(
        "write_provider_states",
        stage=stage,
        worker=worker,
        providers=[each.provider for each in conditions],
        states=[each.state.value for each in conditions],
        reasons=[each.reason for each in conditions],
        since=[each.since for each in conditions],
    )
    await pool.execute(*asked)


async def withdraw_provider_states(
    pool: asyncpg.Pool[asyncpg.Record], stage: str, worker: str
) -> None:
    """Take back all that a worker said, which stops."""
    await pool.execute(*bound("withdraw_provider_states", stage=stage, worker=worker))
