"""Who may do what: every route with every scope and with another tenant's ids.

The matrix is made from the router, so that a route nobody thought of here is tested too.
"""

from datetime import UTC, datetime, timedelta

import pytest

from api.access.scopes import Everyone, Scope
from api.routes import ROUTES
from store.write.api_keys import revoke_api_key
from tests.support.api.ingress import Ingress
from tests.support.api.possessions import Possessions, nobodys, possessions

GUARDED = [route for route in ROUTES if not isinstance(route.scope, Everyone)]


@pytest.fixture
async def owned(guarded: Ingress) -> Possessions:
    """What the tenant `acme` has."""
    return await possessions(guarded, await guarded.tenant("acme"), "acme")


async def test_every_route_needs_its_own_scope(guarded: Ingress, owned: Possessions) -> None:
    """With all scopes but its own a route is 403 and says which; with its own alone it is not."""
    for route in GUARDED:
        assert isinstance(route.scope, Scope)
        others = [scope.value for scope in Scope if scope is not route.scope]
        reply = await owned.ask(await guarded.tenant("acme", *others), route)
        assert (reply.status, reply.code) == (403, "insufficient_scope"), route.path
        assert f'scope="{route.scope.value}"' in reply.headers["WWW-Authenticate"]
    for route in GUARDED:
        assert isinstance(route.scope, Scope)
        reply = await owned.ask(await guarded.tenant("acme", route.scope.value), route)
        assert reply.status not in {401, 403}, route.path


async def test_every_route_needs_a_valid_key(guarded: Ingress, owned: Possessions) -> None:
    """Without a key, with a wrong, expired or revoked one: 401 and nothing else."""
    expired = await guarded.key("acme", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    revoked = await guarded.key("acme")
    async with guarded.pool.acquire() as connection:
        await revoke_api_key(connection, revoked.split("_")[1], datetime.now(UTC))
    for route in GUARDED:
        for token in (None, "pk_0000000000000000_" + "0" * 43, expired, revoked, "no key"):
            reply = await owned.ask(guarded.client.with_token(token), route)
            assert (reply.status, reply.code) == (401, "unauthorized"), route.path
            assert reply.headers["WWW-Authenticate"].startswith("Bearer")


async def test_another_tenants_things_are_not_found(guarded: Ingress, owned: Possessions) -> None:
    """Every route with an id answers 404 for another tenant's, exactly as for no one's."""
    thief = await guarded.tenant("other")
    absent_ids = nobodys()
    with_id = [route for route in GUARDED if "{id}" in route.path]
    assert len(with_id) >= 11
    for route in with_id:
        stolen, absent = await owned.ask(thief, route), await absent_ids.ask(thief, route)
        assert stolen.status == absent.status == 404, route.path
        assert stolen.code == absent.code
    honest = await guarded.tenant("acme")
    assert (await honest.get(f"/api/v1/payments/{owned.payment}")).text("status") == "pending"


async def test_another_tenants_account_cannot_pay(guarded: Ingress, owned: Possessions) -> None:
    """Nor receive: an account of another tenant is no account, in a body too."""
    thief = await guarded.tenant("other")
    mine = await thief.account()
    for source, destination in ((owned.account, mine), (mine, owned.account)):
        body = {
            "source_account_id": source,
            "destination_account_id": destination,
            "amount": "1",
            "currency": "USD",
        }
        reply = await thief.post("/api/v1/transfers", body)
        assert (reply.status, reply.code) == (404, "account_not_found")
    assert (await thief.pay(owned.account)).code == "account_not_found"


async def test_lists_show_a_tenant_its_own(guarded: Ingress, owned: Possessions) -> None:
    """Payments, statements and dead letters of others are in no list."""
    thief = await guarded.tenant("other")
    for path in (
        "/api/v1/payments",
        f"/api/v1/payments?account_id={owned.account}",
        "/api/v1/dead-letters",
    ):
        assert (await thief.get(path)).json["data"] == []


async def test_what_needs_no_key_works_without(guarded: Ingress) -> None:
    """Health, metrics and documentation, and nothing else, are for everyone."""
    everyone = [route.path for route in ROUTES if isinstance(route.scope, Everyone)]
    assert set(everyone) == {
        "/",
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/docs/problems",
        "/docs/assets/{name}",
    }
    for path in everyone:
        reply = await guarded.client.get(path.replace("{name}", "start.js"))
        assert reply.status == 200, path


async def test_nothing_a_client_reads_names_a_secret(guarded: Ingress) -> None:
    """A key sent in the wrong place is not repeated in any answer."""
    token = await guarded.key("acme", "payments:read")
    client = guarded.client.with_token(token)
    for reply in (
        await client.get(f"/api/v1/{token}"),
        await client.get(f"/api/v1/payments/{token}"),
        await client.get(f"/api/v1/payments?{token}=1"),
        await client.post("/api/v1/payments", {token: 1}, key=token),
    ):
        secret = token.rsplit("_", 1)[1]
        assert secret not in reply.body.decode()
        assert all(secret not in value for value in reply.headers.values())
