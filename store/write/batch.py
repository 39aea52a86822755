"""A batch while it is decided: the rows it loaded, and each row as the decisions leave it.

Loading locks every row any command needs, in the order `sql/load.sql` states, so a
later command of the batch sees what an earlier one decided, and nobody else
interferes before the commit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from payments.decision import State
from store.queries import bound, query
from store.rows import (
    account_from,
    dead_letter_from,
    dispute_from,
    payment_from,
    payment_method_from,
    refund_from,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from payments.account import Account
    from payments.commands import Command
    from payments.dead_letter import DeadLetter
    from payments.decision import Decision
    from payments.dispute import Dispute
    from payments.needs import Needs
    from payments.payment import Payment, Provider
    from payments.payment_method import PaymentMethod
    from payments.refund import Refund


@dataclass(slots=True)
class Working:
    """The rows by id, as they are after the decisions so far."""

    accounts: dict[UUID, Account] = field(default_factory=dict)
    payments: dict[UUID, Payment] = field(default_factory=dict)
    refunds: dict[UUID, Refund] = field(default_factory=dict)
    dead_letters: dict[UUID, DeadLetter] = field(default_factory=dict)
    provider_events: set[tuple[str, str]] = field(default_factory=set)
    disputes: dict[UUID, Dispute] = field(default_factory=dict)
    payment_methods: dict[UUID, PaymentMethod] = field(default_factory=dict)
    active_methods: dict[tuple[Provider, str], PaymentMethod] = field(default_factory=dict)

    def state(self) -> State:
        """A view of these rows, not a copy."""
        return State(
            accounts=self.accounts,
            payments=self.payments,
            refunds=self.refunds,
            dead_letters=self.dead_letters,
            provider_events=self.provider_events,
            disputes=self.disputes,
            payment_methods=self.payment_methods,
            active_methods=self.active_methods,
        )

    def apply(self, decision: Decision) -> None:
        """Let the next command see what this one decided."""
        self.accounts.update((each.id, each) for each in decision.accounts)
        self.payments.update((each.id, each) for each in decision.payments)
        self.payments.update((each.id, each) for each in decision.blocked)
        self.refunds.update((each.id, each) for each in decision.refunds)
        self.dead_letters.update((each.id, each) for each in decision.dead_letters)
        self.provider_events.update(each.event.key for each in decision.provider_events)
        self.disputes.update((each.id, each) for each in decision.disputes)
        for method in decision.payment_methods:
            self.payment_methods[method.id] = method
            if method.is_active:
                self.active_methods[method.name] = method
            else:
                self.active_methods.pop(method.name, None)


async def load(connection: PoolConnectionProxy, commands: Sequence[Command]) -> Working:
    """Lock and read what `commands` need."""
    needs = [command.needs() for command in commands]
    payment_ids = {each for need in needs for each in need.payment_ids}
    refund_ids = {each for need in needs for each in need.refund_ids}
    letter_ids = {each for need in needs for each in need.dead_letter_ids}
    account_ids = {each for need in needs for each in need.account_ids}
    queues: set[UUID] = set()
    if letter_ids:
        for row in await connection.fetch(query("subjects_of_dead_letters"), list(letter_ids)):
            payment_ids.update(filter(None, [row["payment_id"], row["queued_for"]]))
            refund_ids.update(filter(None, [row["refund_id"]]))
            queues.update(filter(None, [row["queued_for"]]))
    if refund_ids:
        for row in await connection.fetch(query("payments_of_refunds"), list(refund_ids)):
            payment_ids.add(row["payment_id"])
    working = Working()
    if payment_ids:
        rows = await connection.fetch(query("lock_payments"), list(payment_ids))
        working.payments = {row["id"]: payment_from(row) for row in rows}
    if events := {each for need in needs for each in need.provider_events}:
        providers, event_ids = zip(*events, strict=True)
        known = bound("known_provider_events", providers=providers, event_ids=event_ids)
        rows = await connection.fetch(*known)
        working.provider_events = {(row["provider"], row["event_id"]) for row in rows}
    if refund_ids:
        rows = await connection.fetch(query("refunds_by_id"), list(refund_ids))
        working.refunds = {row["id"]: refund_from(row) for row in rows}
    await _load_standing(connection, needs, working)
    if any(need.unresolved for need in needs):
        about = bound("unresolved_letters_about", payment_ids=list(working.payments))
        letter_ids.update(row["id"] for row in await connection.fetch(*about))
    working.dead_letters = await _letters(connection, letter_ids, queues)
    account_ids |= _accounts_of(working, commands)
    if account_ids:
        rows = await connection.fetch(query("lock_accounts"), list(account_ids))
        working.accounts = {row["id"]: account_from(row) for row in rows}
    await _load_methods(connection, working, needs)
    return working


async def _load_standing(
    connection: PoolConnectionProxy, needs: Sequence[Needs], working: Working
) -> None:
    """All refunds and disputes of the payments that are looked at as a whole."""
    payment_ids = [each for need in needs if need.standing for each in need.payment_ids]
    if not payment_ids:
        return
    refunds = await connection.fetch(query("refunds_of_payments"), payment_ids)
    working.refunds.update((row["id"], refund_from(row)) for row in refunds)
    disputes = await connection.fetch(query("disputes_of_payments"), payment_ids)
    working.disputes = {row["id"]: dispute_from(row) for row in disputes}


async def _load_methods(
    connection: PoolConnectionProxy, working: Working, needs: Iterable[Needs]
) -> None:
    """Those that are asked for by id, and the active ones that are asked for by name."""
    method_ids = {each for need in needs for each in need.method_ids}
    names = {each for need in needs for each in need.methods}
    if any(need.methods_named for need in needs):
        names |= {
            (payment.provider, payment.method_named)
            for payment in working.payments.values()
            if payment.provider and isinstance(payment.method_named, str)
        }
    if method_ids:
        rows = await connection.fetch(query("lock_payment_methods"), list(method_ids))
        working.payment_methods = {row["id"]: payment_method_from(row) for row in rows}
    if names:
        providers, references = zip(*names, strict=True)
        named = bound("active_payment_methods", providers=providers, refs=references)
        for row in await connection.fetch(*named):
            method = payment_method_from(row)
            working.active_methods[method.name] = method


async def _letters(
    connection: PoolConnectionProxy, letter_ids: set[UUID], queues: set[UUID]
) -> dict[UUID, DeadLetter]:
    if not letter_ids:
        return {}
    letters = bound("lock_dead_letters", ids=list(letter_ids), queues=list(queues))
    return {row["id"]: dead_letter_from(row) for row in await connection.fetch(*letters)}


def _accounts_of(working: Working, commands: Iterable[Command]) -> set[UUID]:
    """The accounts of the payments that money may move for."""
    found: set[UUID] = set()
    for command in commands:
        need = command.needs()
        if need.payments_only:
            continue
        letters = [working.dead_letters.get(each) for each in need.dead_letter_ids]
        refunds = [working.refunds.get(each) for each in need.refund_ids]
        payment_ids = (
            *need.payment_ids,
            *(each.payment_id for each in refunds if each),
            *(each.payment_id for each in letters if each and each.payment_id),
        )
        for payment in filter(None, map(working.payments.get, payment_ids)):
            found.add(payment.source_account_id)
            if payment.destination_account_id:
                found.add(payment.destination_account_id)
    return found
