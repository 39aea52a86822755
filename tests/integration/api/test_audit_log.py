"""Who sees what of the audit log: a tenant's operators its own, and what is no tenant's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from cli.signing import Signer, entered
from store.read.audit_log import PLATFORM, AuditEntry, Signature, Via
from store.write.operators import sign

if TYPE_CHECKING:
    from tests.support.api.ingress import Client, Ingress

_AT_COMMAND_LINE = Signer("ann", "a test")


def _over_the_api(tenant_id: str, target: str) -> AuditEntry:
    signature = Signature(
        tenant_id=tenant_id,
        actor="ada",
        via=Via.API,
        action="redrive_dead_letter",
        target=target,
        reason=None,
        asked="{}",
        request_id="r",
    )
    return entered(signature)


async def _written(guarded: Ingress) -> None:
    """By each way about each tenant, and about none; the target says what it is."""
    async with guarded.pool.acquire() as connection:
        for tenant_id in ("acme", "other"):
            await sign(connection, _over_the_api(tenant_id, f"{tenant_id} asked"))
            about = _AT_COMMAND_LINE.signature("x", f"about {tenant_id}", tenant_id=tenant_id)
            await sign(connection, entered(about))
        await sign(connection, entered(_AT_COMMAND_LINE.signature("x", "about none")))


async def _listed(client: Client, limit: int) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    path = f"/api/v1/audit-log?limit={limit}"
    while path:
        page = orjson.loads((await client.get(path)).body)
        found += [(entry["target"], entry["tenant_id"]) for entry in page["data"]]
        cursor = page["next_cursor"]
        path = f"/api/v1/audit-log?limit={limit}&cursor={cursor}" if cursor else ""
    return found


async def test_a_tenants_operators_see_their_own_and_what_is_no_tenants(guarded: Ingress) -> None:
    """The newest first, however short the pages; nothing of another tenant, whoever asked it."""
    await _written(guarded)
    for limit in (1, 2, 10):
        assert await _listed(await guarded.tenant("acme"), limit) == [
            ("about none", None), ("about acme", "acme"), ("acme asked", "acme"),
        ]  # fmt: skip
        assert await _listed(await guarded.tenant("other"), limit) == [
            ("about none", None), ("about other", "other"), ("other asked", "other"),
        ]  # fmt: skip
        assert await _listed(await guarded.tenant("third"), limit) == [("about none", None)]


async def test_who_is_called_as_nobody_sees_nobody_elses(guarded: Ingress) -> None:
    """A key of a tenant without a name, as there might be from before, is no key to all of it."""
    await _written(guarded)
    assert await _listed(await guarded.tenant(PLATFORM), 10) == [("about none", None)]


async def test_an_entry_is_found_by_its_action_and_target(guarded: Ingress) -> None:
    """Whichever of the three it is."""
    await _written(guarded)
    client = await guarded.tenant("acme")
    for query, found in (
        ("action=x", ["about none", "about acme"]),
        ("target=about acme", ["about acme"]),
        ("target=about other", []),
    ):
        page = orjson.loads((await client.get(f"/api/v1/audit-log?{query}")).body)
        assert [entry["target"] for entry in page["data"]] == found


async def test_only_operators_see_it(guarded: Ingress) -> None:
    """A tenant's other keys see nothing, of the platform neither."""
    await _written(guarded)
    others = ("payments:read", "payments:write", "webhooks:write")
    reply = await (await guarded.tenant("acme", *others)).get("/api/v1/audit-log")
    assert (reply.status, reply.code) == (403, "insufficient_scope")
