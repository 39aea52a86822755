"""Follow payments with nothing of ours: python docs/examples/plain_kafka.py localhost:9092 mail.

confluent-kafka, and CloudEvents in Kafka's binary mode: what a message is stands in its headers.
At least once: an effect is made first, its offset is stored after it, and what is stored is
committed by the library. The last ids are remembered, because a message may come again.
"""

import json
import sys
from collections import OrderedDict

from confluent_kafka import Consumer, Message

REMEMBERED_MAX = 100_000


def headers_of(message: Message) -> dict[str, str]:
    found = dict(message.headers() or [])
    return {
        name: value.decode(errors="replace") if isinstance(value, bytes) else value or ""
        for name, value in found.items()
    }


def main(bootstrap_servers: str, group: str) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            # What a transaction aborted was never said. It is this client's default.
            "isolation.level": "read_committed",
            # Commit by the clock, but only what was done.
            "enable.auto.offset.store": False,
        }
    )
    consumer.subscribe(["payments.events"])
    seen: OrderedDict[str, None] = OrderedDict()
    try:
        while True:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error() is not None:
                print(f"attention: {message.error()}", file=sys.stderr)
                continue
            headers = headers_of(message)
            if headers.get("ce_specversion") != "1.0":
                place = f"{message.topic()}/{message.partition()}/{message.offset()}"
                print(f"attention: {place} is no CloudEvent", file=sys.stderr)
            elif headers["ce_id"] not in seen:
                payment = json.loads(message.value() or b"")["payment"]
                sequence = int(headers["ce_sequence"])
                print(sequence, headers["ce_type"], payment["id"], payment["amount"], flush=True)
                seen[headers["ce_id"]] = None
                if len(seen) > REMEMBERED_MAX:
                    seen.popitem(last=False)
            consumer.store_offsets(message)
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()  # commits what was stored


if __name__ == "__main__":
    main(*sys.argv[1:3])
