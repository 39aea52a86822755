"""`python -m bench.bare_faust SERVERS`: a Faust agent that takes all charge messages, to no end.

What Faust itself costs, with the loop, the serializers and the settings that our stages give
it, and with its own acknowledging. Prints how many events a second it took as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn
from uuid import uuid4

import faust
from aiokafka import TopicPartition

from process import event_loop
from process.addresses import KafkaAddress
from process.lifecycle import leave
from topics.faust_credentials import credentials
from topics.kafka import faust_options, reader
from topics.names import CHARGES

if TYPE_CHECKING:
    from faust.types import StreamT

_WITHIN_S: Final = 120.0
_FETCH_MS: Final = 500


async def _waiting(servers: str) -> int:
    """How many messages there are: an offset may be that of a transaction's marker."""
    count = 0
    async with reader(KafkaAddress(servers), "payments-bench") as charges:
        places = [TopicPartition(CHARGES.name, number) for number in range(CHARGES.partitions)]
        ends = await charges.end_offsets(places)
        charges.assign(places)
        await charges.seek_to_beginning()
        while any([await charges.position(place) < ends[place] for place in places]):
            found = await charges.getmany(timeout_ms=_FETCH_MS)
            count += sum(len(records) for records in found.values())
    return count


async def _rate(servers: str) -> float:
    """Events a second between the first and the last tenth."""
    count = await _waiting(servers)
    taken = array("d")
    done = asyncio.Event()
    app = faust.App(
        f"bench-{uuid4()}",
        **faust_options(KafkaAddress(servers), None),
        broker_credentials=credentials(KafkaAddress(servers)),
        store="memory://",
        datadir=Path(tempfile.gettempdir(), "payments-faust"),
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        key_serializer="raw",
        value_serializer="raw",
    )

    async def agent(stream: StreamT[bytes]) -> None:
        async for _ in stream:
            taken.append(time.perf_counter())
            if len(taken) >= count:
                done.set()

    app.agent(app.topic(CHARGES.name, key_serializer="raw", value_serializer="raw"))(agent)
    await app.start()
    async with asyncio.timeout(_WITHIN_S):
        await done.wait()
    first, last = count // 10, count * 9 // 10
    return (last - first) / (taken[last] - taken[first])


async def _main(servers: str) -> NoReturn:
    """From here, since Faust's tasks may outlive their cancellation, and its thread everything."""
    sys.stdout.write(json.dumps({"rate": await _rate(servers)}))
    leave(0)


if __name__ == "__main__":
    event_loop.run(_main(sys.argv[1]))
