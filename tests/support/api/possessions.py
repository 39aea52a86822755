"""One of each thing a tenant may have, and for every route a request that it would take."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import orjson

from payments.commands import ParkMessage
from payments.dead_letter import DeadLetter, DeadLetterReason, SourceMessage
from store.write.group_commit import Submission
from tests.support.api.stage import settle

if TYPE_CHECKING:
    from api.contract.route import AnyRoute
    from tests.support.api.ingress import Client, Ingress, Reply


@dataclass
class Possessions:
    """Ids."""

    account: str
    payment: str
    completed: str
    refund: str
    letter: str
    method: str
    endpoint: str
    delivery: str

    def path_of(self, route: AnyRoute) -> str:
        """The route's address, leading to something."""
        kind = route.path.removeprefix("/api/v1/").split("/")[0]
        named = {
            "accounts": self.account,
            "refunds": self.refund,
            "dead-letters": self.letter,
            "webhook-endpoints": self.endpoint,
        }
        payment = self.completed if "refund" in route.path else self.payment
        path = route.path.replace("{id}", named.get(kind, payment))
        return path.replace("{method_id}", self.method).replace("{delivery_id}", self.delivery)

    def body_of(self, route: AnyRoute) -> dict[str, object] | None:
        """A body that the route would accept, None where it takes none."""
        if route.body is None:
            return None
        money = {"source_account_id": self.account, "amount": "1.00", "currency": "USD"}
        bodies: dict[str, dict[str, object]] = {
            "AttachPaymentMethodBody": {"provider": "stripe", "reference": f"pm_{uuid.uuid4()}"},
            "CreateAccountBody": {"user_id": "u", "currency": "USD"},
            "CreateTransferBody": {**money, "destination_account_id": str(uuid.uuid4())},
            "CreatePaymentBody": {
                **money,
                "payment_type": "external_payment",
                "provider": "stripe",
            },
            "CreateWebhookEndpointBody": {"url": "https://shop.example/webhooks"},
            "ResolveBody": {"outcome": "failed", "reason": "a test"},
            "ResolveDeadLetterBody": {"reason": "a test"},
        }
        return bodies.get(route.body.__name__, {})

    async def ask(self, client: Client, route: AnyRoute) -> Reply:
        """The answer to such a request."""
        if route.method == "POST":
            return await client.post(self.path_of(route), self.body_of(route))
        content = self.body_of(route)
        body = None if content is None else orjson.dumps(content)
        return await client.send(route.method, self.path_of(route), body=body)


async def possessions(ingress: Ingress, client: Client, tenant: str) -> Possessions:
    """One of each; a pending and a completed payment, an endpoint with a delivery."""
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
    card = {"provider": "stripe", "reference": f"pm_{uuid.uuid4()}"}
    method = await client.post(f"/api/v1/accounts/{account}/payment-methods", card)
    hook = await client.post("/api/v1/webhook-endpoints", {"url": "https://shop.example"})
    test = await client.post(f"/api/v1/webhook-endpoints/{hook.text('id')}/test")
    return Possessions(
        account=account,
        payment=payment,
        completed=completed,
        refund=refund.text("id"),
        letter=str(letter.id),
        method=method.text("id"),
        endpoint=hook.text("id"),
        delivery=test.text("delivery_id"),
    )


def nobodys() -> Possessions:
    """Ids of nothing."""
    return Possessions(*(str(uuid.uuid4()) for _ in fields(Possessions)))
