"""What is asked of a database that has grown: the statements of the hot paths and of every list.

Of a list a page, and what its filters ask for that hardly a row has, or none: by whom there is
little beside somebody who has much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from bench.grown import BUSY, QUIET_TENANT, TENANT, id_of, instant
from bench.grown_lists import DECLINED, ENDPOINT, LOUD_TENANT
from store.read.due import Look
from store.read.found import READ_MAX
from store.read.id_ranges import FIRST_ID, LAST_ID, first_id_of

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a page shows, and hardly more; and where it gives up on its filters.
TOUCHED_MAX: Final = 100
GIVES_UP_AT: Final = READ_MAX + TOUCHED_MAX
# A page of the settled: a row of the ledger and its payment each, and some that are of others.
_SETTLED: Final = 1_000
_SETTLED_MAX: Final = 2 * _SETTLED + 10
_PATIENCE: Final = timedelta(minutes=2)
_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)
_QUIET_ACCOUNT: Final = UUID(int=4)


@dataclass(frozen=True, slots=True)
class Asked:
    """A statement and its arguments, and how many rows it may touch, whatever the tables hold."""

    name: str
    arguments: Mapping[str, object]
    touched_max: int = TOUCHED_MAX
    # How often it was asked before: after some times Postgres may keep the plan that it has.
    times_before: int = 5

    def of_all(self) -> Asked:
        """The same of every tenant."""
        of_nobody = {name: self.arguments[name] for name in self.arguments if name != "tenant_id"}
        return replace(self, name=f"{self.name}_of_all", arguments=of_nobody)

    def of(self, touched_max: int = TOUCHED_MAX, /, **arguments: object) -> Asked:
        """The same with some other arguments."""
        return replace(self, arguments={**self.arguments, **arguments}, touched_max=touched_max)


def asked(count: int) -> Mapping[str, Asked]:
    """By what is asked for, among so many payments, and in lists that have grown with them."""
    middle = instant(count // 2)
    first_id = first_id_of(middle)
    past = {"tenant_id": TENANT, "account_id": BUSY, "instant": middle, "first_id": first_id}
    settled = {
        "provider": "stripe", "since": middle, "before": instant(count), "after_id": first_id,
        "before_id": first_id_of(instant(count)), "statuses": ["completed"], "rows_max": _SETTLED,
    }  # fmt: skip
    due = {"since": instant(0), **Look(middle, _PATIENCE, [], 500)._asdict()}
    return {
        "payments since an instant": _PAYMENTS.of(created_from=middle, first_id=first_id),
        "a balance in the past": Asked("balance_at", past),
        "a payment": Asked("payment_by_id", {"tenant_id": TENANT, "id": id_of(count // 2)}),
        "what is due": Asked("due_payments", due),
        # By a command, which asks a few times, if the report is long.
        "settled between": Asked("settled_payments_between", settled, _SETTLED_MAX, 0),
        **_LISTS,
    }


def _page(name: str, *filters: str, **arguments: object) -> Asked:
    """The first one of the tenant's, with none of the filters."""
    page = {"tenant_id": TENANT, "before_id": LAST_ID, "rows_max": 21, "read_max": READ_MAX}
    return Asked(name, {**page, **dict.fromkeys(filters), **arguments})


_PAYMENTS: Final = _page(
    "payments_page", "status", "provider", "currency", "amount_minor", "provider_transaction_id",
    "created_from", "created_before", first_id=FIRST_ID,
)  # fmt: skip
_IN_STATE: Final = replace(_PAYMENTS, name="payments_page_in_state")
_OF_ACCOUNT: Final = replace(_PAYMENTS, name="payments_page_of_account").of(account_id=BUSY)
_STATEMENT: Final = _page("statement_page", account_id=BUSY)
_METHODS: Final = _page("payment_methods_page", "state", account_id=BUSY)
_LETTERS: Final = _page("dead_letters_page", "state", "stage", "reason", before_time=_LATEST)
_BREAKS: Final = _page(
    "reconciliation_breaks_page", "state", "provider", "type", before_time=_LATEST
)
_DISPUTES: Final = _page("disputes_page", "state", "provider", before_time=_LATEST)
_OF_PAYMENT: Final = replace(_DISPUTES, name="disputes_page_of_payment").of(payment_id=id_of(1))
# Without a filter it reads a page of each of its parts.
_LOG: Final = _page("audit_log_page", "action", "target")
_LOG_OF_ALL: Final = _page("audit_log_of_all", "actor", "action", first_id=FIRST_ID, tenant_id=None)
_ENDPOINTS: Final = _page("webhook_endpoints_page", "state")
_DELIVERIES: Final = Asked(
    "webhook_deliveries_page",
    {
        "endpoint_id": ENDPOINT, "before_time": _LATEST, "before_id": LAST_ID, "rows_max": 21,
        "read_max": READ_MAX, "state": None, "event_type": None, "created_from": None,
    },
)  # fmt: skip

_LISTS: Final = {
    "newest payments": _PAYMENTS,
    "newest payments of a quiet tenant": _PAYMENTS.of(tenant_id=QUIET_TENANT),
    "payments that nobody knows": _PAYMENTS.of(GIVES_UP_AT, provider_transaction_id="x"),
    "payments in review": _IN_STATE.of(status="review"),
    "payments that failed": _IN_STATE.of(status="failed"),
    "payments of an account": _OF_ACCOUNT,
    "payments of an account that nobody knows": _OF_ACCOUNT.of(
        GIVES_UP_AT, provider_transaction_id="x"
    ),
    "payments of another tenant's account": _OF_ACCOUNT.of(tenant_id=QUIET_TENANT),
    "a statement": _STATEMENT,
    "a statement of a quiet account": _STATEMENT.of(account_id=_QUIET_ACCOUNT),
    "a statement of nothing but holds": _STATEMENT.of(GIVES_UP_AT, account_id=DECLINED),
    "payment methods": _METHODS,
    "payment methods that can be used": _METHODS.of(GIVES_UP_AT, state="active"),
    "letters of a quiet tenant": _LETTERS.of(tenant_id=QUIET_TENANT),
    "letters of nobody": _LETTERS.of(tenant_id="nobody"),
    "letters that are parked": _LETTERS.of(state="parked"),
    "letters that were discarded": _LETTERS.of(GIVES_UP_AT, state="discarded"),
    "letters of a stage": _LETTERS.of(GIVES_UP_AT, stage="refund"),
    "letters for a reason": _LETTERS.of(GIVES_UP_AT, reason="undecodable"),
    "letters of all": _LETTERS.of_all(),
    "letters of all that are parked": _LETTERS.of_all().of(state="parked"),
    "letters of all of a stage": _LETTERS.of_all().of(GIVES_UP_AT, stage="refund"),
    "breaks of a quiet tenant": _BREAKS.of(tenant_id=QUIET_TENANT),
    "breaks of nobody": _BREAKS.of(tenant_id="nobody"),
    "breaks that are open": _BREAKS.of(state="open"),
    "breaks of a type": _BREAKS.of(GIVES_UP_AT, type="amount_differs"),
    "breaks of a provider": _BREAKS.of(GIVES_UP_AT, provider="paypal"),
    "breaks of all": _BREAKS.of_all(),
    "breaks of all of a type": _BREAKS.of_all().of(GIVES_UP_AT, type="amount_differs"),
    "disputes of a quiet tenant": _DISPUTES.of(tenant_id=QUIET_TENANT),
    "disputes that are open": _DISPUTES.of(GIVES_UP_AT, state="open"),
    "disputes at a provider": _DISPUTES.of(GIVES_UP_AT, provider="paypal"),
    "disputes of a payment": _OF_PAYMENT,
    "disputes of all": _DISPUTES.of_all(),
    "disputes of all that are open": _DISPUTES.of_all().of(GIVES_UP_AT, state="open"),
    "the audit log of a quiet tenant": _LOG.of(tenant_id=QUIET_TENANT, read_max=21),
    "the audit log of an action": _LOG.of(GIVES_UP_AT, action="capture_payment"),
    "the audit log of a target": _LOG.of(GIVES_UP_AT, target="/nowhere"),
    "the audit log of all": _LOG_OF_ALL,
    "the audit log of an actor": _LOG_OF_ALL.of(GIVES_UP_AT, actor="eve"),
    "the audit log about nobody": _LOG_OF_ALL.of(GIVES_UP_AT, tenant_id="nobody"),
    "endpoints of a quiet tenant": _ENDPOINTS.of(tenant_id=QUIET_TENANT),
    "endpoints of who deletes them": _ENDPOINTS.of(GIVES_UP_AT),
    "endpoints in a state": _ENDPOINTS.of(GIVES_UP_AT, tenant_id=LOUD_TENANT, state="disabled"),
    "endpoints of all": _ENDPOINTS.of_all(),
    "deliveries": _DELIVERIES,
    "deliveries that failed": _DELIVERIES.of(state="failed"),
    "deliveries that wait": _DELIVERIES.of(GIVES_UP_AT, state="pending"),
    "deliveries of a type": _DELIVERIES.of(GIVES_UP_AT, event_type="payment.failed"),
}
