"""Two workers of one name throw each other out of their group, and each says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.fixtures.processes import Platform


async def test_two_workers_of_one_name_say_so(platform: Platform) -> None:
    """The broker tells each only that it is not known any more."""
    named = ("agents", "dead-letters", "--member", "twin")
    one, two = platform.process("twin-one", *named), platform.process("twin-two", *named)
    try:
        await one.start()

        async def has_partitions() -> bool:
            return await one.metric("payments_stage_partitions", stage="dead-letters") > 0

        await eventually(has_partitions, within=30)
        assert await one.metric("payments_stage_name_clashes_total") == 0
        await two.start()

        async def both_know() -> bool:
            clashes = [
                await each.metric("payments_stage_name_clashes_total") for each in (one, two)
            ]
            return all(clashes)

        await eventually(both_know, within=60)
        assert "another worker of the same name" in one.said_of("twin")
        assert "another worker of the same name" in two.said_of("twin")
    finally:
        one.end()
        two.end()
