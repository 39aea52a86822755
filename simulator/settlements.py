"""The settlement report: what moved at a vendor in a period, a line a movement, as CSV.

Folded from the journal and from nothing else, as every report. A refund that came back since is
`failed`: it moved no money after all. Neither vendor charges fees here, and disputes stand in
reports of their own. `providers.settlements` reads what this writes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from payments.money import format_amount
from simulator.vendor import Vendor

COLUMNS: Final = (
    "kind", "reference", "payment_id", "refund_id", "currency", "amount", "fee", "status",
    "occurred_at",
)  # fmt: skip
_KINDS: Final = {"charged": "charge", "captured": "charge", "refunded": "refund"}


def instant(text: str | None) -> float | None:
    """Unix seconds of an ISO 8601 time with its zone; None for none. Raises ValueError."""
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    return time.timestamp()


def settlement_report(
    lines: Iterable[bytes], vendor: Vendor, period: tuple[float | None, float | None]
) -> str:
    """The report of one vendor; an end of the period that is None is open."""
    rows: list[dict[str, object]] = []
    failed: set[object] = set()
    start, end = period
    for line in lines:
        entry = orjson.loads(line)
        if entry["vendor"] != vendor.name:
            continue
        if entry["effect"] == "refund_failed":
            failed.add(entry["reference"])
        at = entry["at"]
        is_within = (start is None or start <= at) and (end is None or at < end)
        if is_within and (kind := _KINDS.get(entry["effect"] or "")) is not None:
            rows.append(_row(kind, entry))
    written = io.StringIO()
    table = csv.DictWriter(written, COLUMNS, lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow(row | {"status": "failed" if row["reference"] in failed else "succeeded"})
    return written.getvalue()


def _row(kind: str, entry: dict[str, Any]) -> dict[str, object]:  # Any: JSON
    currency = entry["currency"]
    return {
        "kind": kind,
        "reference": entry["reference"],
        "payment_id": entry["payment_id"],
        "refund_id": entry.get("refund_id"),
        "currency": currency,
        "amount": format_amount(entry["amount_minor"], currency),
        "fee": format_amount(0, currency),
        "occurred_at": datetime.fromtimestamp(entry["at"], UTC).isoformat(),
    }
