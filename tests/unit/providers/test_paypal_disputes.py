"""What a dispute of PayPal's means, a row each. Bodies as in docs/api/customer-disputes/v1."""

from __future__ import annotations

import pytest

from payments.money import Money
from payments.outcome import Unknown
from payments.standing import DisputeKind, DisputeState, FoundDispute
from providers.paypal.disputes import Dispute, dispute_found

OPEN, WON, LOST = DisputeState.OPEN, DisputeState.WON, DisputeState.LOST
_USD = {"currency_code": "USD", "value": "50.00"}


def dispute(status: str, stage: str = "CHARGEBACK", **fields: object) -> Dispute:
    body = {
        "dispute_id": "PP-D-7",
        "status": status,
        "reason": "UNAUTHORISED",
        "dispute_amount": _USD,
        "dispute_life_cycle_stage": stage,
        "disputed_transactions": [{"seller_transaction_id": "C1"}],
    }
    return Dispute.model_validate(body | fields)


def resolved(code: str, stage: str = "CHARGEBACK", **fields: object) -> Dispute:
    return dispute("RESOLVED", stage, dispute_outcome={"outcome_code": code}, **fields)


def moved(party: str, kind: str, value: str, reason: str = "DISPUTE_SETTLEMENT") -> object:
    amount = {"currency_code": "USD", "value": value}
    return {"affected_party": party, "type": kind, "amount": amount, "reason": reason}


@pytest.mark.parametrize(
    ("shown", "state", "is_withdrawn"),
    [
        # Until it is decided the money is ours, held or not; after that an appeal may get it back.
        (dispute("OPEN", "INQUIRY"), OPEN, False),
        (dispute("WAITING_FOR_SELLER_RESPONSE", "INQUIRY"), OPEN, False),
        (dispute("WAITING_FOR_SELLER_RESPONSE"), OPEN, False),
        (dispute("WAITING_FOR_BUYER_RESPONSE"), OPEN, False),
        (dispute("UNDER_REVIEW", "PRE_ARBITRATION"), OPEN, True),
        (dispute("UNDER_REVIEW", "ARBITRATION"), OPEN, True),
        (dispute("OTHER", dispute_life_cycle_stage=None), OPEN, False),
        # Appealed: what was decided before is not the last word.
        (
            dispute("UNDER_REVIEW", "PRE_ARBITRATION", dispute_outcome={"outcome_code": "DENIED"}),
            OPEN,
            True,
        ),
        (resolved("RESOLVED_BUYER_FAVOUR"), LOST, True),
        (resolved("RESOLVED_BUYER_FAVOUR", "INQUIRY"), LOST, True),
        (resolved("ACCEPTED"), LOST, True),
        (resolved("RESOLVED_SELLER_FAVOUR"), WON, False),
        (resolved("RESOLVED_WITH_PAYOUT"), WON, False),
        (resolved("CANCELED_BY_BUYER"), WON, False),
        (resolved("DENIED"), WON, False),
        (resolved("NONE"), WON, False),
        # What PayPal moved says more than the stage.
        (
            dispute("OPEN", "INQUIRY", money_movements=[moved("SELLER", "DEBIT", "48.00")]),
            OPEN,
            True,
        ),
        (
            dispute(
                "UNDER_REVIEW",
                money_movements=[
                    moved("SELLER", "DEBIT", "50.00"),
                    moved("SELLER", "CREDIT", "50.00"),
                ],
            ),
            OPEN,
            False,
        ),
        (
            dispute("UNDER_REVIEW", money_movements=[moved("BUYER", "CREDIT", "50.00")]),
            OPEN,
            False,
        ),
        (
            dispute(
                "UNDER_REVIEW",
                "INQUIRY",
                money_movements=[moved("SELLER", "DEBIT", "20.00", "DISPUTE_FEE")],
            ),
            OPEN,
            False,
        ),
        # The payer has it, but of PayPal.
        (
            resolved("RESOLVED_BUYER_FAVOUR", money_movements=[moved("BUYER", "CREDIT", "50.00")]),
            LOST,
            False,
        ),
    ],
)
def test_a_dispute_says(shown: Dispute, state: DisputeState, is_withdrawn: bool) -> None:  # noqa: FBT001 - a row's last figure
    """Who gets the money, and whether it is with us meanwhile."""
    assert dispute_found(shown) == FoundDispute(
        "PP-D-7", DisputeKind.DISPUTE, Money(5000, "USD"), state, is_withdrawn, "UNAUTHORISED"
    )


def test_a_lost_dispute_is_of_what_the_payer_got() -> None:
    """The parties may settle for a part; what was asked for counts until then."""
    part = {"outcome_code": "RESOLVED_BUYER_FAVOUR", "amount_refunded": _USD | {"value": "20.00"}}
    for status, amount in (("RESOLVED", 2000), ("UNDER_REVIEW", 5000)):
        found = dispute_found(dispute(status, dispute_outcome=part))
        assert isinstance(found, FoundDispute)
        assert found.amount == Money(amount, "USD")


@pytest.mark.parametrize(
    "shown",
    [
        dispute("RESOLVED"),
        resolved("RESOLVED_BY_LOT"),
        dispute("ADJOURNED"),
        dispute("OPEN", dispute_amount=None),
        dispute("OPEN", dispute_amount=_USD | {"value": "a lot"}),
        dispute(
            "OPEN",
            disputed_transactions=[{"seller_transaction_id": each} for each in ("C1", "C2")],
        ),
    ],
)
def test_a_dispute_that_is_not_understood_is_not_guessed_at(shown: Dispute) -> None:
    """A new outcome is no win, and a share of an amount no amount."""
    assert isinstance(dispute_found(shown), Unknown)
