"""A small world with one of everything that can become of a payment, made by real commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from payments.account import Account
from payments.commands import (
    CancelPayment,
    CapturePayment,
    ClaimPayment,
    ClaimRefund,
    ParkMessage,
    RefundPayment,
    SettlePayment,
    SettleRefund,
)
from payments.dead_letter import DeadLetterReason, SourceMessage
from payments.decision import Claimed, Refused
from payments.ids import dead_letter_id
from payments.outcome import Declined, Succeeded, Unknown, Unresolvable
from payments.payment import CaptureMethod, Payment
from payments.refund import Refund
from payments.resolution import DidNotHappen, Happened, ResolvePayment, ResolveRefund
from store.write.group_commit import Answer, Idempotency, Submission
from tests.support.factories import SOURCE, TENANT, open_account, pay, transfer, usd

if TYPE_CHECKING:
    from payments.commands import Command
    from payments.decision import Result
    from payments.outcome import Outcome
    from store.write.group_commit import GroupCommitter

POISON = b"\x00\xff not json"


@dataclass(slots=True)
class World:
    """Makes things; each call is one command or the few that belong together."""

    committer: GroupCommitter
    keys: int = 0

    async def ask(self, command: Command) -> Result:
        result = (await self.committer.submit(Submission(command))).result
        assert not isinstance(result, Refused), result
        return result

    async def requested(self, command: Command) -> Payment | Refund:
        """As the API asks: with a key, and an answer that is kept."""
        self.keys += 1
        key = getattr(command, "idempotency_key", None) or f"key-{self.keys}"
        asked = Submission(command, idempotency=Idempotency(TENANT, key, b"same"), render=_rendered)
        result = (await self.committer.submit(asked)).result
        assert isinstance(result, Payment | Refund), result
        return result

    async def account(self) -> Account:
        made = await self.ask(open_account())
        assert isinstance(made, Account)
        return made

    async def payment(self, source: Account, *outcomes: Outcome, manual: bool = False) -> UUID:
        """An external payment of 50 USD after these attempts."""
        method = CaptureMethod.MANUAL if manual else CaptureMethod.AUTOMATIC
        self.keys += 1
        key = f"pay-{self.keys}"
        payment = await self.requested(pay(source.id, capture_method=method, idempotency_key=key))
        for number, outcome in enumerate(outcomes, start=1):
            await self.attempt(payment.id, number, outcome)
        return payment.id

    async def attempt(self, payment_id: UUID, number: int, outcome: Outcome) -> None:
        claimed = await self.ask(ClaimPayment(payment_id, number, "w"))
        assert isinstance(claimed, Claimed)
        attempt = claimed.attempt
        await self.ask(SettlePayment(payment_id, attempt.id, attempt.operation, outcome, SOURCE))

    async def refund(self, payment_id: UUID, minor: int, *outcomes: Outcome) -> UUID:
        self.keys += 1
        refund = await self.requested(
            RefundPayment(TENANT, payment_id, usd(minor), idempotency_key=f"refund-{self.keys}")
        )
        for number, outcome in enumerate(outcomes, start=1):
            claimed = await self.ask(ClaimRefund(refund.id, number, "w"))
            assert isinstance(claimed, Claimed)
            await self.ask(SettleRefund(refund.id, claimed.attempt.id, outcome, SOURCE))
        return refund.id

    async def park(
        self,
        value: bytes = POISON,
        topic: str = "payments.charges",
        payment_id: UUID | None = None,
        reason: DeadLetterReason = DeadLetterReason.UNDECODABLE,
    ) -> None:
        source = SourceMessage(topic, 0, self.keys, b"key", value)
        letter_id = dead_letter_id("charge", f"{topic}/{self.keys}")
        self.keys += 1
        await self.ask(
            ParkMessage(letter_id, TENANT, "charge", reason, "no JSON", source, payment_id)
        )

    async def hold_up(self) -> None:
        """A payment whose message waits behind another of its own, which nobody can read."""
        payment_id = await self.payment(await self.account())
        await self.park(payment_id=payment_id)
        await self.park(b"{}", payment_id=payment_id, reason=DeadLetterReason.WAITS_BEHIND)

    async def resolve(self) -> None:
        """Payments and a refund nobody was sure of, and what an operator found of each."""
        account, why = await self.account(), ("ada", "looked there")
        lost = Unresolvable("key_window_passed", "nobody can tell")
        for verdict in (Happened(usd(5_000), "pi_found"), DidNotHappen()):
            payment_id = await self.payment(account, lost)
            await self.ask(ResolvePayment(payment_id, *why, verdict))
        completed = await self.payment(account, Succeeded("pi_2"))
        for verdict in (Happened(usd(500), "re_found"), DidNotHappen()):
            refund_id = await self.refund(completed, 500, lost)
            await self.ask(ResolveRefund(refund_id, *why, verdict))


async def live(committer: GroupCommitter) -> World:
    """Payments in every state that ends or waits, refunds, a transfer, a parked message."""
    world = World(committer)
    one, other = await world.account(), await world.account()
    paid, lost = Succeeded("pi_1"), Unknown("timeout", "no answer")
    await world.requested(transfer(one.id, other.id))
    returned = await world.requested(transfer(one.id, other.id))
    await world.refund(returned.id, 10_000)
    completed = await world.payment(one, paid)
    await world.refund(completed, 2_000, Succeeded("re_1"))
    await world.refund(completed, 1_000, Declined("no", "no"))
    await world.payment(one, Declined("card_declined", "no"))
    await world.payment(one, lost)
    await world.ask(CancelPayment(TENANT, await world.payment(one)))
    authorized = await world.payment(one, paid, manual=True)
    captured = await world.payment(one, paid, manual=True)
    await world.ask(CapturePayment(TENANT, captured, usd(3_000)))
    await world.attempt(captured, 2, paid)
    assert authorized != captured
    await world.park()
    return world


def _rendered(outcome: Result | Refused) -> Answer:
    assert isinstance(outcome, Payment | Refund), outcome
    return Answer(202, {}, orjson.dumps({"id": str(outcome.id)}))
