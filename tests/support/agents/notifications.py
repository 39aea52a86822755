"""A receiver at work between a simulator that tells it everything and books of our own.

The simulator is really asked and really charged; only the worker in between is the test, so
that it can forget an answer, or write down the wrong one.
"""

from __future__ import annotations

import random
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson
from opentelemetry.trace import NoOpTracer
from prometheus_client import CollectorRegistry

from agents.notifications import Receiver, application
from local.program import free_port
from payments.account import Account
from payments.attempt import provider_key
from payments.commands import (
    ClaimPayment,
    ClaimRefund,
    Command,
    RefundPayment,
    SettlePayment,
    SettleRefund,
)
from payments.decision import Claimed, Refused
from payments.outcome import Operation, Outcome, Succeeded, Unknown
from payments.payment import CaptureMethod, Payment, Provider
from payments.refund import Refund
from process.serving import serving
from providers.gateway import ChargeRequest, RefundRequest
from providers.protected import Limits
from providers.registry import NAMES, PROVIDERS, gateways, notification_sources
from simulator.server import Simulator, SimulatorConfig, build, serve
from simulator.stripe.webhooks import signature
from simulator.vendor import Subscription
from store.write.group_commit import Submission
from telemetry.metrics import Metrics
from tests.support.entrances import listen_at
from tests.support.factories import SOURCE, TENANT, open_account, pay, usd
from tests.support.providers.configs import all_configured

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path
    from uuid import UUID

    import aiohttp
    import asyncpg

    from payments.decision import Result
    from providers.gateway import Gateway
    from store.write.group_commit import GroupCommitter

# As the providers' settings have them where it is the simulator that is asked.
SECRET: Final = "whsec_simulator"
WEBHOOK_ID: Final = "SIMULATOR"
NO_ANSWER: Final = Unknown("no_answer", "the connection broke")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """`url` is the receiver's, to which the simulator at `provider_url` posts by itself."""

    url: str
    provider_url: str
    committer: GroupCommitter
    pool: asyncpg.Pool[asyncpg.Record]
    metrics: Metrics
    simulator: Simulator
    gateways: Mapping[str, Gateway]
    session: aiohttp.ClientSession

    async def did(self, command: Command) -> Result:
        result = (await self.committer.submit(Submission(command))).result
        assert not isinstance(result, Refused), result
        return result

    async def claimed(
        self, provider: Provider, capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    ) -> Claimed:
        """A payment of 50 USD whose worker is about to ask."""
        account = await self.did(open_account())
        assert isinstance(account, Account)
        wanted = pay(account.id, provider=provider, capture_method=capture_method)
        payment = await self.did(wanted)
        assert isinstance(payment, Payment)
        claimed = await self.did(ClaimPayment(payment.id, 1, "w"))
        assert isinstance(claimed, Claimed)
        return claimed

    async def charge(self, claimed: Claimed, payment_method: str | None = None) -> str:
        """The worker's call; the provider takes the money, if it does, and tells the world."""
        payment = claimed.payment
        outcome = await self.gateways[claimed.attempt.provider].charge(
            ChargeRequest(
                payment_id=payment.id,
                idempotency_key=claimed.attempt.provider_key,
                amount=payment.amount,
                capture=claimed.attempt.operation is Operation.CHARGE,
                payment_method=payment_method,
            )
        )
        return outcome.reference if isinstance(outcome, Succeeded) else ""

    async def settle(self, claimed: Claimed, outcome: Outcome) -> None:
        """What the worker makes of it."""
        attempt = claimed.attempt
        await self.did(
            SettlePayment(attempt.payment_id, attempt.id, attempt.operation, outcome, SOURCE)
        )

    async def refund(
        self, payment_id: UUID, reference: str, outcome: Outcome | None = None
    ) -> Refund:
        """20 USD go back at the provider; our books say so too, unless the test says otherwise."""
        refund = await self.did(RefundPayment(TENANT, payment_id, usd(2_000)))
        assert isinstance(refund, Refund)
        claimed = await self.did(ClaimRefund(refund.id, 1, "w"))
        assert isinstance(claimed, Claimed)
        made = await self.gateways[claimed.attempt.provider].refund(
            RefundRequest(
                payment_id=payment_id,
                idempotency_key=provider_key(Operation.REFUND, refund.id),
                refund_id=refund.id,
                provider_reference=reference,
                amount=refund.amount,
            )
        )
        assert isinstance(made, Succeeded)
        settled = outcome or made
        await self.did(SettleRefund(refund.id, claimed.attempt.id, settled, SOURCE))
        return refund

    async def post(self, event: object, *, secret: str = SECRET) -> tuple[int, str]:
        """Deliver an event as Stripe does; status and outcome."""
        body = orjson.dumps(event)
        headers = {"Stripe-Signature": signature(body, secret, time.time())}
        async with self.session.post(
            f"{self.url}/webhooks/stripe", data=body, headers=headers
        ) as answer:
            return answer.status, str((await answer.json())["outcome"])

    async def lapses(self, claimed: Claimed) -> None:
        """The provider lets go what it held, as it does after a week."""
        url = f"{self.provider_url}/_simulator/payments/{claimed.payment.id}/expire"
        async with self.session.post(url) as answer:
            assert answer.status == 200

    async def row(self, claimed: Claimed) -> asyncpg.Record:
        row = await self.pool.fetchrow("SELECT * FROM payments WHERE id = $1", claimed.payment.id)
        assert row is not None
        return row

    async def effects(self) -> list[str]:
        """What became of the notifications that were taken, in order."""
        rows = await self.pool.fetch("SELECT effect FROM provider_events ORDER BY received_at")
        return [row["effect"] for row in rows]

    async def has_taken(self) -> bool:
        return bool(await self.effects())

    async def letters(self) -> list[asyncpg.Record]:
        return await self.pool.fetch("SELECT * FROM dead_letters")

    def counted(self, provider: str, outcome: str) -> float:
        """Deliveries that were answered so."""
        labels = {"provider": provider, "outcome": outcome}
        name = "payments_webhooks_received_total"
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def intent_event(kind: str, claimed: Claimed, event_id: str = "evt_1", **more: object) -> object:
    """An event of Stripe's about the payment."""
    metadata = {"payment_id": str(claimed.payment.id)}
    intent = {"id": "pi_1", "object": "payment_intent", "metadata": metadata}
    return {"id": event_id, "object": "event", "type": kind, "data": {"object": {**intent, **more}}}


@asynccontextmanager
async def desk_at_work(
    committer: GroupCommitter,
    pool: asyncpg.Pool[asyncpg.Record],
    session: aiohttp.ClientSession,
    directory: Path,
    *,
    is_told: bool = True,
) -> AsyncIterator[Desk]:
    """The simulator tells the receiver of everything that is read, unless it is to be silent."""
    metrics, port = Metrics(CollectorRegistry()), free_port()
    url = f"http://127.0.0.1:{port}"
    keys = {"stripe": SECRET, "paypal": WEBHOOK_ID}
    subscriptions: dict[str, Subscription] = {
        each.name: Subscription(f"{url}/webhooks/{each.name}", keys[each.name], each.event_types)
        for each in PROVIDERS
        if is_told
    }
    config = SimulatorConfig(
        host="127.0.0.1",
        port=0,
        journal=directory / "journal.jsonl",
        vendors=NAMES,
        subscriptions=subscriptions,
    )
    simulator = build(config, Metrics(CollectorRegistry()), time.time, random.Random(1))
    async with AsyncExitStack() as stack:
        listening = await stack.enter_async_context(serve(simulator, config.host, config.port))
        provider_url = f"http://127.0.0.1:{listening}"
        configs = all_configured(provider_url)
        opened = await stack.enter_async_context(gateways(configs, Limits(), metrics, NoOpTracer()))
        sources = await stack.enter_async_context(notification_sources(configs, 8))
        receiver = Receiver(committer, opened, metrics)
        app = application(receiver, sources)
        await stack.enter_async_context(serving(app, listen_at(port), receiver))
        yield Desk(
            url=url,
            provider_url=provider_url,
            committer=committer,
            pool=pool,
            metrics=metrics,
            simulator=simulator,
            gateways=opened,
            session=session,
        )
