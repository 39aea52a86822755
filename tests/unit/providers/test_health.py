"""What a process knows of a provider: its state, and what may be claimed of its work."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from payments.outcome import Declined, NotFound, Operation, Retriable, Succeeded, Unknown
from payments.payment import Provider
from payments.provider_state import ProviderState
from providers.breaker import BreakerPolicy
from providers.circuits import INQUIRE
from providers.gateway import Trouble
from providers.health import Admission, Clocks, Health
from telemetry.metrics import Metrics

if TYPE_CHECKING:
    from payments.outcome import InquiryOutcome, Outcome

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
OK: Final = Succeeded("pi_1")
REFUSED: Final = Retriable(Trouble.UNAUTHORIZED, "the key is revoked", is_asked=False)
FORBIDDEN: Final = Retriable(Trouble.FORBIDDEN, "not this scope", is_asked=False)
UNREACHED: Final = Retriable(Trouble.NOT_SENT, "no connection: no name", is_asked=False)
LIMITED: Final = Retriable(Trouble.RATE_LIMITED, "too many requests", 3600.0, is_asked=False)
BROKEN: Final = Unknown(Trouble.SERVER_ERROR, "HTTP 500")
WELL, SLOW, OPEN, GONE, SHUT = ProviderState


@dataclass
class Scene:
    """A provider that may be asked eight times at once."""

    now_s: float = 0.0
    health: Health = field(init=False)

    def __post_init__(self) -> None:
        clocks = Clocks(lambda: self.now_s, lambda: START + timedelta(seconds=self.now_s))
        self.health = Health(Provider("stripe"), 8, BreakerPolicy(), clocks)

    async def ends(self, outcome: InquiryOutcome, times: int = 1, circuit: str = "charge") -> None:
        async def ask() -> InquiryOutcome:
            return outcome

        for _ in range(times):
            await self.health.call(circuit, ask)

    @property
    def state(self) -> ProviderState:
        return self.health.condition().state

    def admitted(self, operation: Operation | None = Operation.CHARGE) -> Admission:
        return self.health.admits(operation, 0, 0)


@pytest.mark.parametrize(
    ("outcome", "times", "state"),
    [
        (OK, 20, WELL),
        (Declined("card_declined", "no"), 20, WELL),
        (Retriable(Trouble.MISSING, "no such object"), 20, WELL),
        (REFUSED, 2, WELL),
        (REFUSED, 3, SHUT),
        (FORBIDDEN, 3, SHUT),
        (UNREACHED, 2, WELL),
        (UNREACHED, 3, GONE),
        (LIMITED, 2, WELL),
        (LIMITED, 3, SLOW),
        (BROKEN, 9, WELL),
        (BROKEN, 10, OPEN),
    ],
)
async def test_its_state_is_what_the_last_calls_ended_in(
    outcome: Outcome, times: int, state: ProviderState
) -> None:
    """With the reason of the last of them; a single one is an accident."""
    scene = Scene()
    await scene.ends(outcome, times)
    found = scene.health.condition()
    assert found.state is state
    assert found.reason == ("" if state is WELL else getattr(outcome, "message", ""))


async def test_it_is_as_bad_as_its_worst_circuit_and_says_since_when() -> None:
    """A new reason is told at once, and is no new beginning."""
    scene = Scene()
    await scene.ends(BROKEN, 10, "refund")
    assert scene.state is OPEN
    scene.now_s += 10
    await scene.ends(UNREACHED, 3)
    assert (scene.state, scene.health.condition().since) == (GONE, START + timedelta(seconds=10))
    scene.now_s += 1
    await scene.ends(Retriable(Trouble.NOT_SENT, "no connection: TLS", is_asked=False))
    found = scene.health.condition()
    assert (found.reason, found.since) == ("no connection: TLS", START + timedelta(seconds=10))
    scene.now_s += 2
    await scene.ends(OK)
    assert scene.state is OPEN


async def test_with_nothing_heard_for_long_nobody_waits_for_it() -> None:
    """An alarm about what nobody asks for any more would never end; the next call tells."""
    scene = Scene()
    await scene.ends(REFUSED, 3)
    scene.now_s += 119
    assert scene.state is SHUT
    scene.now_s += 2
    assert scene.state is WELL
    assert scene.admitted() == Admission(1)
    await scene.ends(REFUSED)
    assert scene.state is SHUT


async def test_a_change_is_logged_once() -> None:
    """What happens is told, not how often it was seen."""
    scene = Scene()
    with capture_logs() as said:
        await scene.ends(UNREACHED, 3)
        assert scene.state is GONE
        scene.now_s += 1
        await scene.ends(OK)
        assert scene.state is WELL
    assert [each["log_level"] for each in said] == ["warning", "info"]


async def test_while_it_is_not_well_one_is_admitted_at_a_time_and_later() -> None:
    """Until the pause is over nobody; then one, and none beside it."""
    scene = Scene()
    assert scene.admitted() == Admission(8)
    await scene.ends(UNREACHED, 3)
    assert scene.admitted() == Admission(0, 1.0)
    scene.now_s += 1
    assert scene.admitted() == Admission(1)
    assert scene.health.admits(Operation.CHARGE, 1, 1) == Admission(0)
    await scene.ends(UNREACHED)
    assert scene.admitted() == Admission(0, 2.0)


async def test_other_operations_are_admitted_as_before() -> None:
    """What it does it is asked for; and of what nobody can tell the call itself is put off."""
    scene = Scene()
    await scene.ends(BROKEN, 10, "capture")
    assert scene.admitted(Operation.CAPTURE) == Admission(0, 30.0)
    for operation in (Operation.CHARGE, Operation.AUTHORIZE, Operation.VOID, None):
        assert scene.admitted(operation) == Admission(8)


async def test_a_trial_that_may_have_to_inquire_first_waits_for_both_circuits() -> None:
    """Else it would be claimed, be put off by the other circuit, and be claimed again at once."""
    scene = Scene()
    await scene.ends(BROKEN, 10)
    scene.now_s += 20
    await scene.ends(BROKEN, 10, INQUIRE)
    scene.now_s += 15
    assert scene.admitted() == Admission(0, 15.0)
    scene.now_s += 15
    assert scene.admitted() == Admission(1)
    # As long as the operation itself is well, it is not held up by what may not be needed.
    await scene.ends(OK)
    assert scene.admitted() == Admission(8)
    await scene.ends(NotFound(), circuit=INQUIRE)
    assert scene.state is WELL


async def test_a_quota_that_is_used_up_is_asked_after_alone() -> None:
    """For as long as it wishes, but no longer than half a minute at a time."""
    scene = Scene()
    await scene.ends(LIMITED, 3)
    assert scene.admitted() == Admission(0, 30.0)
    scene.now_s += 30
    assert scene.admitted() == Admission(1)
    await scene.ends(OK)
    assert scene.admitted() == Admission(8)


async def test_it_is_on_the_page_of_metrics() -> None:
    """One state is 1, the others are 0, and since when; as of the scrape."""
    scene, metrics = Scene(), Metrics(CollectorRegistry())
    scene.health.show(metrics.provider)
    await scene.ends(REFUSED, 3)
    scene.now_s += 7

    def sample(name: str, **labels: str) -> float | None:
        labels["provider"] = "stripe"
        return metrics.registry.get_sample_value(f"payments_provider_{name}", labels)

    assert [sample("state", state=each.value) for each in ProviderState] == [0, 0, 0, 0, 1]
    assert sample("state_seconds") == 7
    assert sample("breaker_state", operation="charge") == 1
    scene.now_s += 1
    await scene.ends(OK)
    assert [sample("state", state=each.value) for each in ProviderState] == [1, 0, 0, 0, 0]
