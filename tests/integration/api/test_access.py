"""Who may do what: every route with every scope and with another tenant's ids.

The matrix is made from the router, so that a route nobody thought of here is tested too.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from api.routes import ROUTES
from api.routing import Everyone, Route, Scope
from payments.commands import ParkMessage
from payments.dead_letter import DeadLetter, DeadLetterReason, SourceMessage
from store.api_keys import revoke_api_key
from store.group_commit import Submission
from tests.integration.api.ingress import Client, Ingress, Reply
from tests.integration.api.stage import settle

GUARDED = [route for route in ROUTES if not isinstance(route.scope, Everyone)]


@dataclass
class Possessions:
    """One of each thing a tenant may have."""

    account: str
    payment: str
    completed: str
    refund: str
    letter: str

    def id_for(self, route: Route) -> str:
        """The id that makes a route's path lead to something."""
        kind = route.path.removeprefix("/api/v1/").split("/")[0]
        named = {"accounts": self.account, "refunds": self.refund, "dead-letters": self.letter}
        return named.get(kind, self.completed if "refund" in route.path else self.payment)


async def _possessions(ingress: Ingress, client: Client, tenant: str) -> Possessions:
    account = await client.account()
    payment = (await client.pay(account)).text("id")
    completed = (await client.pay(account)).text("id")
    await settle(ingress.committer, completed)
    refund = await client.post(f"/api/v1/payments/{completed}/refund", {"amount": "1"})
    source = SourceMessage("payments.charges", 0, 0, b"k", b"{}")
    park = ParkMessage(
        uuid.uuid4(), tenant, "charge", DeadLetterReason.HANDLER_ERROR, "boom", source
    )
    letter = (await ingress.committer.submit(Submission(park))).result
    assert isinstance(letter, DeadLetter)
    return Possessions(account, payment, completed, refund.text("id"), str(letter.id))


def _body(route: Route, owned: Possessions) -> dict[str, object] | None:
    """A body that the route would accept."""
    if route.body is None:
        return None
    money = {"source_account_id": owned.account, "amount": "1.00", "currency": "USD"}
    bodies: dict[str, dict[str, object]] = {
        "CreateAccountBody": {"user_id": "u", "currency": "USD"},
        "CreateTransferBody": {**money, "destination_account_id": str(uuid.uuid4())},
        "CreatePaymentBody": {**money, "payment_type": "external_payment", "provider": "stripe"},
        "ResolveDeadLetterBody": {"reason": "a test"},
    }
    return bodies.get(route.body.__name__, {})


async def _ask(client: Client, route: Route, owned: Possessions) -> Reply:
    path = route.path.replace("{id}", owned.id_for(route))
    if route.method == "GET":
        return await client.get(path)
    return await client.post(path, _body(route, owned))


@pytest.fixture
async def owned(guarded: Ingress) -> Possessions:
    """What the tenant `acme` has."""
    return await _possessions(guarded, await guarded.tenant("acme"), "acme")


async def test_every_route_needs_its_own_scope(guarded: Ingress, owned: Possessions) -> None:
    """With all scopes but its own a route is 403 and says which; with its own alone it is not."""
    for route in GUARDED:
        assert isinstance(route.scope, Scope)
        others = [scope.value for scope in Scope if scope is not route.scope]
        reply = await _ask(await guarded.tenant("acme", *others), route, owned)
        assert (reply.status, reply.code) == (403, "insufficient_scope"), route.path
        assert f'scope="{route.scope.value}"' in reply.headers["WWW-Authenticate"]
    for route in GUARDED:
        assert isinstance(route.scope, Scope)
        reply = await _ask(await guarded.tenant("acme", route.scope.value), route, owned)
        assert reply.status not in {401, 403}, route.path


async def test_every_route_needs_a_valid_key(guarded: Ingress, owned: Possessions) -> None:
    """Without a key, with a wrong, expired or revoked one: 401 and nothing else."""
    expired = await guarded.key("acme", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    revoked = await guarded.key("acme")
    async with guarded.pool.acquire() as connection:
        await revoke_api_key(connection, revoked.split("_")[1], datetime.now(UTC))
    for route in GUARDED:
        for token in (None, "pk_0000000000000000_" + "0" * 43, expired, revoked, "no key"):
            reply = await _ask(guarded.client.with_token(token), route, owned)
            assert (reply.status, reply.code) == (401, "unauthorized"), route.path
            assert reply.headers["WWW-Authenticate"].startswith("Bearer")


async def test_another_tenants_things_are_not_found(guarded: Ingress, owned: Possessions) -> None:
    """Every route with an id answers 404 for another tenant's, exactly as for no one's."""
    thief = await guarded.tenant("other")
    nobodys = Possessions(*(str(uuid.uuid4()) for _ in range(5)))
    with_id = [route for route in GUARDED if "{id}" in route.path]
    assert len(with_id) >= 11
    for route in with_id:
        stolen, absent = await _ask(thief, route, owned), await _ask(thief, route, nobodys)
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
