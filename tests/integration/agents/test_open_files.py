"""A host that allows few open files: less is done at once, and nothing fails for want of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.agents.shop import Shop
    from tests.support.fixtures.processes import OurProcess, Platform


async def test_with_few_files_no_attempt_is_lost(
    platform: Platform, shop: Shop, crew: OurProcess
) -> None:
    """More calls than sockets: they wait for each other, and each payment is charged at once."""
    if crew.is_running:
        await crew.drain()
    # In the crew's place, for which the group need not wait. A claim must outlive its call, which
    # is to hold its socket for a while.
    few = platform.charge("one", PAYMENTS_PAYMENT_LEASE="60s", PAYMENTS_PAYMENT_LOCK_TTL="60s")
    few.prefix = ("prlimit", "--nofile=256:256")
    customer = await shop.customer()
    shop.provider.arm("latency", operation="charge", milliseconds=2000)
    payments = await shop.bought_many(customer, 500)
    await few.start()
    await shop.settles(payments, within=90)
    assert {tuple(await shop.attempts(payment)) for payment in payments} == {
        ((1, False, "succeeded"),)
    }
    assert "few files may be open at once" in few.said
    assert '"allowed":256' in few.said
    assert await few.drain() == 0


async def test_with_too_few_files_a_process_says_so_and_ends(platform: Platform) -> None:
    """In one sentence, with what to do about it, before it takes any work."""
    process = platform.schedule()
    process.prefix = ("prlimit", "--nofile=100:100")
    process.launch()
    await eventually(lambda: not process.is_running, within=30)
    assert await process.ended() == 2
    assert process.said.startswith("agents-schedule: only 100 files may be open at once, too few")
