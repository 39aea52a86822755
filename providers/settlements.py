"""A provider's settlement report, read from CSV: what it says moved, a line a movement.

The columns are our own (`kind reference payment_id refund_id currency amount status
occurred_at`, others are left alone): vendors' reports differ and change, so theirs are mapped
to it before. A report that cannot be read whole is refused: half a report would look like
breaks.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Final

import aiohttp

from payments.money import parse_amount
from payments.payment import Provider
from payments.reconciliation.differences import Kind, Period, Settlement, SettlementStatus
from providers.notifications import our_id

_COLUMNS: Final = frozenset(
    {"kind", "reference", "payment_id", "refund_id", "currency", "amount", "status", "occurred_at"}
)
# A report of a busy day takes a vendor a while.
_TIMEOUT: Final = aiohttp.ClientTimeout(total=300)


class ReportError(ValueError):
    """The report cannot be had or read; the message says why, with the line where there is one."""


def read_report(text: str) -> list[Settlement]:
    """Every line of the report, as a spreadsheet saves it too. Raises ReportError.

    That is with a byte-order mark before the first column's name, and rows of nothing at the end.
    """
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    missing = _COLUMNS - set(rows.fieldnames or ())
    if missing:
        raise ReportError(f"line 1: the columns {', '.join(sorted(missing))} are missing")
    try:
        return [_settlement(row) for row in rows if any(row[name] for name in _COLUMNS)]
    except (ValueError, csv.Error) as error:
        raise ReportError(f"line {rows.line_num}: {error}") from error


async def fetch_report(base_url: str, provider: Provider, period: Period) -> str:
    """The report of a provider that has one to fetch: the simulator. Raises ReportError."""
    parameters = {
        "provider": provider,
        "from": period.start.isoformat(),
        "to": period.end.isoformat(),
    }
    url = f"{base_url.rstrip('/')}/_simulator/settlements"
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.get(url, params=parameters) as answer,
        ):
            if answer.status == HTTPStatus.OK and answer.content_type == "text/csv":
                return await answer.text()
            raise ReportError(
                f"{base_url} has no report to fetch (status {answer.status}): download it from"
                " the provider and give it as a file"
            )
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ReportError(f"{base_url} did not give its report: {error!r}") from error


def _settlement(row: Mapping[str, str | None]) -> Settlement:
    # A row that is too short has None in its last columns.
    cells = {name: value or "" for name, value in row.items() if name in _COLUMNS}
    kind = Kind(cells["kind"])
    occurred_at = datetime.fromisoformat(cells["occurred_at"])
    if occurred_at.tzinfo is None:
        raise ValueError(f"{cells['occurred_at']!r} has no time zone")
    if not cells["reference"]:
        raise ValueError("a movement has a reference")
    payment_id = our_id(cells["payment_id"])
    return Settlement(
        kind=kind,
        reference=cells["reference"],
        our_id=our_id(cells["refund_id"]) if kind is Kind.REFUND else payment_id,
        payment_id=payment_id,
        amount=parse_amount(cells["amount"], cells["currency"]),
        status=SettlementStatus(cells["status"]),
        occurred_at=occurred_at,
    )
