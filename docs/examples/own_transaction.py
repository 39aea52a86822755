"""Sum up completed payments, each exactly once, in a database of one's own.

    python docs/examples/own_transaction.py localhost:9092 sums "host=... dbname=..."

The offset is stored in the transaction of the effect, so that both are there or neither is.
Nothing is committed to Kafka. The offset is moved from where it is expected to be: a member whose
partition was given to another meanwhile finds it elsewhere, and its transaction changes nothing.
"""

import json
import sys
from functools import partial

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

TABLES = """
CREATE TABLE IF NOT EXISTS consumed (
    group_name text, topic text, partition_number int, next_offset bigint NOT NULL,
    PRIMARY KEY (group_name, topic, partition_number)
);
CREATE TABLE IF NOT EXISTS completed_sums (currency text PRIMARY KEY, amount numeric NOT NULL);
"""
STORED = (
    "SELECT next_offset FROM consumed WHERE (group_name, topic, partition_number) = (%s, %s, %s)"
)
FIRST = "INSERT INTO consumed VALUES (%s, %s, %s, 0) ON CONFLICT DO NOTHING"
MOVE = """
UPDATE consumed SET next_offset = %s
WHERE (group_name, topic, partition_number) = (%s, %s, %s) AND next_offset <= %s
"""
ADD = """
INSERT INTO completed_sums VALUES (%s, %s)
ON CONFLICT (currency) DO UPDATE SET amount = completed_sums.amount + excluded.amount
"""


class Elsewhere(Exception):
    """The offset is not where it was left: the partition is another member's by now."""


def go_on(
    database: psycopg.Connection, group: str, consumer: Consumer, given: list[TopicPartition]
) -> None:
    """Begin each partition behind what the database says is done."""
    for each in given:
        database.execute(FIRST, (group, each.topic, each.partition))
        stored = database.execute(STORED, (group, each.topic, each.partition)).fetchone()
        each.offset = stored[0] if stored and stored[0] else OFFSET_BEGINNING
    database.commit()
    consumer.assign(given)


def take(database: psycopg.Connection, group: str, message: Message) -> None:
    """The effect and the offset behind it. Raises Elsewhere."""
    headers = dict(message.headers() or [])
    place = (group, message.topic(), message.partition())
    offset = message.offset() or 0
    with database.transaction():
        if database.execute(MOVE, (offset + 1, *place, offset)).rowcount == 0:
            raise Elsewhere
        # What is none of ours has no type, and is passed over: its offset is stored all the same.
        if headers.get("ce_type") == b"payment.completed":
            payment = json.loads(message.value() or b"")["payment"]
            database.execute(ADD, (payment["currency"], payment["amount"]))
    print(message.partition(), offset, flush=True)


def main(bootstrap_servers: str, group: str, database_address: str) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    with psycopg.connect(database_address) as database:
        database.execute(TABLES)
        database.commit()
        consumer.subscribe(["payments.events"], on_assign=partial(go_on, database, group))
        try:
            while True:
                message = consumer.poll(1.0)
                if message is None or message.error() is not None:
                    continue
                try:
                    take(database, group, message)
                except Elsewhere:
                    print("attention: another member has the partition", file=sys.stderr)
        except KeyboardInterrupt:
            pass
        finally:
            consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:4])
