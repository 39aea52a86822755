"""Official clients pointed at a simulator, which is healthy at every start.

It has nearly nothing in memory, so that what holds here holds of what was spilled.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import stripe

from tests.support.fixtures.simulator import SimulatorProcess
from tests.support.simulator.admin import Admin
from tests.support.simulator.clients import PayPal, stripe_client
from tests.support.simulator.receiver import Receiver, receiving


def _forgetful(directory: Path) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess(directory, program="tests.support.simulator.forgetful")
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    yield from _forgetful(tmp_path_factory.mktemp("simulator"))


@pytest.fixture
def own_simulator(tmp_path: Path) -> Iterator[SimulatorProcess]:
    yield from _forgetful(tmp_path)


@pytest.fixture
def admin(simulator: SimulatorProcess) -> Admin:
    admin = Admin(simulator.url)
    admin.clear()
    return admin


@pytest.fixture
def client(simulator: SimulatorProcess, admin: Admin) -> stripe.StripeClient:
    """Stripe's client without retries of its own, so that a test sees each answer."""
    assert admin.url == simulator.url
    return stripe_client(simulator.url)


@pytest.fixture
def paypal(simulator: SimulatorProcess, admin: Admin) -> PayPal:
    assert admin.url == simulator.url
    return PayPal(simulator.url)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook endpoint, that nobody tells anything yet."""
    with receiving() as receiver:
        yield receiver
