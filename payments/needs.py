"""Which rows a command must see before it is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payments.record import Struct

if TYPE_CHECKING:
    from uuid import UUID

    from payments.payment import Provider


class Needs(Struct, frozen=True):
    """The rows a command must see, locked; of `provider_events` whether they were taken.

    Refunds and dead letters bring their payment, payments bring their accounts, but
    where `payments_only` says that no money moves: a claim must not wait for a busy
    account. Payments bring the letters about an outcome nobody knows where `unresolved`
    asks for them, all their refunds and disputes where `standing` does, and the methods they
    name where `methods_named` does. `methods` are active payment methods by provider and
    name, and `endpoints_of` tenants whose webhook endpoints are counted; neither is locked.
    """

    account_ids: tuple[UUID, ...] = ()
    payment_ids: tuple[UUID, ...] = ()
    refund_ids: tuple[UUID, ...] = ()
    dead_letter_ids: tuple[UUID, ...] = ()
    provider_events: tuple[tuple[str, str], ...] = ()
    method_ids: tuple[UUID, ...] = ()
    endpoint_ids: tuple[UUID, ...] = ()
    methods: tuple[tuple[Provider, str], ...] = ()
    endpoints_of: tuple[str, ...] = ()
    methods_named: bool = False
    payments_only: bool = False
    unresolved: bool = False
    standing: bool = False
