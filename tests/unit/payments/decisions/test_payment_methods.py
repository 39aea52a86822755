"""Whose payment method is whose: attached to one account, charged by its payments alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from payments.account import AccountStatus
from payments.commands import AttachPaymentMethod, DetachPaymentMethod, RedriveDeadLetter
from payments.decision import Decision, RefusalCode, Refused
from payments.payment import Payment, PaymentStatus, Provider
from payments.payment_method import PaymentMethod, PaymentMethodState
from payments.provider_rules import ProviderRules
from payments.record import replace
from tests.support.factories import NOWHERE, STRIPE, TENANT, pay
from tests.support.payments.desk import Desk, granted
from tests.support.payments.payment_paths import scene_of

if TYPE_CHECKING:
    from uuid import UUID

    from payments.commands import Command

PAYPAL: Final = Provider("paypal")
RULES: Final = {"stripe": ProviderRules(title="Stripe", shared_methods="pm_card_[a-z]+")}


def attach(account_id: UUID, reference: str = "pm_1", **fields: str) -> AttachPaymentMethod:
    command = AttachPaymentMethod(TENANT, account_id, STRIPE, reference, "cus_1")
    return replace(command, **fields)  # type: ignore[arg-type]  # texts are what its fields are


def attached(desk: Desk, command: AttachPaymentMethod) -> PaymentMethod:
    method = granted(desk.ask(command)).result
    assert isinstance(method, PaymentMethod)
    return method


def refused(desk: Desk, command: Command) -> RefusalCode:
    outcome = desk.ask(command)
    assert isinstance(outcome, Refused), outcome
    return outcome.code


def paid(desk: Desk, account_id: UUID, named: object, provider: Provider = STRIPE) -> Payment:
    command = pay(account_id, provider=provider, metadata={"payment_method": named})
    payment = granted(desk.ask(command)).result
    assert isinstance(payment, Payment)
    return payment


def test_a_method_is_attached_once() -> None:
    """The same again is the same; with another customer, or to another account, it is taken."""
    desk = Desk()
    payer, other = desk.open_account(), desk.open_account()
    method = attached(desk, attach(payer.id))
    assert (method.state, method.version) == (PaymentMethodState.ACTIVE, 1)
    again = granted(desk.ask(attach(payer.id)))
    assert again == Decision(result=method)
    for command in (
        attach(payer.id, customer_reference="cus_2"),
        attach(other.id),
        attach(other.id, customer_reference="cus_2"),
    ):
        assert refused(desk, command) is RefusalCode.PAYMENT_METHOD_TAKEN
    # Another provider's names are others.
    attached(desk, attach(other.id, provider=PAYPAL))


def test_an_account_that_takes_no_part_gets_no_method() -> None:
    """Neither one that is not there, nor another tenant's, nor a frozen one."""
    desk = Desk()
    payer, frozen = desk.open_account(), desk.open_account()
    desk.working.accounts[frozen.id] = replace(frozen, status=AccountStatus.FROZEN)
    assert refused(desk, attach(NOWHERE)) is RefusalCode.ACCOUNT_NOT_FOUND
    assert refused(desk, attach(payer.id, tenant_id="other")) is RefusalCode.ACCOUNT_NOT_FOUND
    assert refused(desk, attach(frozen.id)) is RefusalCode.ACCOUNT_NOT_ACTIVE


def test_a_method_is_detached_once_and_kept() -> None:
    """By its own account; then another account may have it, under an id of its own."""
    desk = Desk()
    payer, other = desk.open_account(), desk.open_account()
    method = attached(desk, attach(payer.id))
    detach = DetachPaymentMethod(TENANT, payer.id, method.id)
    for wrong in (
        replace(detach, account_id=other.id),
        replace(detach, tenant_id="other"),
        replace(detach, method_id=NOWHERE),
    ):
        assert refused(desk, wrong) is RefusalCode.NOT_FOUND
    detached = granted(desk.ask(detach)).result
    assert isinstance(detached, PaymentMethod)
    assert (detached.state, detached.version) == (PaymentMethodState.DETACHED, 2)
    assert granted(desk.ask(detach)) == Decision(result=detached)
    assert attached(desk, attach(other.id)).id != method.id
    assert granted(desk.ask(detach)).payment_methods == ()


def test_a_payment_keeps_the_method_and_its_customer() -> None:
    """Of its own account; of a shared token, or of none, there is no customer."""
    desk = Desk(rules=RULES)
    payer = desk.open_account()
    attached(desk, attach(payer.id))
    for named, kept in (
        ("pm_1", ("pm_1", "cus_1")),
        ("pm_card_visa", ("pm_card_visa", None)),
        (None, (None, None)),
    ):
        payment = paid(desk, payer.id, named)
        assert (payment.payment_method, payment.customer_reference) == kept


@pytest.mark.parametrize("named", ["pm_1", "pm_2", "pm_card_", "", 7, ["pm_1"], {}])
def test_what_is_not_the_accounts_own_is_not_there(named: object) -> None:
    """Somebody else's reads like nobody's, whatever the account could pay."""
    desk = Desk(rules=RULES)
    owner, thief = desk.open_account(), desk.open_account()
    attached(desk, attach(owner.id))
    outcome = desk.ask(pay(thief.id, metadata={"payment_method": named}))
    assert outcome == Refused(
        RefusalCode.PAYMENT_METHOD_NOT_FOUND,
        f"payment_method {str(named)!r} is no active payment method of account {thief.id}"
        " at stripe",
    )


def test_a_method_is_one_providers() -> None:
    """PayPal is not asked with Stripe's name for it, nor with Stripe's test tokens."""
    desk = Desk(rules=RULES)
    payer = desk.open_account()
    attached(desk, attach(payer.id))
    for named in ("pm_1", "pm_card_visa"):
        command = pay(payer.id, provider=PAYPAL, metadata={"payment_method": named})
        assert refused(desk, command) is RefusalCode.PAYMENT_METHOD_NOT_FOUND


def test_a_test_token_is_nobodys_own() -> None:
    """Or the first to attach it would take it from all others."""
    desk = Desk(rules=RULES)
    payer = desk.open_account()
    command = attach(payer.id, "pm_card_visa")
    assert refused(desk, command) is RefusalCode.PAYMENT_METHOD_TAKEN


@pytest.mark.parametrize("release", ["before", "this"])
def test_a_redrive_charges_no_method_that_was_detached(release: str) -> None:
    """Nor of a payment that a release from before accepted: it names its method in metadata."""
    scene = scene_of("failed")
    desk, payment = scene.desk, scene.payment
    method = attached(desk, attach(payment.source_account_id))
    named = {"payment_method": "pm_1"}
    chosen = replace(payment, metadata=named)
    if release == "this":
        chosen = replace(chosen, payment_method="pm_1", customer_reference="cus_1")
    desk.working.payments[payment.id] = chosen
    redrive = RedriveDeadLetter(desk.letter_about(chosen), "ada", "try again")
    granted(desk.ask(DetachPaymentMethod(TENANT, payment.source_account_id, method.id)))
    assert refused(desk, redrive) is RefusalCode.PAYMENT_METHOD_NOT_FOUND
    attached(desk, attach(payment.source_account_id))
    granted(desk.ask(redrive))
    assert scene.payment.status is PaymentStatus.PENDING
    assert scene.payment.payment_method == chosen.payment_method
