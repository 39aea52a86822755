"""Reads how the workers that live find a provider, for whoever asks why a payment waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payments.payment import Provider
from payments.provider_state import ProviderCondition, ProviderState
from store.queries import bound

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy


async def provider_condition(
    connection: PoolConnectionProxy, provider: Provider, stage: str
) -> ProviderCondition | None:
    """The worst that the stage's workers say of it; None while none of them lives."""
    asked = bound("provider_state_of_stage", provider=provider, stage=stage)
    row = await connection.fetchrow(*asked)
    if row is None:
        return None
    return ProviderCondition(
        Provider(row["provider"]), ProviderState(row["state"]), row["reason"], row["since"]
    )
