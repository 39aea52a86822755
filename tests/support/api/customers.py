"""Random customers of the HTTP API, and the bank that says what each of them must have.

Two tenants open accounts, pay, move, capture, cancel, refund, ask again and try each other's
ids, while providers answer, decline, or leave nobody wiser. After every step each account and
each payment is read back over HTTP and compared.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Final, Self, TypeVar
from uuid import UUID

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from payments.commands import ClaimPayment, ClaimRefund
from payments.dead_letter import SourceMessage
from payments.outcome import Declined, Deferred, Outcome, Retriable, Succeeded, Unknown
from payments.progress import Policy
from tests.support.api import bank as model
from tests.support.api.bank import Bank, Errand, Payment, Refund, decimal
from tests.support.api.stage import answered, claimed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from redis.asyncio import Redis

    from payments.decision import Claimed
    from tests.support.api.ingress import Client, Ingress, Reply

ItemT = TypeVar("ItemT")
# Nobody is woken, so nothing may fall due: every step of a run is decided by the run alone.
_FAR_S: Final = timedelta(days=1).total_seconds()
POLICY: Final = Policy(
    max_retries=model.RETRIES_MAX,
    retry_delay_s=_FAR_S,
    retry_delay_max_s=_FAR_S,
    lease_s=_FAR_S,
    patience_s=_FAR_S,
    inquiry_delay_max_s=_FAR_S,
    max_inquiries=model.INQUIRIES_MAX,
)
_ANSWERS: Final[Mapping[str, Outcome]] = {
    "succeeded": Succeeded("pi_1"),
    "declined": Declined("card_declined", "no"),
    "unknown": Unknown("timeout", "no answer"),
    "retriable": Retriable("rate_limited", "later"),
    "deferred": Deferred("circuit_open", _FAR_S),
}
_KINDS: Final[Mapping[str, Mapping[str, str]]] = {
    "transfer": {},
    "internal": {"payment_type": "internal_transfer"},
    "charge": {"payment_type": "external_payment", "provider": "stripe"},
    "authorize": {
        "payment_type": "external_payment",
        "provider": "paypal",
        "capture_method": "manual",
    },
}
# What happens, and how often among so many.
_DEEDS: Final = (
    *("open_account", *["pay"] * 5, "cancel", *["capture"] * 3, *["refund"] * 3),
    *(*["try_a_few_times"] * 4, "claim", "answer", "answer_late", "answer_late"),
    *("ask_again", "ask_otherwise", "reach_over", "read"),
)
_ACCOUNTS_MAX: Final = 4
_SENSIBLE: Final = 0.75
# What providers mostly do, and what it takes to get into review.
_STORIES: Final = (
    *(("succeeded",), ("succeeded",), ("unknown",)),
    ("unknown",) * (model.INQUIRIES_MAX + 2),
)
# A request takes milliseconds; a machine that others use too may need longer.
_PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Dice:
    """What is left to chance of a deed. Of several things, `pick` counts from the newest."""

    house: int = 0
    pick: int = 0
    to: int = 0
    amount: int = 10_000
    kind: str = "charge"
    # Another currency than the account's.
    currency: str | None = None
    # Of what there is, None for all of it; five are one too many.
    quarters: int | None = None
    # Whether what is picked is in a state that allows the deed, if anything is.
    sensible: bool = True
    told: tuple[str, ...] = ("succeeded",)

    @classmethod
    def rolled(cls, chance: Random) -> Self:
        answers = tuple(chance.choices(sorted(_ANSWERS), k=chance.randint(1, 4)))
        return cls(
            house=chance.randrange(2),
            pick=min(chance.randrange(8), chance.randrange(8)),
            to=chance.randrange(_ACCOUNTS_MAX),
            amount=chance.randint(1, 9_000),
            kind=chance.choice(sorted(_KINDS)),
            currency=chance.choice([*[None] * 9, *sorted(model.DIGITS)]),
            quarters=chance.choice([None, 1, 2, 3, 4, 5, 5]),
            sensible=chance.random() < _SENSIBLE,
            told=chance.choice([*_STORIES, answers]),
        )

    def share_of(self, whole: int, rest: int) -> int:
        return rest if self.quarters is None else max(1, whole * self.quarters // 4)

    def body(self, amount: int, currency: str) -> dict[str, object]:
        return {} if self.quarters is None else {"amount": decimal(amount, currency)}


@dataclass(frozen=True)
class Floor:
    """Runs the customers' requests on the loop the ingress lives on; counts what they met."""

    ingress: Ingress
    redis: Redis
    loop: asyncio.AbstractEventLoop
    met: Counter[str] = field(default_factory=Counter)
    offsets: count[int] = field(default_factory=count)

    def do(self, work: Coroutine[object, object, ItemT]) -> ItemT:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(_PATIENCE_S)


@dataclass(frozen=True, slots=True)
class House:
    """A tenant: how it asks, and what it should have."""

    client: Client
    bank: Bank


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was answered; `other` is a body it did not have."""

    house: House
    path: str
    body: Mapping[str, object]
    other: Mapping[str, object]
    key: str
    reply: Reply


class Customers(RuleBasedStateMachine):
    """Two tenants with a few accounts each, and the providers they pay through."""

    def __init__(self, floor: Floor) -> None:
        super().__init__()
        self.floor = floor
        tenants = (floor.ingress.tenant(uuid.uuid4().hex) for _ in range(2))
        self.houses = [House(floor.do(tenant), Bank()) for tenant in tenants]
        self.asked: list[Asked] = []
        self.leases: dict[Errand, Claimed] = {}
        self.lapsed: list[tuple[Errand, Claimed]] = []
        self.past: list[tuple[datetime, str, House, tuple[int, int]]] = []

    @initialize()
    def open_the_first_accounts(self) -> None:
        for house in (0, 0, 1, 1):
            self.open_account(Dice(house, amount=10_000, currency="USD"))

    @rule(chance=st.integers(0, 2**64))
    def happens(self, chance: int) -> None:
        """Hypothesis draws and leaves out whole deeds: within one it would repeat itself."""
        dealt = Random(f"{chance} {len(self.asked)}")
        deed, dice = dealt.choice(_DEEDS), Dice.rolled(dealt)
        note(f"{deed} {dice}")
        getattr(self, deed)(dice)

    # What customers do

    def open_account(self, dice: Dice) -> None:
        owner, currency = self.houses[dice.house], dice.currency or "USD"
        body = {
            "user_id": "user",
            "initial_balance": decimal(dice.amount, currency),
            "currency": currency,
        }
        if len(owner.bank.balance) < _ACCOUNTS_MAX:
            reply = self._ask(owner, "accounts", body, {**body, "user_id": "another"}, None)
            owner.bank.open(reply.text("id"), currency, dice.amount)

    def pay(self, dice: Dice) -> None:
        """In the account's currency, mostly, to an account of their own or through a provider."""
        owner, fields = self.houses[dice.house], _KINDS[dice.kind]
        accounts = [*owner.bank.balance]
        source = _picked(accounts, dice.pick)
        destination = None if "provider" in fields else _picked(accounts, dice.to)
        currency = dice.currency or owner.bank.currency[source]
        payment = Payment(
            source=source,
            destination=destination,
            provider=fields.get("provider"),
            amount=dice.amount,
        )
        refusal = owner.bank.refuses_payment(payment, currency)
        body = {**fields, **_payment_body(source, destination, dice.amount, currency)}
        path = "payments" if fields else "transfers"
        reply = self._ask(owner, path, body, {**body, "description": "another"}, refusal)
        if not refusal:
            payment.id = reply.text("id")
            if destination is None:
                payment.owe(dice.kind, dice.amount)
            owner.bank.pay(payment)

    def cancel(self, dice: Dice) -> None:
        house, payment = self._payment(dice, {"pending", "authorized"})
        refusal = house.bank.refuses_cancel(payment)
        self._ask(house, f"payments/{payment.id}/cancel", {}, {}, refusal)
        if not refusal:
            house.bank.cancel(payment)

    def capture(self, dice: Dice) -> None:
        house, payment = self._payment(dice, {"authorized"})
        amount = dice.share_of(payment.amount, payment.amount)
        currency = house.bank.currency[payment.source]
        body = dice.body(amount, currency)
        other = {"amount": decimal(amount + 1, currency)}
        refusal = house.bank.refuses_capture(payment, amount)
        self._ask(house, f"payments/{payment.id}/capture", body, other, refusal)
        if not refusal:
            payment.owe("capture", amount)

    def refund(self, dice: Dice) -> None:
        house, payment = self._payment(dice, {"completed", "partially_refunded"})
        amount = dice.share_of(payment.captured, payment.refundable)
        body = dice.body(amount, house.bank.currency[payment.source])
        refusal = house.bank.refuses_refund(payment, amount)
        path = f"payments/{payment.id}/refund"
        reply = self._ask(house, path, body, {**body, "reason": "another"}, refusal)
        if not refusal:
            owed = None if payment.destination else "refund"
            house.bank.refund(Refund(reply.text("id"), owed=owed, asking=amount, payment=payment))

    # What they try

    def ask_again(self, dice: Dice) -> None:
        """The same bytes, whatever has happened since, and whether Redis remembers it or not."""
        asked = _picked(self.asked, dice.pick)
        if not dice.sensible:
            self.floor.do(_all([self.floor.redis.flushall()]))
        again = self._post(asked.house, asked.path, asked.body, asked.key)
        assert (again.status, again.body) == (asked.reply.status, asked.reply.body)
        assert again.headers["Idempotent-Replayed"] == "true"
        self.floor.met["replayed"] += 1

    def ask_otherwise(self, dice: Dice) -> None:
        """Another request under the same key, refused whoever remembers the first."""
        if not dice.sensible:
            self.floor.do(_all([self.floor.redis.flushall()]))
        asked = _picked([each for each in self.asked if each.other], dice.pick)
        reply = self._post(asked.house, asked.path, asked.other, asked.key)
        assert (reply.status, reply.code) == (422, "idempotency_key_reused")
        self.floor.met["idempotency_key_reused"] += 1

    def reach_over(self, dice: Dice) -> None:
        """What another tenant has can neither be read nor paid to, nor its requests repeated."""
        owner, other = self.houses[dice.house], self.houses[1 - dice.house]
        source = _picked([*other.bank.balance], dice.pick)
        destination = _picked([*owner.bank.balance], dice.to)
        body = _payment_body(source, destination, dice.amount, other.bank.currency[source])
        self._ask(other, "transfers", body, {}, "account_not_found")
        for asked in [each for each in self.asked if each.house is owner][-3:]:
            if asked.path != "accounts":
                reply = self._post(other, asked.path, asked.body, asked.key)
                assert reply.status == 404
                self.floor.met[str(reply.json["code"])] += 1
        parts = ("", "/balance", "/transactions")
        paths = [f"accounts/{each}{part}" for each in owner.bank.balance for part in parts]
        paths += [f"payments/{each.id}" for each in owner.bank.payments]
        paths += [f"refunds/{each.id}" for each in owner.bank.refunds]
        replies = self.floor.do(_all(other.client.get(f"/api/v1/{path}") for path in paths))
        assert {reply.status for reply in replies} == {404}

    def read(self, dice: Dice) -> None:
        """A statement, a refund, and a balance of a past moment."""
        self._check_statement(self.houses[dice.house], dice.pick)
        if self.refunds:
            self._check_refund(*_picked(self.refunds, dice.pick))
        self._check_past(*_picked(self.past, dice.amount))

    # What providers do

    def try_a_few_times(self, dice: Dice) -> None:
        errand = _picked(self.owed, dice.pick) if self.owed else None
        for answer in dice.told:
            if errand and errand.owed:
                self._claim(errand)
                self._answer(errand, answer)

    def claim(self, dice: Dice) -> None:
        """The answer comes when other things have happened."""
        if self.owed:
            self._claim(_picked(self.owed, dice.pick))

    def answer(self, dice: Dice) -> None:
        if self.leases:
            self._answer(_picked([*self.leases], dice.pick), dice.told[0])

    def answer_late(self, dice: Dice) -> None:
        """Of an attempt that was given up; it counts if it is certain and not yet known."""
        if not self.lapsed:
            return
        errand, claim = _picked(self.lapsed, dice.pick)
        answer = "succeeded" if dice.sensible else "declined"
        counts = errand.owed == claim.attempt.operation
        self.floor.met["late answer that counts" if counts else "late answer that does not"] += 1
        if counts:
            self._bank_of(errand).hear(errand, answer)
            if errand in self.leases:
                self.lapsed.append((errand, self.leases.pop(errand)))
        self._tell(claim, answer)

    # What must hold

    @invariant()
    def everybody_has_what_the_bank_says(self) -> None:
        seen = self.floor.do(_all(_seen(house) for house in self.houses))
        for house, (accounts, payments) in zip(self.houses, seen, strict=True):
            bank = house.bank
            expected = {
                each: (bank.balance[each], bank.available(each), bank.held[each])
                for each in bank.balance
            }
            assert accounts == expected, f"accounts are {accounts} and should be {expected}"
            known = {each.id: _shown(each, bank) for each in bank.payments}
            assert payments == known, f"payments are {payments} and should be {known}"
            self.floor.met.update(each.status for each in bank.payments)
            now = datetime.now(UTC)
            for each in bank.balance:
                self.past.append((now, each, house, (bank.balance[each], bank.held[each])))

    # How

    @property
    def payments(self) -> list[tuple[House, Payment]]:
        return [(house, each) for house in self.houses for each in house.bank.payments]

    @property
    def refunds(self) -> list[tuple[House, Refund]]:
        return [(house, each) for house in self.houses for each in house.bank.refunds]

    @property
    def owed(self) -> list[Errand]:
        """What a provider is owed a call for that nobody is making."""
        errands: list[Errand] = [each for _, each in (*self.payments, *self.refunds)]
        return [each for each in errands if each.owed and each not in self.leases]

    def _payment(self, dice: Dice, statuses: AbstractSet[str]) -> tuple[House, Payment]:
        """One in such a state, if there is one and it matters; there always is a payment."""
        if not self.payments:
            # The least that Stripe takes, from the oldest account, which has it.
            self.pay(Dice(amount=50, pick=-1))
        fitting = [each for each in self.payments if dice.sensible and each[1].status in statuses]
        return _picked(fitting or self.payments, dice.pick)

    def _bank_of(self, errand: Errand) -> Bank:
        return next(
            house.bank
            for house in self.houses
            if errand in house.bank.payments or errand in house.bank.refunds
        )

    def _post(self, house: House, path: str, body: Mapping[str, object], key: str) -> Reply:
        # No stage runs beside them: what is owed is answered by them, later.
        return self.floor.do(house.client.post(f"/api/v1/{path}", body, key=key, Prefer="wait=0"))

    def _ask(
        self,
        house: House,
        path: str,
        body: Mapping[str, object],
        other: Mapping[str, object],
        refusal: str | None,
    ) -> Reply:
        """Accepted or refused, as the bank says."""
        key = str(uuid.uuid4())
        reply = self._post(house, path, body, key)
        assert (None if reply.status < 300 else reply.code) == refusal, (path, body, reply.body)
        self.asked.append(Asked(house, path, body, other, key, reply))
        if refusal:
            self.floor.met[refusal] += 1
        return reply

    def _check_statement(self, owner: House, pick: int) -> None:
        """Line by line it adds up to the balance."""
        account = _picked([*owner.bank.balance], pick)
        path = f"/api/v1/accounts/{account}/transactions?limit=100"
        lines = self.floor.do(owner.client.get(path)).json["data"]
        assert isinstance(lines, list)
        balance = 0
        for line in reversed(lines):
            balance += line["amount_minor"] * (1 if line["direction"] == "credit" else -1)
            assert line["balance_after_minor"] == balance
        assert balance == owner.bank.balance[account]

    def _check_refund(self, house: House, refund: Refund) -> None:
        shown = self.floor.do(house.client.get(f"/api/v1/refunds/{refund.id}")).json
        assert (shown["status"], shown["amount_minor"]) == (refund.status, refund.asking)

    def _check_past(self, then: datetime, account: str, house: House, had: tuple[int, int]) -> None:
        path = f"/api/v1/accounts/{account}/balance?as_of={then:%Y-%m-%dT%H:%M:%S.%fZ}"
        reply = self.floor.do(house.client.get(path)).json
        assert (reply["balance_minor"], reply["pending_minor"]) == had

    def _claim(self, errand: Errand) -> None:
        errand.attempts += 1
        errand.status = "processing" if errand.status == "pending" else errand.status
        kind = ClaimRefund if isinstance(errand, Refund) else ClaimPayment
        command = kind(UUID(errand.id), errand.attempts, "worker")
        self.leases[errand] = self.floor.do(claimed(self.floor.ingress.committer, command))

    def _answer(self, errand: Errand, answer: str) -> None:
        claim = self.leases.pop(errand)
        self._bank_of(errand).hear(errand, answer)
        if answer == "unknown" and errand.owed:
            self.lapsed.append((errand, claim))
        self._tell(claim, answer)

    def _tell(self, claim: Claimed, answer: str) -> None:
        source = SourceMessage("payments.charges", 0, next(self.floor.offsets), b"k", b"{}")
        committer = self.floor.ingress.committer
        self.floor.do(answered(committer, claim, _ANSWERS[answer], source))


def _payment_body(
    source: str, destination: str | None, amount: int, currency: str
) -> dict[str, object]:
    body = {
        "source_account_id": source,
        "amount": decimal(amount, currency),
        "currency": currency,
    }
    return {**body, "destination_account_id": destination} if destination else {**body}


def _shown(payment: Payment, bank: Bank) -> tuple[object, ...]:
    minor = (payment.captured, payment.refunded, payment.refundable)
    currency = bank.currency[payment.source]
    return (payment.status, payment.amount, *(decimal(each, currency) for each in minor))


async def _seen(
    house: House,
) -> tuple[dict[str, tuple[object, ...]], dict[str, tuple[object, ...]]]:
    """Accounts and payments of a tenant, as it reads them."""
    paths = [f"/api/v1/accounts/{each}/balance" for each in house.bank.balance]
    listed, *balances = await _all(
        house.client.get(path) for path in ("/api/v1/payments?limit=100", *paths)
    )
    assert listed.json["next_cursor"] is None
    data = listed.json["data"]
    assert isinstance(data, list)
    fields = ("status", "amount_minor", "captured", "refunded", "refundable")
    accounts = {
        str(each.json["account_id"]): tuple(
            each.json[name] for name in ("balance_minor", "available_minor", "pending_minor")
        )
        for each in balances
    }
    return accounts, {each["id"]: tuple(each[name] for name in fields) for each in data}


async def _all(work: Iterable[Awaitable[ItemT]]) -> list[ItemT]:
    return await asyncio.gather(*work)


def _picked(several: Sequence[ItemT], pick: int) -> ItemT:
    return several[-1 - pick % len(several)]
