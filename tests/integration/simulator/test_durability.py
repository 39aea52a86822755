"""The simulator can testify: what it answered is on disk, whatever happens to the process."""

import itertools
import threading
from pathlib import Path

import orjson
import pytest
import requests
import stripe

from tests.support.fixtures.simulator import SimulatorProcess
from tests.support.simulator.admin import Admin, new_id
from tests.support.simulator.clients import PayPal, card_charge, order_body, stripe_client


def test_kill_9_keeps_every_answered_charge_and_key(own_simulator: SimulatorProcess) -> None:
    """Under traffic: each charge that was answered is there afterwards, and its key replays it."""
    client = stripe_client(own_simulator.url)
    answered: dict[str, str] = {}
    numbers = itertools.count()
    enough = threading.Event()

    def charge_until_killed() -> None:
        while True:
            payment_id = f"{threading.get_ident()}-{next(numbers)}"
            try:
                intent = client.v1.payment_intents.create(
                    card_charge(payment_id), {"idempotency_key": payment_id}
                )
            except stripe.APIConnectionError:
                return
            answered[payment_id] = intent.id
            if len(answered) >= 100:
                enough.set()

    threads = [threading.Thread(target=charge_until_killed) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert enough.wait(30)
    own_simulator.kill()
    for thread in threads:
        thread.join(30)
    own_simulator.start()
    admin = Admin(own_simulator.url)
    for payment_id, intent_id in answered.items():
        again = client.v1.payment_intents.create(
            card_charge(payment_id), {"idempotency_key": payment_id}
        )
        assert again.id == intent_id
        assert admin.payment(payment_id)["charges"] == 1
    assert admin.summary()["charged_more_than_once"] == []


def test_everything_survives_a_restart(own_simulator: SimulatorProcess) -> None:
    """Authorizations, refunds, orders, tokens and indices of both vendors."""
    client, paypal = stripe_client(own_simulator.url), PayPal(own_simulator.url)
    payment_id, request_id = new_id(), new_id()
    held = client.v1.payment_intents.create(card_charge(payment_id, capture_method="manual"))
    order = paypal.create(order_body(payment_id), request_id).body
    own_simulator.kill()
    own_simulator.start()
    found = client.v1.payment_intents.search({"query": f"metadata['payment_id']:'{payment_id}'"})
    assert [intent.id for intent in found.data] == [held.id]
    assert client.v1.payment_intents.capture(held.id).status == "succeeded"
    assert paypal.create(order_body(payment_id), request_id).body.id == order.id
    (capture,) = order.purchase_units[0].payments.captures
    paypal.payments.refund_captured_payment({"capture_id": capture.id})
    assert own_simulator.stop() == 0
    own_simulator.start()
    assert client.v1.payment_intents.retrieve(held.id).amount_received == 1000
    shown = paypal.payments.get_captured_payment({"capture_id": capture.id}).body
    assert shown.status == "REFUNDED"


def test_a_torn_last_line_is_cut_and_reported(own_simulator: SimulatorProcess) -> None:
    """What was never answered is gone; everything before it stays."""
    client = stripe_client(own_simulator.url)
    intent = client.v1.payment_intents.create(card_charge(new_id()))
    own_simulator.kill()
    with own_simulator.journal.open("ab") as journal:
        journal.write(b'{"seq":2,"at":17954')
    own_simulator.start()
    assert Admin(own_simulator.url).summary()["journal"]["torn_bytes"] == 19
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"
    lines = own_simulator.journal.read_bytes().splitlines()
    assert [orjson.loads(line)["seq"] for line in lines] == [1, 2]


def test_a_damaged_journal_refuses_the_start(own_simulator: SimulatorProcess) -> None:
    """Damage before the last line is not a torn write: one sentence, exit 1."""
    client = stripe_client(own_simulator.url)
    for _ in range(3):
        client.v1.payment_intents.create(card_charge(new_id()))
    own_simulator.kill()
    lines = own_simulator.journal.read_bytes().splitlines(keepends=True)
    own_simulator.journal.write_bytes(lines[0] + b"rubbish\n" + lines[2])
    assert own_simulator.launch().wait(15) == 1
    last_line = own_simulator.log.read_text().splitlines()[-1]
    assert last_line.startswith("simulator: ")
    assert "line 2" in last_line
    own_simulator.journal.unlink()
    own_simulator.start()


@pytest.mark.parametrize("taken", ["journal", "port"])
def test_a_second_simulator_is_refused(
    own_simulator: SimulatorProcess, tmp_path: Path, taken: str
) -> None:
    """Neither one's journal nor one's port is shared: one sentence, exit 1."""
    if taken == "journal":
        second = SimulatorProcess(tmp_path)
    else:
        second = SimulatorProcess(tmp_path / "second", port=own_simulator.port)
        second.directory.mkdir()
    assert second.launch().wait(15) == 1
    assert "Traceback" not in second.log.read_text()
    assert second.log.read_text().splitlines()[-1].startswith("simulator: ")


def test_sigterm_lets_requests_finish_and_hanging_ones_go(own_simulator: SimulatorProcess) -> None:
    """A slow charge is answered, a hanging one is not waited for, the exit code is 0."""
    admin = Admin(own_simulator.url)
    slow, hanging = new_id(), new_id()
    admin.arm("latency", payment_id=slow, milliseconds=700)
    admin.arm("hang_after", payment_id=hanging)
    statuses: list[str] = []

    def charge(payment_id: str) -> None:
        client = stripe_client(own_simulator.url)
        try:
            statuses.append(client.v1.payment_intents.create(card_charge(payment_id)).status)
        except stripe.APIConnectionError:
            statuses.append("lost")

    threads = [threading.Thread(target=charge, args=(one,)) for one in (slow, hanging)]
    for thread in threads:
        thread.start()
    while not admin.journal(payment_id=hanging):
        requests.get(f"{own_simulator.url}/health", timeout=5)
    assert own_simulator.stop() == 0
    for thread in threads:
        thread.join(10)
    assert sorted(statuses) == ["lost", "succeeded"]
    own_simulator.start()
    assert admin.payment(slow)["charges"] == admin.payment(hanging)["charges"] == 1
