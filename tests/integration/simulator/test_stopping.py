"""Told to stop, the simulator ends within the shutdown timeout, whoever is connected to it."""

import json
import socket
from pathlib import Path
from typing import Final

import pytest

from tests.support.fixtures.simulator import SimulatorProcess
from tests.support.simulator.clients import card_charge, stripe_client

_HALF_A_BODY: Final = (
    b"POST /v1/payment_intents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_test_1\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\namount=1"
)
_MORE_THAN_IT_READS: Final = b"GET /_simulator/journal HTTP/1.1\r\nHost: x\r\n\r\n" * 200


@pytest.mark.parametrize(
    "sent", [_HALF_A_BODY, _MORE_THAN_IT_READS], ids=["half-a-body", "reads-no-answer"]
)
def test_a_stuck_client_holds_up_nobody(tmp_path: Path, sent: bytes) -> None:
    """It is cut off, the others are answered, and the exit code is 0: in its own time."""
    simulator = SimulatorProcess(tmp_path, environment={"PAYMENTS_SERVER_SHUTDOWN_TIMEOUT": "2s"})
    simulator.start()
    client = stripe_client(simulator.url)
    for number in range(100):
        client.v1.payment_intents.create(card_charge(str(number)))
    with socket.create_connection(("127.0.0.1", simulator.port)) as stuck:
        stuck.sendall(sent)
        # It has read what was sent by the time it has answered somebody who came later.
        client.v1.payment_intents.create(card_charge("last"))
        assert simulator.stop() == 0
    last = json.loads(simulator.log.read_text().splitlines()[-1])
    assert (last["message"], last["in_time"]) == ("stopped", True)
