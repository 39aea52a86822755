"""A broker that speaks Kafka's protocol, from the noida-db wheel: development and tests only.

noida-db holds everything in memory and saves the whole of it as JSON half a second to several
seconds after a change: killed, it comes back with an older state, topics and committed offsets
alike; stopped in order, it keeps everything. So nothing may depend on its memory: the relay fills
in from the outbox what a restarted broker lacks. A second program in front of it makes consumers
wait for data (see `long_poll`); clients know only that one's port.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiokafka.admin import NewTopic

from local.embedded.wheel import binary, data_directory
from local.program import CODE, Program, StopGroup, free_port, running
from process.addresses import KafkaAddress
from topics.kafka import AWAY, administration
from topics.names import Topic

# Every save writes all there is, as JSON four times its size: 50 partitions of this make 800 MB.
_PARTITION_BYTES_MAX: Final = 4 * 1024 * 1024


@asynccontextmanager
async def broker(directory: Path, port: int, *, log: Path) -> AsyncIterator[None]:
    """Both programs, ready inside the block. Raises `StartError`."""
    storage, front = await prepare(directory, port, log=log)
    async with running(storage), running(front):
        yield


async def prepare(directory: Path, port: int, *, log: Path) -> tuple[Program, Program]:
    """The broker, and what clients connect to. Raises `StartError`."""
    data = data_directory(directory, server="The Kafka-protocol broker")
    storage_port = free_port()
    storage = Program(
        name="noida-db",
        command=(
            str(_server()),
            "start",
            *("--only", "kafka"),
            *("--kafka-port", str(storage_port)),
            *("--data-dir", str(data)),
        ),
        directory=data,
        log=log,
        address=f"127.0.0.1:{storage_port}",
        is_ready=lambda: _listens(storage_port),
    )
    front = Program(
        name="kafka",
        command=(
            *(sys.executable, "-m", "local.embedded.long_poll"),
            *("--port", str(port)),
            *("--broker-port", str(storage_port)),
        ),
        directory=CODE,
        log=log,
        address=f"127.0.0.1:{port}",
        is_ready=lambda: _answers(port),
        stop_group=StopGroup.BROKER,
    )
    return storage, front


async def create_bounded(bootstrap_servers: str, topics: Sequence[Topic]) -> None:
    """Create what is missing of the topics, each partition no longer than noida-db can bear."""
    bounds = {
        "retention.bytes": str(_PARTITION_BYTES_MAX),
        # Whole segments expire, and one that is still written to does not.
        "segment.bytes": str(_PARTITION_BYTES_MAX // 8),
    }
    async with administration(KafkaAddress(bootstrap_servers)) as admin:
        await admin.create_topics(
            [NewTopic(one.name, one.partitions, 1, topic_configs=bounds) for one in topics]
        )


def _server() -> Path:
    return binary(
        "noida_db",
        "noida-db",
        server="Kafka-protocol broker",
        instead="PAYMENTS_KAFKA_BOOTSTRAP_SERVERS",
    )


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _answers(port: int) -> bool:
    """Ask for the cluster's metadata, once somebody listens: the client logs each refusal."""
    if not await _listens(port):
        return False
    try:
        async with administration(KafkaAddress(f"127.0.0.1:{port}")):
            return True
    except AWAY:
        return False
