"""Settlement reports, read line by line or refused with the line."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from payments.money import Money
from payments.reconciliation.differences import Kind, Settlement, SettlementStatus
from providers.settlements import ReportError, read_report

HEADER = "kind,reference,payment_id,refund_id,currency,amount,fee,status,occurred_at\n"
PAYMENT = "0198c0de-0000-7000-8000-000000000001"
REFUND = "0198c0de-0000-7000-8000-000000000002"
NOON = "2026-01-01T12:00:00+00:00"


def test_each_line_is_a_movement() -> None:
    """Amounts are exact, times have a zone, and what is not ours has no id of ours."""
    report = (
        f"{HEADER}charge,pi_1,{PAYMENT},,USD,50.00,0.30,succeeded,{NOON}\n"
        f"refund,re_1,{PAYMENT},{REFUND},KWD,1.500,0.000,failed,{NOON}\n"
        f"charge,pi_2,order 7,,JPY,100,0,succeeded,2026-01-01T13:00:00+01:00\n"
    )
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    succeeded = SettlementStatus.SUCCEEDED

    def line(
        kind: Kind, reference: str, our_id: str | None, amount: Money, status: SettlementStatus
    ) -> Settlement:
        return Settlement(
            kind=kind,
            reference=reference,
            our_id=UUID(our_id) if our_id else None,
            payment_id=UUID(PAYMENT) if our_id else None,
            amount=amount,
            status=status,
            occurred_at=noon,
        )

    assert read_report(report) == [
        line(Kind.CHARGE, "pi_1", PAYMENT, Money(5_000, "USD"), succeeded),
        line(Kind.REFUND, "re_1", REFUND, Money(1_500, "KWD"), SettlementStatus.FAILED),
        line(Kind.CHARGE, "pi_2", None, Money(100, "JPY"), succeeded),
    ]


def test_a_report_is_read_as_a_spreadsheet_saves_it() -> None:
    """With a byte-order mark, rows of nothing at its end, and columns nobody asked for."""
    row = f"charge,pi_1,{PAYMENT},,USD,50.00,0.30,succeeded,{NOON}"
    plain = read_report(f"{HEADER}{row}\n")
    assert read_report(f"\ufeff{HEADER}{row}\r\n,,,,,,,,\r\n,,,,,,,,,,\r\n\r\n") == plain


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (f"payout,po_1,,,USD,1.00,0,succeeded,{NOON}", "'payout' is not a valid Kind"),
        (f"charge,,,,USD,1.00,0,succeeded,{NOON}", "a movement has a reference"),
        (f"charge,pi_1,,,USD,1.001,0,succeeded,{NOON}", "decimal"),
        (f"charge,pi_1,,,XYZ,1.00,0,succeeded,{NOON}", "'XYZ' is not an ISO 4217"),
        (f"charge,pi_1,,,USD,1.00,0,paid,{NOON}", "'paid' is not a valid"),
        ("charge,pi_1,,,USD,1.00,0,succeeded,2026-01-01", "no time zone"),
        ("charge,pi_1,,,USD", "Invalid isoformat string"),
        ('charge,"pi_1', "unexpected end of data"),
    ],
)
def test_a_report_that_cannot_be_read_whole_is_refused(row: str, why: str) -> None:
    """With the line: half a report would look like breaks."""
    good = f"charge,pi_0,,,USD,1.00,0,succeeded,{NOON}\n"
    with pytest.raises(ReportError, match=r"line [23]: ") as refused:
        read_report(f"{HEADER}{good}{row}")
    assert why in str(refused.value)


@pytest.mark.parametrize("text", ["", "<html>", "kind,reference\n"])
def test_something_else_than_a_report_is_refused(text: str) -> None:
    """By the columns it lacks."""
    with pytest.raises(ReportError, match=r"line 1: the columns .*occurred_at.* are missing"):
        read_report(text)
