"""Leaving a consumer group: what was done is committed, and others have the partitions at once.

Faust's own stop lets the event loop stand still until its thread has ended, and that waits for
whatever a broker owes it: the end of a rebalance, half a minute later, or an answer that never
comes. So what a stop is for is done here, each step within a time; the thread ends with the
process. What could not be committed comes again, and is known to be done.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

from topics import kafka

if TYPE_CHECKING:
    from collections.abc import Awaitable

    import faust
    from aiokafka.consumer.group_coordinator import GroupCoordinator

    from agents.consumer.app import Subscription

log = structlog.get_logger()

_CLIENT_ID: Final = "payments-leaving"
# A broker that is there needs milliseconds, and three steps are to fit into a cleanup.
_STEP_S: Final = 0.8


async def commit(app: faust.App) -> None:
    """Tell the broker of what was acknowledged since the last time."""
    assert app.consumer is not None, "it was started"
    await _within_a_step("commit", app.consumer.commit())


async def leave(app: faust.App, subscription: Subscription) -> None:
    """Whether it has joined, is about to, or neither; a named member's place is kept."""
    # By their insides: nothing public leads from an app to its member of the group.
    thread = getattr(app._consumer, "_thread", None)  # noqa: SLF001 - argued above
    joined = getattr(thread, "_consumer", None)
    coordinator = getattr(joined, "_coordinator", None)
    if coordinator is None or subscription.member is not None:
        return
    assert thread is not None, "what joins has one"
    silence = asyncio.run_coroutine_threadsafe(_silence(coordinator), thread.thread_loop)
    silenced = asyncio.wrap_future(silence)
    await _within_a_step("silence", silenced)
    if coordinator.member_id:
        await _within_a_step("leave", _resign(subscription, coordinator.member_id))


async def _silence(coordinator: GroupCoordinator) -> None:
    """In the thread's loop: neither join again nor be alive for the group any more."""
    if not coordinator._closing.done():  # noqa: SLF001 - its `close` waits for a join to end
        coordinator._closing.set_result(None)  # noqa: SLF001 - likewise
    coordination = coordinator._coordination_task  # noqa: SLF001 - likewise
    coordination.cancel()
    await asyncio.wait({coordination})
    await coordinator._stop_heartbeat_task()  # noqa: SLF001 - likewise


async def _resign(subscription: Subscription, member_id: str) -> None:
    """On a connection of its own: on the member's the broker may be busy with a join."""
    client = kafka.client(subscription.kafka, _CLIENT_ID)
    try:
        await client.bootstrap()
        node = await kafka.coordinator(client, subscription.group)
        await client.send(node, LeaveGroupRequest(subscription.group, member_id))
    finally:
        await client.close()


async def _within_a_step(what: str, step: Awaitable[object]) -> None:
    try:
        async with asyncio.timeout(_STEP_S):
            await step
    except (KafkaError, OSError) as error:  # a timeout is one
        log.warning("could not take leave of the group", step=what, error=repr(error))
