"""Provider calls of claimed work: bounded a provider, recorded whatever happens, never a crash.

The books are in Postgres and the provider is the simulator, behind the real gateways; only
what no provider can do, a bug of ours, is played by a gateway of the test.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest
from opentelemetry.trace import NoOpTracer
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from local.program import free_port
from payments.commands import (
    CancelPayment,
    CapturePayment,
    ClaimPayment,
    RedriveDeadLetter,
    SettlePayment,
)
from payments.decision import Claimed
from payments.outcome import Declined, Operation, Succeeded
from payments.payment import CaptureMethod, Provider
from payments.progress import Policy
from process.addresses import DatabaseAddress
from providers.gateway import ChargeRequest
from providers.protected import Limits, Protected
from providers.registry import NAMES
from providers.stripe.config import StripeConfig
from providers.stripe.gateway import CAPABILITIES, StripeGateway
from store.pool import connect
from store.write.context import live
from store.write.group_commit import GroupCommitter, Submission
from telemetry.metrics import Metrics
from tests.support.agents.calls import (
    BOUND,
    TIMEOUT_S,
    calling,
    circuit,
    claimed,
    claimed_again,
    has_ended,
)
from tests.support.factories import SOURCE, TENANT
from tests.support.providers.configs import configured
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence

    from redis.asyncio import Redis

    from payments.outcome import Outcome
    from payments.payment import Payment
    from tests.support.agents.shop import Shop
    from tests.support.fixtures.simulator import SimulatorProcess


async def test_a_provider_that_hangs_fills_its_own_lane_only(
    idle_shop: Shop, metrics: Metrics, redis_client: Redis, opened: Mapping[str, Protected]
) -> None:
    """With one provider at its bound, the other's payments are made; then the first has room."""
    customer = await idle_shop.customer()
    hanging = [await idle_shop.bought(customer) for _ in range(BOUND)]
    other = await idle_shop.bought(customer, Provider("paypal"))
    claims = [await claimed(idle_shop, payment) for payment in hanging]
    idle_shop.provider.arm("hang_before", vendor="stripe", operation="charge")
    async with calling(idle_shop, metrics, redis_client, opened) as calls:
        for claim in claims:
            calls.start(claim, SOURCE)
        full = asyncio.ensure_future(calls.room("stripe", Operation.CHARGE))
        assert await calls.room("paypal", Operation.CHARGE) == BOUND
        calls.start(await claimed(idle_shop, other), SOURCE)
        await idle_shop.becomes(other, "completed")
        assert not full.done()
        assert await full > 0
    assert {await idle_shop.status(payment) for payment in hanging} == {"unknown"}


async def test_leaving_waits_until_every_outcome_is_recorded(
    idle_shop: Shop, metrics: Metrics, redis_client: Redis, opened: Mapping[str, Protected]
) -> None:
    """A stage that drains loses no answer: what was asked for is in the books when it is gone."""
    customer = await idle_shop.customer()
    payments = await idle_shop.bought_many(customer, 10)
    idle_shop.provider.arm("latency", milliseconds=200)
    async with calling(idle_shop, metrics, redis_client, opened) as calls:
        for payment in payments:
            calls.start(await claimed(idle_shop, payment), SOURCE)
    assert {await idle_shop.status(payment) for payment in payments} == {"completed"}
    await idle_shop.assert_right(customer)


async def test_who_holds_the_lock_is_not_disturbed(
    idle_shop: Shop, metrics: Metrics, redis_client: Redis, opened: Mapping[str, Protected]
) -> None:
    """Another worker is at it: the attempt is put off, and burns nothing."""
    customer = await idle_shop.customer()
    payment = await idle_shop.bought(customer)
    await claimed(idle_shop, payment)
    await redis_client.set(f"payments:lock:{payment.id}", "another worker")
    await idle_shop.pool.execute("UPDATE payments SET due_at = now() WHERE id = $1", payment.id)
    async with calling(idle_shop, metrics, redis_client, opened) as calls:
        calls.start(await claimed_again(idle_shop, payment, 2), SOURCE)
    assert await idle_shop.attempts(payment) == [
        (1, False, "lease_expired"),
        (2, True, "deferred"),
    ]
    assert await burned(idle_shop, payment) == 0
    assert idle_shop.asked(payment) == []


async def test_an_open_circuit_puts_work_off_and_burns_nothing(
    idle_shop: Shop, metrics: Metrics, redis_client: Redis, opened: Mapping[str, Protected]
) -> None:
    """While a provider is failing nobody asks it; when it is back the payment is made."""
    customer = await idle_shop.customer()
    payments = [await idle_shop.bought(customer) for _ in range(10)]
    late = await idle_shop.bought(customer)
    idle_shop.provider.arm("reset_before", vendor="stripe", operation="charge")
    async with calling(idle_shop, metrics, redis_client, opened) as calls:
        for payment in payments:
            calls.start(await claimed(idle_shop, payment), SOURCE)
        await eventually(lambda: circuit(metrics) == 2)
        idle_shop.provider.clear()
        calls.start(await claimed(idle_shop, late), SOURCE)
        await eventually(lambda: has_ended(idle_shop, late, 1))
        assert await idle_shop.attempts(late) == [(1, False, "deferred")]
        numbers = count(2)

        async def is_let_through() -> bool:
            number = next(numbers)
            calls.start(await claimed_again(idle_shop, late, number), SOURCE)
            await eventually(lambda: has_ended(idle_shop, late, number))
            return await idle_shop.status(late) == "completed"

        await eventually(is_let_through)
    assert idle_shop.asked(late) == ["charge/ok"]
    assert await burned(idle_shop, late) == 0


async def burned(shop: Shop, payment: Payment) -> int:
    """Retries that count against the payment's bound."""
    query = "SELECT retry_count FROM payments WHERE id = $1"
    return int(await shop.pool.fetchval(query, payment.id))


async def test_an_answer_on_its_way_is_not_asked_for_twice(
    idle_shop: Shop, metrics: Metrics, redis_client: Redis, opened: Mapping[str, Protected]
) -> None:
    """The inquiry comes before the charge: the provider's key tells the two requests are one."""
    customer = await idle_shop.customer()
    payment = await idle_shop.bought(customer)
    idle_shop.provider.arm(
        "latency", vendor="stripe", operation="charge", times=1, milliseconds=2 * TIMEOUT_S * 1000
    )
    async with calling(idle_shop, metrics, redis_client, opened) as calls:
        calls.start(await claimed(idle_shop, payment), SOURCE)
        await idle_shop.becomes(payment, "unknown")
        calls.start(await claimed_again(idle_shop, payment, 2), SOURCE)
        await eventually(lambda: idle_shop.charges(payment) == 1)
    calls_made = idle_shop.asked(payment, "charge")
    assert calls_made == ["charge/idempotency_key_in_use", "charge/latency"]
    async with calling(idle_shop, metrics, redis_client, opened) as calls:
        calls.start(await claimed_again(idle_shop, payment, 3), SOURCE)
    assert await idle_shop.status(payment) == "completed"
    await idle_shop.assert_right(customer)


@asynccontextmanager
async def another(database: DatabaseAddress, metrics: Metrics) -> AsyncIterator[GroupCommitter]:
    """The committer of another process."""
    async with (
        await connect(database, application_name="another", size=2) as pool,
        GroupCommitter(pool, live(Policy()), metrics) as committer,
    ):
        yield committer


async def raced(
    shop: Shop,
    payments: Sequence[Payment],
    ours: Sequence[Coroutine[object, object, object]],
    theirs: Sequence[Coroutine[object, object, object]],
    *,
    ours_first: bool,
) -> None:
    """Two processes, ours and another, stand before the same payments until both do."""
    sides = [("tests", ours), ("another", theirs)]
    async with asyncio.TaskGroup() as tasks, shop.pool.acquire() as gate, gate.transaction():
        ids = [payment.id for payment in payments]
        await gate.execute("SELECT FROM payments WHERE id = any($1) FOR UPDATE", ids)
        for who, work in sides if ours_first else sides[::-1]:
            for each in work:
                tasks.create_task(each)
            await eventually(partial(shop.is_kept_waiting, who))


@pytest.mark.parametrize("claims_first", [True, False])
async def test_a_provider_is_not_asked_for_what_is_cancelled_in_that_moment(
    idle_shop: Shop,
    database: DatabaseAddress,
    metrics: Metrics,
    redis_client: Redis,
    opened: Mapping[str, Protected],
    *,
    claims_first: bool,
) -> None:
    """An ingress cancels while the stage claims: the provider heard of those alone it charged."""
    customer = await idle_shop.customer()
    payments = await idle_shop.bought_many(customer, 8)
    async with (
        another(database, metrics) as ingress,
        calling(idle_shop, metrics, redis_client, opened) as calls,
    ):

        async def charge(payment: Payment) -> None:
            claim = await idle_shop.did(ClaimPayment(payment.id, 1, "tests"))
            if isinstance(claim, Claimed):
                calls.start(claim, SOURCE)

        cancels = [ingress.submit(Submission(CancelPayment(TENANT, each.id))) for each in payments]
        claims = [charge(payment) for payment in payments]
        await raced(idle_shop, payments, claims, cancels, ours_first=claims_first)
    asked = {payment.id: idle_shop.asked(payment) != [] for payment in payments}
    assert True in asked.values() if claims_first else False in asked.values()
    for payment in payments:
        expected = "completed" if asked[payment.id] else "cancelled"
        assert await idle_shop.status(payment) == expected
    await idle_shop.assert_right(customer)


@pytest.mark.parametrize("captures_first", [True, False])
async def test_an_authorization_is_captured_or_voided_and_never_both(
    idle_shop: Shop,
    database: DatabaseAddress,
    metrics: Metrics,
    redis_client: Redis,
    opened: Mapping[str, Protected],
    *,
    captures_first: bool,
) -> None:
    """Asked for both at once through two processes, the provider is told one of them."""
    customer = await idle_shop.customer()
    payments = [
        await idle_shop.bought(customer, provider, CaptureMethod.MANUAL) for provider in NAMES * 4
    ]
    async with calling(idle_shop, metrics, redis_client, opened) as calls:
        for payment in payments:
            calls.start(await claimed(idle_shop, payment), SOURCE)
    async with another(database, metrics) as ingress:
        captures = [idle_shop.did(CapturePayment(TENANT, each.id, None)) for each in payments]
        cancels = [ingress.submit(Submission(CancelPayment(TENANT, each.id))) for each in payments]
        await raced(idle_shop, payments, captures, cancels, ours_first=captures_first)
    async with calling(idle_shop, metrics, redis_client, opened) as calls:
        for payment in payments:
            calls.start(await claimed(idle_shop, payment, 2), SOURCE)
    for payment in payments:
        told = [each.split("/")[0] for each in idle_shop.asked(payment, "capture", "void")]
        status = await idle_shop.status(payment)
        assert (status, told) in (("completed", ["capture"]), ("cancelled", ["void"]))
    await idle_shop.assert_right(customer)


class _Buggy(StripeGateway):
    """Ours, with a bug."""

    async def charge(self, request: ChargeRequest) -> Outcome:
        raise KeyError(request.payment_id)


class _Lying(StripeGateway):
    """A success that no column can hold: Postgres keeps no NUL in a text."""

    async def charge(self, request: ChargeRequest) -> Outcome:  # noqa: ARG002 - a gateway's
        return Succeeded("pi_\0")


class _Forgetful(StripeGateway):
    """A provider that promises to remember a key for no time at all."""

    capabilities = replace(CAPABILITIES, key_window_s=0.0)  # type: ignore[misc]  # Final in the real one


@asynccontextmanager
async def only(kind: type[StripeGateway], url: str) -> AsyncIterator[Mapping[str, Protected]]:
    gateway = Protected(
        kind(configured(StripeConfig, url)), Limits(), Metrics(CollectorRegistry()), NoOpTracer()
    )
    try:
        yield {"stripe": gateway}
    finally:
        await gateway.aclose()


@pytest.mark.parametrize("kind", [_Buggy, _Lying])
async def test_a_bug_around_a_call_leaves_an_unknown_outcome_and_the_worker_alive(
    idle_shop: Shop,
    metrics: Metrics,
    redis_client: Redis,
    simulator: SimulatorProcess,
    kind: type[StripeGateway],
) -> None:
    """The provider may have been asked, so it is to be asked after; others go on."""
    customer = await idle_shop.customer()
    payment = await idle_shop.bought(customer)
    with capture_logs() as said:
        async with (
            only(kind, simulator.url) as buggy,
            calling(idle_shop, metrics, redis_client, buggy) as calls,
        ):
            calls.start(await claimed(idle_shop, payment), SOURCE)
    assert "error" in {each["log_level"] for each in said}
    assert await idle_shop.status(payment) == "unknown"
    assert await idle_shop.attempts(payment) == [(1, False, "unknown")]


async def test_past_the_key_window_nothing_is_charged_on_the_strength_of_a_key(
    idle_shop: Shop, metrics: Metrics, redis_client: Redis, simulator: SimulatorProcess
) -> None:
    """The provider may have forgotten the key: found nothing, it is not asked to charge again."""
    customer = await idle_shop.customer()
    payment = await idle_shop.bought(customer)
    idle_shop.provider.arm("reset_before", vendor="stripe", operation="charge", times=1)
    async with (
        only(_Forgetful, simulator.url) as forgetful,
        calling(idle_shop, metrics, redis_client, forgetful) as calls,
    ):
        calls.start(await claimed(idle_shop, payment), SOURCE)
        await idle_shop.becomes(payment, "unknown")
        calls.start(await claimed_again(idle_shop, payment, 2), SOURCE)
    assert idle_shop.asked(payment, "charge") == ["charge/reset_before"]
    code = "SELECT last_error_code FROM payments WHERE id = $1"
    assert await idle_shop.pool.fetchval(code, payment.id) == "key_window_passed"


async def redriven(shop: Shop, payment: Payment) -> Claimed:
    """Failed, found to have succeeded after all, and tried again by an operator: its next claim."""
    claim = await claimed(shop, payment)
    ended = partial(SettlePayment, payment.id, claim.attempt.id, Operation.CHARGE)
    await shop.did(ended(Declined("card_declined", "no"), SOURCE))
    await shop.did(ended(Succeeded("pi_late"), SOURCE))
    letters = "SELECT id FROM dead_letters WHERE payment_id = $1 AND reason = 'contradiction'"
    letter_id = await shop.pool.fetchval(letters, payment.id)
    await shop.did(RedriveDeadLetter(letter_id, "ada", "the runbook says so"))
    return await claimed(shop, payment, 2)


async def test_a_redriven_payment_is_asked_after_before_it_is_charged_again(
    idle_shop: Shop, metrics: Metrics, redis_client: Redis, opened: Mapping[str, Protected]
) -> None:
    """Its books said failed, its provider had charged it: redriven, it is found and completed."""
    customer = await idle_shop.customer()
    payment = await idle_shop.bought(customer)
    request = ChargeRequest(
        payment_id=payment.id, idempotency_key="whatever", amount=payment.amount
    )
    assert isinstance(await opened["stripe"].charge(request), Succeeded)
    async with calling(idle_shop, metrics, redis_client, opened) as calls:
        calls.start(await redriven(idle_shop, payment), SOURCE)
    assert idle_shop.asked(payment, "charge") == ["charge/ok"]
    assert await idle_shop.status(payment) == "completed"
    await idle_shop.assert_right(customer)


async def test_a_redriven_payment_past_the_key_window_is_not_charged_again(
    idle_shop: Shop, metrics: Metrics, redis_client: Redis, simulator: SimulatorProcess
) -> None:
    """Nothing found, and the key may be forgotten: that is for a person, not for a new charge."""
    customer = await idle_shop.customer()
    payment = await idle_shop.bought(customer)
    async with (
        only(_Forgetful, simulator.url) as forgetful,
        calling(idle_shop, metrics, redis_client, forgetful) as calls,
    ):
        calls.start(await redriven(idle_shop, payment), SOURCE)
    assert idle_shop.asked(payment, "charge") == []
    assert await idle_shop.status(payment) == "review"


async def test_what_never_reached_the_provider_needs_no_question(
    idle_shop: Shop, metrics: Metrics, redis_client: Redis
) -> None:
    """No connection was made, so there is nothing to ask after, and no key to be forgotten."""
    customer = await idle_shop.customer()
    payment = await idle_shop.bought(customer)
    async with (
        only(StripeGateway, f"http://127.0.0.1:{free_port()}") as unreachable,
        calling(idle_shop, metrics, redis_client, unreachable) as calls,
    ):
        calls.start(await claimed(idle_shop, payment), SOURCE)
    again = await claimed_again(idle_shop, payment, 2)
    assert (again.attempt.number, again.attempt.inquiry) == (2, False)


async def test_a_late_capture_is_made_once_its_authorization_was_read(
    idle_shop: Shop, metrics: Metrics, redis_client: Redis, simulator: SimulatorProcess
) -> None:
    """No key guards it but the authorization itself, however old the payment is."""
    customer = await idle_shop.customer()
    payment = await idle_shop.bought(customer, capture_method=CaptureMethod.MANUAL)
    async with (
        only(_Forgetful, simulator.url) as forgetful,
        calling(idle_shop, metrics, redis_client, forgetful) as calls,
    ):
        calls.start(await claimed(idle_shop, payment), SOURCE)
        await idle_shop.becomes(payment, "authorized")
        await idle_shop.did(CapturePayment(TENANT, payment.id, None))
        idle_shop.provider.arm("reset_before", vendor="stripe", operation="capture", times=1)
        calls.start(await claimed(idle_shop, payment, 2), SOURCE)
        await idle_shop.becomes(payment, "unknown")
        calls.start(await claimed_again(idle_shop, payment, 3), SOURCE)
    assert idle_shop.asked(payment, "capture") == ["capture/reset_before", "capture/ok"]
    assert await idle_shop.status(payment) == "completed"
    await idle_shop.assert_right(customer)
