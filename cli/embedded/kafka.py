"""A broker that speaks Kafka's protocol, from the noida-db wheel: development and tests only.

It holds everything in memory and saves it as JSON, so it forgets what it had not saved when it is
killed. Nothing may depend on its memory: the relay refills it from the outbox.
"""

import asyncio
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from cli.embedded.wheel import binary, data_directory
from cli.program import Program


async def prepare(directory: Path, port: int, *, log: Path) -> Program:
    """The program to run on this data directory. Raises `StartError`."""
    data = data_directory(directory, server="The Kafka-protocol broker")
    server = binary(
        "noida_db",
        "noida-db",
        server="Kafka-protocol broker",
        instead="PAYMENTS_KAFKA_BOOTSTRAP_SERVERS",
    )
    return Program(
        name="kafka",
        command=(
            str(server),
            "start",
            *("--only", "kafka"),
            *("--kafka-port", str(port)),
            *("--data-dir", str(data)),
        ),
        directory=data,
        log=log,
        address=f"127.0.0.1:{port}",
        is_ready=lambda: _answers(port),
    )


async def _answers(port: int) -> bool:
    """Ask for the cluster's metadata, once somebody listens: the client logs each refusal."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}")
    try:
        await admin.start()
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()
    return True
