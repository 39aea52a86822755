"""The hot reads go by an index and stop after a page, whatever the tables grow to."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import product
from typing import TYPE_CHECKING

from bench.growth import prepared
from store.read.found import READ_MAX
from store.read.id_ranges import FIRST_ID, LAST_ID, first_id_of

if TYPE_CHECKING:
    import asyncpg

NOW = datetime(2026, 1, 1, tzinfo=UTC)
# Of a payment in the first of the partitions.
ID = first_id_of(NOW)
OF_TENANT = {"tenant_id": "t", "id": ID}
NO_FILTERS = dict.fromkeys(
    ("status", "provider", "currency", "amount_minor", "provider_transaction_id",
     "created_from", "created_before")
)  # fmt: skip
PAGE = {"tenant_id": "t", "before_id": LAST_ID, "rows_max": 21, "read_max": READ_MAX}
OF_PAYMENT = {"tenant_id": "t", "payment_id": ID, "rows_max": 21}
BY_TIME = PAGE | {"before_time": NOW}
NO_LETTER_FILTERS = dict.fromkeys(("state", "stage", "reason"))
NO_BREAK_FILTERS = dict.fromkeys(("state", "provider", "type"))
NO_DISPUTE_FILTERS = dict.fromkeys(("state", "provider"))
DELIVERIES = {
    "endpoint_id": ID, "before_time": NOW, "before_id": LAST_ID, "rows_max": 21,
    "read_max": READ_MAX, "state": None, "event_type": None, "created_from": None,
}  # fmt: skip
PART = {"after": 0, "settled": 9}
PLANS: dict[str, tuple[dict[str, object], set[str]]] = {
    "account_by_id": (OF_TENANT, {"accounts_"}),
    "payment_by_id": (OF_TENANT, {"payments_"}),
    "payment_in_detail": (
        OF_TENANT | {"with_events": True, "rows_max": 101},
        {
            "payments_",
            "attempts_first_once_a_number",
            "refunds_by_payment",
            "payment_events_first_pkey",
        },
    ),
    "refunds_of_payment_page": (OF_PAYMENT | {"before_id": LAST_ID}, {"refunds_by_payment"}),
    "attempts_of_payment_page": (
        OF_PAYMENT | {"before_subject": LAST_ID, "before_number": 9},
        {"attempts_first_once_a_number"},
    ),
    "events_of_payment_page": (OF_PAYMENT | {"before_version": 9}, {"payment_events_first_pkey"}),
    "payments_page": (PAGE | NO_FILTERS | {"first_id": FIRST_ID}, {"payments_by_tenant"}),
    "payments_page_in_state": (
        PAGE | NO_FILTERS | {"first_id": FIRST_ID, "status": "review"},
        {"open_payments_by_status", "payments_pkey"},
    ),
    "settled_payments": ({"ids": [ID], "statuses": ["completed"]}, {"payments_"}),
    "payment_method_by_id": (OF_TENANT | {"account_id": ID}, {"payment_methods_"}),
    "payment_methods_page": (
        PAGE | {"account_id": ID, "state": None},
        {"payment_methods_of_account"},
    ),
    "refund_by_id": (OF_TENANT, {"refunds_pkey"}),
    "statement_page": (
        PAGE | {"account_id": ID},
        {"ledger_debits", "ledger_credits_of_customers"},
    ),
    "balance_at": (
        {"tenant_id": "t", "account_id": ID, "instant": NOW, "first_id": FIRST_ID},
        {"accounts_", "ledger_debits", "ledger_credits_of_customers"},
    ),
    "payments_page_of_account": (
        PAGE | NO_FILTERS | {"first_id": FIRST_ID, "account_id": ID},
        {"payments_by_account", "payments_by_destination", "accounts_"},
    ),
    "dead_letters_page": (BY_TIME | NO_LETTER_FILTERS, {"dead_letters_by_tenant"}),
    "disputes_page": (BY_TIME | NO_DISPUTE_FILTERS, {"disputes_of_tenant"}),
    "disputes_page_of_payment": (
        BY_TIME | NO_DISPUTE_FILTERS | {"payment_id": ID},
        {"disputes_by_payment"},
    ),
    "reconciliation_breaks_page": (
        BY_TIME | NO_BREAK_FILTERS,
        {"reconciliation_breaks_by_tenant"},
    ),
    "webhook_endpoints_page": (PAGE | {"state": None}, {"webhook_endpoints_of_tenant"}),
    "webhook_deliveries_page": (DELIVERIES, {"webhook_deliveries_by_endpoint"}),
    "audit_log_page": (
        PAGE | dict.fromkeys(("action", "target")),
        {"audit_log_of_tenant", "audit_log_of_whom", "audit_log_about_none"},
    ),
    "audit_log_of_all": (
        PAGE | {"first_id": FIRST_ID} | dict.fromkeys(("actor", "action")),
        {"audit_log_pkey"},
    ),
    "dead_letter_by_id": (OF_TENANT, {"dead_letters_pkey"}),
    "api_key_by_id": ({"id": "k"}, {"api_keys_pkey"}),
    "events_behind": (
        {"tenant_id": "t", "rows_max": 21, "read_max": 21}
        | PART
        | dict.fromkeys(("types", "account_id", "payment_id")),
        {"_events_by_tenant", "outbox_dropped_pkey"},
    ),
    "events_since": (PART | {"tenant_ids": ["t"], "rows_max": 21}, {"_by_position"}),
}


# What the arguments close has no rows to sort.
_CLOSED = re.compile(
    r"Sort  .*\n(?: +Disabled: .*\n)? +Sort Key: .*\n +->  Result .*\n +One-Time Filter: false"
)
# A payment has few disputes, and the audit log is put together of three pages.
SORTED = {"disputes_page_of_payment", "audit_log_page"}
# Postgres plans a statement anew for its arguments at first, and once for all of them later.
WAYS = ("force_custom_plan", "force_generic_plan")


async def test_a_hot_read_goes_by_its_indexes(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """No whole table is read, though these are small: they grow sooner than plans change."""
    for way, (name, (arguments, indexes)) in product(WAYS, PLANS.items()):
        plan = await _plan(pool, name, arguments, f"plan_cache_mode = {way}")
        assert "Seq Scan" not in plan, plan
        assert {index for index in indexes if index in plan} == indexes, plan


async def test_a_page_is_not_sorted_out_of_everything(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """The index gives the order, so that a page costs what it shows."""
    pages = [name for name in PLANS if "_page" in name and name not in SORTED]
    for way, name in product(WAYS, (*pages, "payment_in_detail")):
        arguments, _ = PLANS[name]
        planned = (f"plan_cache_mode = {way}", "enable_sort = off")
        plan = _CLOSED.sub("", await _plan(pool, name, arguments, *planned))
        assert "Sort" not in plan.replace("Sort Key", ""), plan


async def test_events_come_in_the_order_of_their_indexes(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """Each day's are merged, so that the next few are found and not sorted out of a week."""
    for way, name in product(WAYS, ("events_behind", "events_since")):
        arguments, _ = PLANS[name]
        plan = await _plan(pool, name, arguments, f"plan_cache_mode = {way}", "enable_sort = off")
        assert "Merge Append" in plan, plan


async def _plan(
    pool: asyncpg.Pool[asyncpg.Record], name: str, arguments: dict[str, object], *settings: str
) -> str:
    async with pool.acquire() as connection, connection.transaction():
        for setting in ("enable_bitmapscan = off", *settings):
            await connection.execute(f"SET LOCAL {setting}")
        # EXPLAIN of the statement itself would plan for its arguments, whatever is set.
        prepare, execute = prepared(name, arguments)
        await connection.execute(prepare)
        rows = await connection.fetch(f"EXPLAIN {execute}")
        await connection.execute("DEALLOCATE asked")
    return "\n".join(row[0] for row in rows)
