"""What a broker may do to a stage and Faust gets wrong: no message is lost, none works twice.

The workers are real processes on a real broker.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from payments.commands import CapturePayment, DiscardDeadLetter, RedriveDeadLetter
from payments.payment import CaptureMethod, Provider
from providers.registry import NAMES
from tests.support.agents.deliveries import headers_of_work, work
from tests.support.agents.stream import Charges, Record
from tests.support.factories import TENANT
from tests.support.topics import raw_names
from tests.support.topics.broker_clients import transaction
from tests.support.waiting import eventually
from topics.names import CHARGES

if TYPE_CHECKING:
    from uuid import UUID

    from redis.asyncio import Redis

    from payments.payment import Payment
    from tests.support.agents.shop import Shop
    from tests.support.fixtures.processes import OurProcess, Platform


@pytest.fixture
def charges(platform: Platform) -> Charges:
    """The charge stage's topic."""
    return Charges(platform.kafka)


def poison() -> list[Record]:
    """One message of every kind that can never be processed, each with a value of its own."""
    key, fresh = str(uuid4()).encode(), headers_of_work()
    return [
        Record(key, b"\xff\xfe no text " + key, fresh),
        Record(key, b"{" + key, fresh),
        Record(key, b'"' + key + b'"', fresh),
        Record(key, b'{"payment_id":"' + key + b'"}', fresh),
        Record(key, work(uuid4()), {}),
        Record(None, work(uuid4()), fresh),
        Record(key, work(uuid4()), fresh | {"ce_specversion": b"2.0"}),
        Record(key, work(uuid4()), fresh | {"ce_id": b"\x00\xff"}),
        Record(key, work(uuid4()), fresh | {"ce_type": b"charge.reconsidered"}),
    ]


async def test_poison_among_good_messages_costs_only_itself(
    shop: Shop, worker: OurProcess, charges: Charges
) -> None:
    """N messages that cannot be read are N dead letters with their bytes; the rest is charged."""
    customer = await shop.customer()
    worker.freeze()
    bad, payments = poison(), []
    for record in bad:
        payments.append(await shop.bought(customer))
        await charges.append([record])
    worker.thaw()
    await shop.settles(payments)
    await eventually(charges.is_read)
    letters = await shop.pool.fetch(
        "SELECT message_key, message_value, stage FROM dead_letters WHERE message_value = any($1)",
        [record.value for record in bad],
    )
    assert len(letters) == len(bad)
    assert {(each["message_key"], each["message_value"]) for each in letters} == {
        (record.key, record.value) for record in bad
    }
    await shop.assert_right(customer)


async def test_a_header_whose_name_is_no_text_stops_nobody(
    shop: Shop, worker: OurProcess, charges: Charges
) -> None:
    """A broker takes it; what stands in its partition before and after it is charged."""
    customer = await shop.customer()
    payments = await shop.bought_many(customer, 10)
    strange = work(uuid4())
    batch = raw_names.batch_of(str(uuid4()).encode(), strange, [headers_of_work()])
    await raw_names.append(charges.bootstrap_servers, CHARGES.name, batch)
    payments += await shop.bought_many(customer, 10)
    await shop.settles(payments)
    await eventually(charges.is_read)
    reason = await shop.pool.fetchval(
        "SELECT reason FROM dead_letters WHERE message_value = $1", strange
    )
    assert reason == "unknown_subject"
    assert worker.is_running
    await shop.assert_right(customer)


async def test_what_was_aborted_is_not_acted_on(
    shop: Shop, worker: OurProcess, charges: Charges
) -> None:
    """Commands of a transaction that never was; what stands behind them is done, and acknowledged.

    Among a few messages, so that of some partitions only the first offset was ever given.
    """
    assert worker.is_running
    customer = await shop.customer()
    await shop.settles([await shop.bought(customer) for _ in range(12)])
    for _ in range(2):
        aborted = [Record(str(uuid4()).encode(), b"never meant", {}) for _ in range(24)]
        async with transaction(charges.bootstrap_servers) as producer:
            for each in aborted:
                await producer.send_and_wait(CHARGES.name, each.value, each.key)
            await producer.abort_transaction()
        payments = [await shop.bought(customer) for _ in range(30)]
        await shop.settles(payments)
    await eventually(charges.is_read)
    parked = await shop.pool.fetchval(
        "SELECT count(*) FROM dead_letters WHERE message_value = $1", b"never meant"
    )
    assert parked == 0
    await shop.assert_right(customer)


async def queue_of(shop: Shop, payment: Payment) -> list[tuple[str, UUID | None]]:
    """Why each of the payment's messages that are parked is, and behind which letter."""
    rows = await shop.pool.fetch(
        "SELECT reason, waits_behind FROM dead_letters WHERE queued_for = $1 AND state = 'parked'"
        " ORDER BY message_offset",
        payment.id,
    )
    return [(row["reason"], row["waits_behind"]) for row in rows]


async def held_up(shop: Shop, worker: OurProcess, charges: Charges) -> tuple[Payment, UUID]:
    """An authorized payment whose capture came on the topic after poison of its own; the letter."""
    payment = await shop.bought(await shop.customer(), capture_method=CaptureMethod.MANUAL)
    await shop.becomes(payment, "authorized")
    worker.freeze()
    key = str(payment.id).encode()
    strange = headers_of_work() | {"ce_type": b"charge.reconsidered"}
    await charges.append([Record(key, work(payment.id, 7), strange)])
    await shop.did(CapturePayment(TENANT, payment.id, None))
    # One without its attempt's number is of no use to anybody, and of a type that is known.
    await charges.append([Record(key, work(payment.id, 2), headers_of_work())])
    worker.thaw()

    async def is_held_up() -> bool:
        return len(await queue_of(shop, payment)) == 3

    await eventually(is_held_up)
    letter_id = await shop.pool.fetchval(
        "SELECT charge_blocked_by FROM payments WHERE id = $1", payment.id
    )
    assert await queue_of(shop, payment) == [
        ("unknown_type", None),
        ("waits_behind", letter_id),
        ("waits_behind", letter_id),
    ]
    return payment, letter_id


async def test_later_messages_of_a_payment_wait_behind_its_dead_letter(
    shop: Shop, worker: OurProcess, charges: Charges
) -> None:
    """Others go on; not even a restart, or the schedule, gets past it; discarded, it is past."""
    payment, letter_id = await held_up(shop, worker, charges)
    await worker.kill()
    await shop.pool.execute("UPDATE payments SET due_at = now() WHERE id = $1", payment.id)
    await worker.start()
    customer = await shop.customer()
    await shop.settles([await shop.bought(customer, each) for each in NAMES])
    await eventually(charges.is_read)
    assert await shop.status(payment) == "authorized"
    assert len(await queue_of(shop, payment)) == 3, "the schedule piles up nothing"
    await shop.did(DiscardDeadLetter(letter_id, "operator", "never of ours"))
    await shop.settles([payment])
    assert await shop.status(payment) == "completed"
    assert await queue_of(shop, payment) == []
    assert await shop.attempts(payment) == [(1, False, "succeeded"), (2, False, "succeeded")]
    await shop.assert_right(customer)


async def test_a_redriven_letter_takes_along_what_waits_behind_it_in_order(
    shop: Shop, worker: OurProcess, charges: Charges
) -> None:
    """All are on the topic again, once each, as they stood; still poison, they wait again."""
    payment, letter_id = await held_up(shop, worker, charges)
    before = await messages_of(charges, payment)
    await shop.did(RedriveDeadLetter(letter_id, "operator", "mended, it is hoped"))

    async def waits_again() -> bool:
        reasons = [reason for reason, _ in await queue_of(shop, payment)]
        return reasons == ["unknown_type", "waits_behind", "waits_behind"]

    await eventually(waits_again)
    after = await messages_of(charges, payment)
    assert [each.value for each in after[len(before) :]] == [each.value for each in before[-3:]]
    again = await shop.pool.fetchval(
        "SELECT charge_blocked_by FROM payments WHERE id = $1", payment.id
    )
    assert again != letter_id
    await shop.did(DiscardDeadLetter(again, "operator", "never of ours"))
    await shop.settles([payment])
    assert await shop.status(payment) == "completed"
    assert worker.is_running


async def messages_of(charges: Charges, payment: Payment) -> list[Record]:
    """The payment's messages on the topic, in order: a key has but one partition."""
    return [each for each in await charges.all() if each.key == str(payment.id).encode()]


async def test_a_message_whose_handler_raises_waits_for_an_operator_and_nobody_for_it(
    shop: Shop, worker: OurProcess, charges: Charges
) -> None:
    """A bug at one payment parks its message, the others are charged; redriven, it is too."""
    customer = await shop.customer()
    worker.freeze()
    broken, *fine = [await shop.bought(customer) for _ in range(5)]
    async with shop.unrecordable(broken):
        worker.thaw()
        await shop.settles(fine)
        await eventually(charges.is_read)
        letter = await shop.pool.fetchrow(
            "SELECT id, reason FROM dead_letters WHERE message_key = $1", str(broken.id).encode()
        )
        assert letter is not None
        assert letter["reason"] == "handler_error"
        assert await shop.status(broken) == "pending"
    await shop.did(RedriveDeadLetter(letter["id"], "operator", "mended"))
    await shop.settles([broken])
    assert await shop.attempts(broken) == [(1, False, "succeeded")]
    await shop.assert_right(customer)


async def test_what_is_delivered_again_works_once(
    shop: Shop, worker: OurProcess, charges: Charges
) -> None:
    """Offsets put back to the start, and every message sent twice: no second attempt."""
    customer = await shop.customer()
    payments = await shop.bought_many(customer, 5)
    await shop.settles(payments)
    before = [await shop.attempts(payment) for payment in payments]
    await worker.kill()
    await charges.append(await charges.all())
    await charges.rewind("one")
    await worker.start()
    await eventually(charges.is_read, within=30)
    assert await worker.metric("payments_stage_skipped_total", stage="charge") >= 10
    assert await worker.metric("payments_stage_claims_total", stage="charge") == 0
    assert [await shop.attempts(payment) for payment in payments] == before
    await shop.assert_right(customer)


async def test_what_is_not_recorded_yet_comes_again(
    shop: Shop, worker: OurProcess, charges: Charges
) -> None:
    """Others are acknowledged meanwhile and the worker dies: the one that waited is not lost."""
    customer = await shop.customer()
    await eventually(charges.is_read)
    kept = await shop.bought(customer)
    async with shop.locked(kept):
        await eventually(worker.waits_for_a_row)
        others = [await shop.bought(customer, Provider("paypal")) for _ in range(20)]
        await shop.settles(others)

        async def some_are_acknowledged() -> bool:
            return await charges.unread() < 1 + len(others)

        await eventually(some_are_acknowledged, within=30)
        await worker.kill()
        # Postgres does what it was asked, whether or not somebody is there to hear of it.
        await eventually(partial(_has_no_session, shop))
    await worker.start()
    await shop.settles([kept, *others])
    assert await shop.attempts(kept) == [(1, False, "succeeded")]
    await shop.assert_right(customer)


async def _has_no_session(shop: Shop) -> bool:
    asked = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE '%charge%'"
    return bool(await shop.pool.fetchval(asked))


async def test_a_killed_worker_is_replaced_in_seconds(shop: Shop, worker: OurProcess) -> None:
    """A successor of its name has its partitions at once, long before its session is over."""
    customer = await shop.customer()
    worker.freeze()
    payments = await shop.bought_many(customer, 20)
    await worker.kill()
    await worker.start()
    await shop.settles(payments, within=8)
    await shop.assert_right(customer)


async def test_a_worker_told_to_stop_ends_what_it_began(
    shop: Shop, worker: OurProcess, charges: Charges, redis_client: Redis
) -> None:
    """SIGTERM: what is claimed is settled, what is settled is acknowledged, nothing comes again."""
    customer = await shop.customer()
    # Long enough to be told meanwhile, and well within the lease of a second on a busy machine.
    shop.provider.arm("latency", operation="charge", milliseconds=200)
    # At one provider: of two lanes one may be stopped before what stands in the other's way.
    payments = await asyncio.gather(*(shop.bought(customer) for _ in range(30)))
    await eventually(lambda: shop.is_claimed(payments[0]))
    assert await worker.drain() == 0
    for payment in payments:
        assert await shop.attempts(payment) in ([], [(1, False, "succeeded")])
        assert not await redis_client.exists(f"payments:lock:{payment.id}")
    await worker.start()
    await shop.settles(payments)
    await eventually(charges.is_read)
    assert await worker.metric("payments_stage_skipped_total", stage="charge") == 0
    assert {tuple(await shop.attempts(payment)) for payment in payments} == {
        ((1, False, "succeeded"),)
    }
    await shop.assert_right(customer)


@pytest.mark.long
async def test_workers_come_and_go_in_the_middle_of_traffic(
    platform: Platform, shop: Shop, worker: OurProcess, charges: Charges
) -> None:
    """One joins, one is told to leave, one is killed and returns: each payment is charged once."""
    customer = await shop.customer()
    second = platform.charge()
    payments = await shop.bought_many(customer, 20)
    second.launch()
    payments += await shop.bought_many(customer, 20)
    await second.until_ready()
    payments += await shop.bought_many(customer, 20)
    await worker.kill()
    payments += await shop.bought_many(customer, 20)
    await worker.start()
    payments += await shop.bought_many(customer, 20)
    assert await second.drain() == 0
    payments += await shop.bought_many(customer, 20)
    await shop.settles(payments)
    await eventually(charges.is_read)
    await shop.assert_right(customer)


@pytest.mark.long
@pytest.mark.parametrize("moment_ms", range(0, 2000, 200))
async def test_told_to_stop_while_it_starts_a_worker_ends(
    platform: Platform, moment_ms: int
) -> None:
    """SIGTERM at any moment of a start: nothing hangs, whatever is half built."""
    starting = platform.charge()
    starting.launch()
    await eventually(starting.is_alive, within=30)
    # The moment itself is what is tried: there is nothing to wait for.
    await asyncio.sleep(moment_ms / 1000)
    assert await starting.drain() == 0


async def test_a_frozen_worker_s_partitions_move_when_its_session_is_over(
    platform: Platform, shop: Shop, worker: OurProcess, charges: Charges
) -> None:
    """A machine that stands still for longer than a session: others take over, it joins again."""
    assert worker.is_running
    customer = await shop.customer()
    nameless = platform.charge()
    await nameless.start()
    shop.provider.arm("latency", operation="charge", milliseconds=300, times=10)
    payments = await shop.bought_many(customer, 30)
    nameless.freeze()
    payments += await shop.bought_many(customer, 30)
    await shop.settles(payments)
    events = [await shop.events(payment) for payment in payments]
    nameless.thaw()
    payments += await shop.bought_many(customer, 30)
    await shop.settles(payments)
    await eventually(charges.is_read)
    assert [await shop.events(payment) for payment in payments[:60]] == events
    await shop.assert_right(customer)
    assert await nameless.drain() == 0
