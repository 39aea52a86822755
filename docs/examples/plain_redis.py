"""Follow payments with redis-py: python docs/examples/plain_redis.py redis://localhost:6379 mail.

At least once: an entry is acknowledged after its effect, and what a member left without a word for
a minute is taken over. Order per payment holds for a group of one member: Redis hands each entry to
whoever asks. A body that takes longer than the minute has to renew what it has in hand (XCLAIM with
JUSTID), as `topics.subscribe` does.
"""

import json
import sys
from typing import cast

import redis

STREAM = "payments.events"
CLAIM_AFTER_MS = 60_000

Entry = tuple[bytes, dict[bytes, bytes]]


def join(client: "redis.Redis", group: str) -> None:
    try:
        client.xgroup_create(STREAM, group, id="0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def taken(client: "redis.Redis", group: str, member: str, after: str) -> list[Entry]:
    """What this member had not finished (0), or what is new (>) and what others left."""
    answer = client.xreadgroup(group, member, {STREAM: after}, count=100, block=1000)
    entries = [
        entry for _, some in cast("list[tuple[bytes, list[Entry]]]", answer) for entry in some
    ]
    if not entries and after == ">":
        _, claimed, *_ = client.xautoclaim(STREAM, group, member, CLAIM_AFTER_MS, count=100)
        entries = cast("list[Entry]", claimed)
    return entries


def handle(entry_id: bytes, fields: dict[bytes, bytes]) -> None:
    if fields.get(b"ce_specversion") != b"1.0":
        # Trimmed before it was acknowledged, or none of ours.
        print(f"attention: {entry_id.decode()} is no CloudEvent", file=sys.stderr)
        return
    payment = json.loads(fields[b"value"])["payment"]
    sequence, kind = int(fields[b"ce_sequence"]), fields[b"ce_type"].decode()
    print(sequence, kind, payment["id"], payment["amount"], flush=True)


def main(url: str, group: str, member: str = "1") -> None:
    client = redis.Redis.from_url(url, protocol=2)
    join(client, group)
    after = "0"
    try:
        while True:
            entries = taken(client, group, member, after)
            for entry_id, fields in entries:
                handle(entry_id, fields or {})
                client.xack(STREAM, group, entry_id)
            if not entries:
                after = ">"
    except KeyboardInterrupt:
        pass
    finally:
        client.close()


if __name__ == "__main__":
    main(*sys.argv[1:4])
