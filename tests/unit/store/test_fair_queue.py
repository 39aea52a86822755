"""Tenants take turns in the committer's queue, and none of them fills it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from payments.commands import CancelPayment
from store.write.commit import Submission
from store.write.fair_queue import FairQueue, has_room
from store.write.waiting import Waiting

if TYPE_CHECKING:
    from store.write.commit import Reply


def waiting(tenant_id: str, since: int) -> Waiting:
    """One of a tenant's, known again by its time."""
    answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    return Waiting(Submission(CancelPayment(tenant_id, uuid4())), answer, since)


@pytest.fixture
async def queue() -> FairQueue[Waiting]:
    """Six of a flood's, then two of one tenant's and one of another's."""
    filled = FairQueue[Waiting]()
    for since, tenant_id in enumerate(["flood"] * 6 + ["one", "one", "other"]):
        filled.put(tenant_id, waiting(tenant_id, since))
    return filled


async def test_a_tenant_waits_behind_itself_and_for_one_of_each_other(
    queue: FairQueue[Waiting],
) -> None:
    """In the order in which it came; taken in parts, the turns go on where they were."""
    taken = [(each.tenant_id, each.since) for _ in range(3) for each in queue.take(3)]
    assert taken == [
        ("flood", 0),
        ("one", 6),
        ("other", 8),
        ("flood", 1),
        ("one", 7),
        ("flood", 2),
        ("flood", 3),
        ("flood", 4),
        ("flood", 5),
    ]
    assert len(queue) == 0
    assert queue.tenants == 0


async def test_what_a_tenant_has_waiting_can_be_skipped(queue: FairQueue[Waiting]) -> None:
    """It is its turn still, afterwards."""
    taken = [(each.tenant_id, each.since) for each in queue.take(9, lambda each: each == "flood")]
    assert taken == [("one", 6), ("other", 8), ("one", 7)]
    assert (len(queue), queue.tenants, queue.of("flood")) == (6, 1, 6)
    assert queue.take(9, lambda _: True) == []
    assert [each.since for each in queue.take(9)] == [0, 1, 2, 3, 4, 5]


async def test_what_is_put_back_is_its_tenant_s_first(queue: FairQueue[Waiting]) -> None:
    """Though nothing of the tenant's waits any more."""
    taken = queue.take(6)
    for each in reversed(taken):
        queue.put_back(each.tenant_id, each)
    assert (len(queue), queue.tenants) == (9, 3)
    of_flood = [each.since for each in queue.take(9) if each.tenant_id == "flood"]
    assert of_flood == [0, 1, 2, 3, 4, 5]


async def test_it_knows_how_many_wait_and_whose_they_are(queue: FairQueue[Waiting]) -> None:
    assert (len(queue), queue.tenants) == (9, 3)
    assert [queue.of(each) for each in ("flood", "one", "other", "nobody")] == [6, 2, 1, 0]


@pytest.mark.parametrize(
    ("own", "total", "tenants", "has"),
    [
        (0, 0, 1, True),
        (49, 49, 1, True),
        (50, 50, 1, False),  # half of the room is its own
        (0, 99, 2, True),
        (9, 100, 10, True),  # full, and it has less than its share
        (10, 100, 10, False),
        (0, 100, 101, False),  # nobody has a share of what so many want
    ],
)
def test_there_is_room_for_whoever_has_less_than_a_share(
    own: int, total: int, tenants: int, *, has: bool
) -> None:
    assert has_room(own=own, total=total, tenants=tenants, total_max=100) is has
