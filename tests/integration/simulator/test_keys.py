"""Only the keys that the vendors gave are taken, and those that were rolled no longer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import stripe

from tests.support.fixtures.simulator import SimulatorProcess
from tests.support.simulator.admin import Admin, new_id
from tests.support.simulator.clients import card_charge, paypal_bearer, stripe_client


def _token(url: str, client: str, secret: str) -> requests.Response:
    return requests.post(
        f"{url}/v1/oauth2/token",
        auth=(client, secret),
        data={"grant_type": "client_credentials"},
        timeout=5,
    )


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[SimulatorProcess]:
    """A simulator that was configured with keys of its own."""
    variables = {
        "PAYMENTS_STRIPE_API_KEY": "sk_test_configured",
        "PAYMENTS_SIMULATOR_KEYS": "stripe=sk_test_further, paypal=other:its secret",
    }
    process = SimulatorProcess(tmp_path, environment=variables)
    process.start()
    yield process
    process.stop()


def test_configured_and_further_keys_are_taken_and_no_other(keyed: SimulatorProcess) -> None:
    """What everybody knows is taken only of a provider that was not configured."""
    for key in ("sk_test_configured", "sk_test_further"):
        stripe_client(keyed.url, key=key).v1.balance.retrieve()
    with pytest.raises(stripe.AuthenticationError) as refused:
        stripe_client(keyed.url, key="sk_test_simulator").v1.balance.retrieve()
    assert refused.value.user_message == "Invalid API Key provided: sk_test_*****ator"
    assert _token(keyed.url, "simulator", "simulator").ok
    assert _token(keyed.url, "other", "its secret").ok
    unknown = _token(keyed.url, "other", "another secret")
    assert (unknown.status_code, unknown.json()["error"]) == (401, "invalid_client")


def test_a_refused_key_leaves_the_idempotency_key_free(own_simulator: SimulatorProcess) -> None:
    """Nothing began: the same request is made with the right key afterwards."""
    key = new_id()
    params = card_charge(new_id())
    with pytest.raises(stripe.AuthenticationError):
        stripe_client(own_simulator.url, key="sk_test_other").v1.payment_intents.create(
            params, {"idempotency_key": key}
        )
    client = stripe_client(own_simulator.url)
    assert client.v1.payment_intents.create(params, {"idempotency_key": key}).status == "succeeded"


def test_a_rolled_key_ends_and_stays_ended(own_simulator: SimulatorProcess) -> None:
    """At once without an overlap, and after a restart too; the journal has no key."""
    admin, old = Admin(own_simulator.url), stripe_client(own_simulator.url)
    admin.act("keys", vendor="stripe", key="sk_test_next", overlap_seconds=3600)
    new = stripe_client(own_simulator.url, key="sk_test_next")
    new.v1.balance.retrieve()
    old.v1.balance.retrieve()
    admin.act("keys", vendor="stripe", key="sk_test_last")
    own_simulator.kill()
    own_simulator.start()
    for ended in (old, new):
        with pytest.raises(stripe.AuthenticationError) as refused:
            ended.v1.balance.retrieve()
        assert (refused.value.user_message or "").startswith("Expired API Key provided: ")
    stripe_client(own_simulator.url, key="sk_test_last").v1.balance.retrieve()
    assert b"sk_test_last" not in own_simulator.journal.read_bytes()


def test_tokens_of_a_client_that_ended_stop(own_simulator: SimulatorProcess) -> None:
    """Long before they expire; those of the next one work."""
    admin, url = Admin(own_simulator.url), own_simulator.url
    bearer = paypal_bearer(url)
    path = f"{url}/v1/notifications/webhooks"
    assert requests.get(path, headers=bearer, timeout=5).ok
    admin.act("keys", vendor="paypal", key="simulator:rolled")
    stopped = requests.get(path, headers=bearer, timeout=5)
    assert (stopped.status_code, stopped.json()["error"]) == (401, "invalid_token")
    assert _token(url, "simulator", "simulator").status_code == 401
    token = _token(url, "simulator", "rolled").json()["access_token"]
    assert requests.get(path, headers={"Authorization": f"Bearer {token}"}, timeout=5).ok


def test_a_wrong_list_of_keys_is_one_sentence(own_simulator: SimulatorProcess) -> None:
    """It names the variable and not the key."""
    other = SimulatorProcess(
        own_simulator.directory, environment={"PAYMENTS_SIMULATOR_KEYS": "sk_test_secret"}
    )
    assert other.launch().wait(15) == 2
    last = other.log.read_text().splitlines()[-1]
    assert last == "PAYMENTS_SIMULATOR_KEYS: expected provider=key, with commas between them."
