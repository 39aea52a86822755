"""Stripe's idempotency keys: replays, declines, mismatches, races, and what frees a key."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
import stripe

from tests.support.simulator.admin import Admin, new_id
from tests.support.simulator.clients import Json, card_charge, stripe_client


def _post(url: str, path: str, key: str, **form: object) -> requests.Response:
    return requests.post(
        f"{url}{path}",
        data=form,
        headers={"Authorization": "Bearer sk_test_simulator", "Idempotency-Key": key},
        timeout=10,
    )


def _charge(url: str, key: str, payment_id: str, **changes: object) -> requests.Response:
    form = {
        "amount": 1000,
        "currency": "usd",
        "confirm": "true",
        "payment_method": "pm_card_visa",
        "payment_method_types[0]": "card",
        "metadata[payment_id]": payment_id,
        **changes,
    }
    return _post(url, "/v1/payment_intents", key, **form)


def test_a_repeated_key_replays_the_first_answer(admin: Admin) -> None:
    """Byte for byte, marked as replayed, even after the intent has changed; charged once."""
    key, payment_id = new_id(), new_id()
    first = _charge(admin.url, key, payment_id)
    _post(admin.url, "/v1/refunds", new_id(), payment_intent=first.json()["id"], amount=100)
    again = _charge(admin.url, key, payment_id)
    assert again.content == first.content
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert admin.payment(payment_id)["charges"] == 1


def test_declines_are_replayed(admin: Admin) -> None:
    """A declined card stays declined under its key, whatever the issuer would say now."""
    key, payment_id = new_id(), new_id()
    admin.arm("decline", vendor="stripe", code="insufficient_funds", times=1)
    first = _charge(admin.url, key, payment_id)
    again = _charge(admin.url, key, payment_id)
    assert first.status_code == again.status_code == 402
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"


def test_another_body_under_the_key_is_refused(client: stripe.StripeClient) -> None:
    """400 idempotency_error, for other parameters and for another endpoint."""
    key = new_id()
    params: Json = card_charge(new_id())
    other: Json = {**params, "amount": 1001}
    intent = client.v1.payment_intents.create(params, {"idempotency_key": key})
    with pytest.raises(stripe.IdempotencyError):
        client.v1.payment_intents.create(other, {"idempotency_key": key})
    with pytest.raises(stripe.IdempotencyError):
        client.v1.refunds.create({"payment_intent": intent.id}, {"idempotency_key": key})


def test_parameter_errors_and_rate_limits_leave_the_key_free(admin: Admin) -> None:
    """Nothing began, so the same key may be used for a correct request."""
    key, payment_id = new_id(), new_id()
    assert _charge(admin.url, key, payment_id, amount="ten").status_code == 400
    admin.arm("rate_limit", vendor="stripe", times=1)
    assert _charge(admin.url, key, payment_id).status_code == 429
    admin.arm("error_before", vendor="stripe", times=1)
    assert _charge(admin.url, key, payment_id).status_code == 500
    assert _charge(admin.url, key, payment_id).status_code == 200


def test_an_error_after_the_work_is_replayed_although_it_charged(
    client: stripe.StripeClient, admin: Admin
) -> None:
    """The 500 stays under its key; the truth is found by searching."""
    key, payment_id = new_id(), new_id()
    admin.arm("error_after", vendor="stripe", times=1)
    assert _charge(admin.url, key, payment_id).status_code == 500
    again = _charge(admin.url, key, payment_id)
    assert again.status_code == 500
    assert again.headers["Idempotent-Replayed"] == "true"
    found = client.v1.payment_intents.search({"query": f"metadata['payment_id']:'{payment_id}'"})
    assert [intent.status for intent in found.data] == ["succeeded"]


def test_an_error_during_the_work_is_replayed_although_nothing_was_charged(admin: Admin) -> None:
    """The key is spent: only another one gets the charge made. What is invalid never began."""
    key, payment_id = new_id(), new_id()
    admin.arm("error_during", vendor="stripe", operation="charge", times=2)
    assert _charge(admin.url, key, payment_id, amount="ten").status_code == 400
    first = _charge(admin.url, key, payment_id)
    again = _charge(admin.url, key, payment_id)
    assert (first.status_code, again.status_code) == (500, 500)
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert admin.payment(payment_id)["charges"] == 0
    assert _charge(admin.url, new_id(), payment_id).ok


@pytest.mark.parametrize("kind", ["error_during", "error_after"])
def test_a_scripted_error_is_replayed_as_it_was(admin: Admin, kind: str) -> None:
    """Status and body; after a restart too, for they are in the journal."""
    key, payment_id = new_id(), new_id()
    admin.arm(kind, vendor="stripe", times=1, status=502, body="<html>bad gateway</html>")
    first = _charge(admin.url, key, payment_id)
    again = _charge(admin.url, key, payment_id)
    assert (first.status_code, first.text) == (502, "<html>bad gateway</html>")
    assert (again.status_code, again.text) == (502, "<html>bad gateway</html>")
    other = _charge(admin.url, key, payment_id, amount=1001)
    assert other.json()["error"]["type"] == "idempotency_error"
    assert admin.journal(payment_id=payment_id)[0]["scripted"] == "<html>bad gateway</html>"


def test_racing_twins_make_one_intent(admin: Admin) -> None:
    """Of many identical requests at once one works; the others are told so, or replayed."""
    key, payment_id = new_id(), new_id()
    admin.arm("latency", vendor="stripe", operation="charge", milliseconds=100)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: _charge(admin.url, key, payment_id), range(12)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {200, 409}
    assert 409 in statuses
    conflict = answers[statuses.index(409)]
    assert conflict.json()["error"]["code"] == "idempotency_key_in_use"
    assert len({answer.json()["id"] for answer in answers if answer.ok}) == 1
    assert admin.payment(payment_id)["charges"] == 1


def test_the_client_s_own_retries_charge_once(admin: Admin) -> None:
    """A reset after the work: the official client retries under its own key and is replayed."""
    payment_id = new_id()
    admin.arm("reset_after", vendor="stripe", operation="charge", times=1)
    intent = stripe_client(admin.url, retries=2).v1.payment_intents.create(card_charge(payment_id))
    assert intent.status == "succeeded"
    assert admin.payment(payment_id)["charges"] == 1


def test_a_vendor_that_ignores_keys_charges_twice(admin: Admin) -> None:
    """The fault a correct client must be protected from by more than the key."""
    key, payment_id = new_id(), new_id()
    admin.arm("ignore_key", vendor="stripe", times=2)
    assert _charge(admin.url, key, payment_id).ok
    assert _charge(admin.url, key, payment_id).ok
    assert admin.payment(payment_id)["charges"] == 2
    twice = admin.summary()["charged_more_than_once"]
    assert payment_id in [payment["payment_id"] for payment in twice]
