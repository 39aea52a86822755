"""The settlement report: what moved at a vendor in a period, a line a movement, as CSV.

Folded from the journal and from nothing else, as every report. Neither vendor charges fees
here. `providers.settlements` reads what this writes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import orjson

from payments.money import format_amount
from simulator.entries import JsonObject
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
    written = io.StringIO()
    rows = csv.DictWriter(written, COLUMNS, lineterminator="\n")
    rows.writeheader()
    start, end = period
    for line in lines:
        entry = orjson.loads(line)
        kind = _KINDS.get(entry["effect"] or "")
        at = entry["at"]
        is_within = (start is None or start <= at) and (end is None or at < end)
        if kind is not None and entry["vendor"] == vendor.name and is_within:
            rows.writerow(
                {
                    "kind": kind,
                    "reference": entry["reference"],
                    "payment_id": entry["payment_id"],
                    "refund_id": _refund_id(vendor, entry["writes"]),
                    "currency": entry["currency"],
                    "amount": format_amount(entry["amount_minor"], entry["currency"]),
                    "fee": format_amount(0, entry["currency"]),
                    "status": "succeeded",
                    "occurred_at": datetime.fromtimestamp(at, UTC).isoformat(),
                }
            )
    return written.getvalue()


def _refund_id(vendor: Vendor, writes: Iterable[JsonObject]) -> object:
    return next(filter(None, map(vendor.refund_id, writes)), None)
