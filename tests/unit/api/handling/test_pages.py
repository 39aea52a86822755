"""A long list is rendered little by little."""

from __future__ import annotations

import asyncio

from api.handling.lists import by_turns


async def test_who_lists_much_lets_others_in_every_few_rows() -> None:
    """Nothing is left out, and their order is kept."""
    rendered: list[int] = []
    seen_by_others: list[int] = []

    def render(item: int) -> int:
        rendered.append(item)
        return -item

    async def look_on() -> None:
        while len(rendered) < 100:
            seen_by_others.append(len(rendered))
            await asyncio.sleep(0)

    _, made = await asyncio.gather(look_on(), by_turns(render, range(100)))
    assert made == [-each for each in range(100)]
    assert seen_by_others == [0, 20, 40, 60, 80]


async def test_a_list_of_nothing_is_one() -> None:
    assert await by_turns(str, ()) == []
