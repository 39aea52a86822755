"""A batch while it is decided: the rows it loaded, and each row as the decisions leave it.

Loading locks every row any command needs, in the order `sql/load.sql` states, so a
later command of the batch sees what an earlier one decided, and nobody else
interferes before the commit. It waits for rows that somebody else holds, or else locks those
that are free, and then says which commands need others.
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
    webhook_endpoint_from,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from asyncpg import Record
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
    from payments.webhook_endpoint import WebhookEndpoint


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
    webhook_endpoints: dict[UUID, WebhookEndpoint] = field(default_factory=dict)
    endpoint_counts: dict[str, int] = field(default_factory=dict)
    # Rows that somebody else holds; no command that needs one may be decided.
    held: set[UUID] = field(default_factory=set)
    letters_are_held: bool = False

    def is_held(self, command: Command) -> bool:
        """Whether somebody else holds a row that the command needs."""
        if not self.held:
            return False
        need = command.needs()
        if self.letters_are_held and (need.dead_letter_ids or need.unresolved):
            return True
        named = (*need.account_ids, *need.method_ids, *need.endpoint_ids)
        needed = {*named, *_payments_of(self, need)}
        if not need.payments_only:
            needed |= _accounts_of(self, need)
        return not needed.isdisjoint(self.held)

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
            webhook_endpoints=self.webhook_endpoints,
            endpoint_counts=self.endpoint_counts,
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
        for endpoint in decision.webhook_endpoints:
            if endpoint.id not in self.webhook_endpoints and endpoint.version == 1:
                self.endpoint_counts[endpoint.tenant_id] += 1
            self.webhook_endpoints[endpoint.id] = endpoint
        for method in decision.payment_methods:
            self.payment_methods[method.id] = method
            if method.is_active:
                self.active_methods[method.name] = method
            else:
                self.active_methods.pop(method.name, None)


async def load(
    connection: PoolConnectionProxy, commands: Sequence[Command], *, skips_held: bool = False
) -> Working:
    """Lock and read what `commands` need, or of it what nobody else holds."""
    needs = [command.needs() for command in commands]
    subjects = await _subjects(connection, needs)
    working = Working()
    locks = _Locks(connection, working.held, skips_held)
    if subjects.payment_ids:
        rows = await locks.rows("payments", list(subjects.payment_ids))
        working.payments = {row["id"]: payment_from(row) for row in rows}
    if events := {each for need in needs for each in need.provider_events}:
        providers, event_ids = zip(*events, strict=True)
        known = bound("known_provider_events", providers=providers, event_ids=event_ids)
        rows = await connection.fetch(*known)
        working.provider_events = {(row["provider"], row["event_id"]) for row in rows}
    if subjects.refund_ids:
        rows = await connection.fetch(query("refunds_by_id"), list(subjects.refund_ids))
        # What came to be seen since its payment was looked for is not there yet.
        refunds = (refund_from(row) for row in rows if row["payment_id"] in subjects.payment_ids)
        working.refunds = {each.id: each for each in refunds}
    await _load_standing(connection, needs, working)
    await _load_letters(locks, working, needs, subjects)
    account_ids = {each for need in needs for each in need.account_ids}.union(
        *(_accounts_of(working, need) for need in needs if not need.payments_only)
    )
    if account_ids:
        rows = await locks.rows("accounts", list(account_ids))
        working.accounts = {row["id"]: account_from(row) for row in rows}
    await _load_methods(locks, working, needs)
    await _load_endpoints(locks, working, needs)
    return working


@dataclass(frozen=True, slots=True)
class _Subjects:
    """What the commands of a batch are about, by themselves or through their letters and refunds.

    `queues` are the payments in whose queues their letters stand.
    """

    payment_ids: set[UUID]
    refund_ids: set[UUID]
    letter_ids: set[UUID]
    queues: set[UUID]


async def _subjects(connection: PoolConnectionProxy, needs: Sequence[Needs]) -> _Subjects:
    payment_ids = {each for need in needs for each in need.payment_ids}
    refund_ids = {each for need in needs for each in need.refund_ids}
    letter_ids = {each for need in needs for each in need.dead_letter_ids}
    queues: set[UUID] = set()
    if letter_ids:
        for row in await connection.fetch(query("subjects_of_dead_letters"), list(letter_ids)):
            payment_ids.update(filter(None, [row["payment_id"], row["queued_for"]]))
            refund_ids.update(filter(None, [row["refund_id"]]))
            queues.update(filter(None, [row["queued_for"]]))
    if refund_ids:
        for row in await connection.fetch(query("payments_of_refunds"), list(refund_ids)):
            payment_ids.add(row["payment_id"])
    return _Subjects(payment_ids, refund_ids, letter_ids, queues)


@dataclass(frozen=True, slots=True)
class _Locks:
    """Locks rows: all that are asked for, or those that are free, telling which others are held."""

    connection: PoolConnectionProxy
    held: set[UUID]
    skips_held: bool

    async def rows(self, table: str, ids: Sequence[UUID]) -> list[Record]:
        if not self.skips_held:
            return await self.connection.fetch(query(f"lock_{table}"), ids)
        rows = await self.connection.fetch(query(f"lock_free_{table}"), ids)
        found = {row["id"] for row in rows}
        if absent := [each for each in ids if each not in found]:
            present = await self.connection.fetch(query(f"present_{table}"), absent)
            self.held.update(row["id"] for row in present)
        return rows

    async def letters(self, ids: Sequence[UUID], queues: Sequence[UUID]) -> list[Record]:
        """With all that are parked in these queues, of which nobody knows how many there are."""
        if not self.skips_held:
            return await self.connection.fetch(*bound("lock_dead_letters", ids=ids, queues=queues))
        free = bound("lock_free_dead_letters", ids=ids, queues=queues)
        rows = await self.connection.fetch(*free)
        present = bound("present_dead_letters", ids=ids, queues=queues)
        self.held.update(row["id"] for row in await self.connection.fetch(*present))
        self.held.difference_update(row["id"] for row in rows)
        return rows


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


async def _load_letters(
    locks: _Locks, working: Working, needs: Iterable[Needs], subjects: _Subjects
) -> None:
    """Those that are asked for, those of their queues, and those about unknown outcomes."""
    letter_ids = set(subjects.letter_ids)
    if any(need.unresolved for need in needs):
        about = bound("unresolved_letters_about", payment_ids=list(working.payments))
        letter_ids.update(row["id"] for row in await locks.connection.fetch(*about))
    if not letter_ids:
        return
    held = len(working.held)
    rows = await locks.letters(list(letter_ids), list(subjects.queues))
    seen = {None, *subjects.payment_ids}
    seen_rows = (row for row in rows if {row["payment_id"], row["queued_for"]} <= seen)
    letters = map(dead_letter_from, seen_rows)
    working.dead_letters = {each.id: each for each in letters}
    working.letters_are_held = len(working.held) > held


async def _load_methods(locks: _Locks, working: Working, needs: Iterable[Needs]) -> None:
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
        rows = await locks.rows("payment_methods", list(method_ids))
        working.payment_methods = {row["id"]: payment_method_from(row) for row in rows}
    if names:
        providers, references = zip(*names, strict=True)
        named = bound("active_payment_methods", providers=providers, refs=references)
        for row in await locks.connection.fetch(*named):
            method = payment_method_from(row)
            working.active_methods[method.name] = method


async def _load_endpoints(locks: _Locks, working: Working, needs: Iterable[Needs]) -> None:
    """Those that are asked for by id, and how many a tenant has who asks for one more."""
    if endpoint_ids := {each for need in needs for each in need.endpoint_ids}:
        rows = await locks.rows("webhook_endpoints", list(endpoint_ids))
        working.webhook_endpoints = {row["id"]: webhook_endpoint_from(row) for row in rows}
    if tenants := {each for need in needs for each in need.endpoints_of}:
        counts = await locks.connection.fetch(query("webhook_endpoints_of"), list(tenants))
        working.endpoint_counts = {row["tenant_id"]: row["endpoints"] for row in counts}


def _payments_of(working: Working, need: Needs) -> set[UUID]:
    """The payments it names, and those that its refunds and dead letters bring."""
    letters = filter(None, map(working.dead_letters.get, need.dead_letter_ids))
    refunds = filter(None, map(working.refunds.get, need.refund_ids))
    brought = (
        *(each.payment_id for each in refunds),
        *(named for each in letters for named in (each.payment_id, each.queued_for) if named),
    )
    return {*need.payment_ids, *brought}


def _accounts_of(working: Working, need: Needs) -> set[UUID]:
    """The accounts of the payments that money may move for."""
    found: set[UUID] = set()
    for payment in filter(None, map(working.payments.get, _payments_of(working, need))):
        found.add(payment.source_account_id)
        if payment.destination_account_id:
            found.add(payment.destination_account_id)
    return found
