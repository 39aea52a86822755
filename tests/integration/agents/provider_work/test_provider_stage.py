"""A claim becomes the call that was chosen when its payment was accepted, on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from agents.provider_work.provider_stage import ask
from payments.commands import AttachPaymentMethod, ClaimPayment
from payments.decision import Claimed
from payments.payment import Payment
from payments.record import replace
from providers.stripe.config import StripeConfig
from providers.stripe.gateway import StripeGateway
from tests.support.factories import STRIPE, TENANT, pay
from tests.support.payments.desk import Desk, granted
from tests.support.providers import wire
from tests.support.providers.configs import configured

if TYPE_CHECKING:
    from collections.abc import Mapping

OWN: Final = {"payment_method": "pm_1"}
ASKED: Final = ("payment_method", "customer", "off_session", "error_on_requires_action")


def claimed(metadata: Mapping[str, object]) -> Claimed:
    """The first attempt at a payment of an account that has `pm_1`."""
    desk = Desk()
    account = desk.open_account()
    granted(desk.ask(AttachPaymentMethod(TENANT, account.id, STRIPE, "pm_1", "cus_1")))
    payment = granted(desk.ask(pay(account.id, metadata=metadata))).result
    assert isinstance(payment, Payment)
    claim = granted(desk.ask(ClaimPayment(payment.id, 1, "tests"))).result
    assert isinstance(claim, Claimed)
    return claim


async def sent(claim: Claimed) -> tuple[str | None, ...]:
    """What Stripe was asked for, of the payer."""
    async with wire.serving(wire.reply(402, {"error": {"type": "card_error"}})) as server:
        gateway = StripeGateway(configured(StripeConfig, server.url))
        await ask(gateway, claim)
        await gateway.aclose()
    return tuple(server.seen[0].form.get(name) for name in ASKED)


async def test_the_chosen_method_is_charged_with_its_customer() -> None:
    """Of a payment that names none the configured one, of no customer."""
    assert await sent(claimed(OWN)) == ("pm_1", "cus_1", "true", None)
    assert await sent(claimed({})) == ("pm_card_visa", None, None, "true")


@pytest.mark.parametrize(("named", "charged"), [("pm_old", "pm_old"), (7, "pm_card_visa")])
async def test_what_a_release_from_before_accepted_is_charged_as_it_would_have(
    named: object, charged: str
) -> None:
    """It kept what was chosen in the metadata alone, and charged no other payer's default."""
    claim = claimed(OWN)
    before = replace(
        claim.payment,
        metadata={"payment_method": named},
        payment_method=None,
        customer_reference=None,
    )
    assert (await sent(replace(claim, payment=before)))[0] == charged
