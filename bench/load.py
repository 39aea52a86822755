"""The load generator, in a process of its own: so many connections, or so many a second.

It is bounded in count and in time. In a closed loop each connection sends its next
payment when the last one was answered; in an open loop payments are sent at their times
whatever the answers do, and a slow answer counts from when it should have been sent.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import count
from random import Random
from typing import Final
from uuid import uuid4

import aiohttp
import uvloop

from bench.figures import percentile
from process.addresses import KafkaAddress
from topics.kafka import reader
from topics.names import EVENTS

_ACCEPTED: Final = 202
# What comes of a request whose connection is refused, reset or closed: it is counted as a status.
_NO_ANSWER: Final = "none"
# After the last payment was sent: whatever has not completed by then is not counted.
_COMPLETE_WITHIN_S: Final = 60.0
_FETCH_MS: Final = 50
# Bytes, made by one substitution: the generator should cost as little as it can.
_BODY: Final = (
    b'{"payment_type": "external_payment", "source_account_id": "%s", "amount": 1.00, '
    b'"currency": "USD", "provider": "%s"}'
)


@dataclass(frozen=True, slots=True)
class Load:
    """What to send; `rate` a second makes an open loop; `kafka` adds waiting for the end.

    `key` is an API key, where the ingress asks for one. `is_timed` has the outcome say when each
    payment should have been sent.
    """

    url: str
    accounts: list[str]
    seconds: float
    payments_max: int = 500_000
    connections: int = 64
    rate: float | None = None
    kafka: str | None = None
    provider: str = "stripe"
    key: str | None = None
    is_timed: bool = False
    in_flight_max: int = 2_000
    # Of a run that is repeated: the same keys, in the same order.
    name: str | None = None
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it; latencies in milliseconds."""

    seconds: float
    statuses: dict[str, int]
    answer_p50_ms: float
    answer_p99_ms: float
    completed: int
    completed_p50_ms: float
    completed_p99_ms: float
    # What the generator itself took from the two cores.
    cpu_seconds: float
    # Unix seconds, by payment id.
    due_at: dict[str, float] = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        return self.statuses.get(str(_ACCEPTED), 0)


async def generated(load: Load) -> Outcome:
    """Run the generator beside whoever asks. Raises RuntimeError when it fails."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.load"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # A share of the cores of its own, whatever else its starter does beside it.
        start_new_session=True,
    )
    try:
        printed, _ = await process.communicate(json.dumps(asdict(load)).encode())
    finally:
        if process.returncode is None:  # whoever measures was told to stop
            process.kill()
    if process.returncode != 0:
        raise RuntimeError(f"the load generator ended with exit code {process.returncode}")
    return Outcome(**json.loads(printed))


@dataclass(slots=True)
class _Generator:
    load: Load
    http: aiohttp.ClientSession
    random: Random
    # No two runs share a key: a replay costs less than a payment.
    run_name: str = ""
    numbers: Iterator[int] = field(default_factory=count)
    statuses: Counter[str] = field(default_factory=Counter)
    answers_s: list[float] = field(default_factory=list)
    due: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def closed_loop(self, deadline: float) -> None:
        """One connection."""
        while time.perf_counter() < deadline and len(self.answers_s) < self.load.payments_max:
            await self.send(time.perf_counter())

    async def open_loop(self, deadline: float, rate: float) -> None:
        """A payment every so often, by the clock alone."""
        started = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in range(self.load.payments_max):
                due = started + number / rate
                if due >= deadline or number - len(self.answers_s) > self.load.in_flight_max:
                    break
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                tasks.create_task(self.send(due))

    async def send(self, due: float) -> None:
        account_id = self.random.choice(self.load.accounts).encode()
        provider = self.load.provider.encode()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"{self.run_name}-{next(self.numbers)}",
        }
        try:
            async with self.http.post(
                "/api/v1/payments", data=_BODY % (account_id, provider), headers=headers
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            self.statuses[_NO_ANSWER] += 1
            return
        finally:
            self.answers_s.append(time.perf_counter() - due)
        self.statuses[str(answer.status)] += 1
        if (self.load.kafka or self.load.is_timed) and answer.status == _ACCEPTED:
            self.due[json.loads(content)["id"]] = due

    async def watch(self, kafka: str, ready: asyncio.Event) -> None:
        """When each payment's completion comes to a consumer of `payments.events`."""
        async with reader(KafkaAddress(kafka), "payments-bench", EVENTS.name) as events:
            await events.seek_to_end()
            for partition in events.assignment():
                await events.position(partition)
            ready.set()
            while True:
                fetched = await events.getmany(timeout_ms=_FETCH_MS)
                now = time.perf_counter()
                for records in fetched.values():
                    for record in records:
                        if ("ce_type", b"payment.completed") in record.headers:
                            self.ended[record.key.decode()] = now
                if fetched:
                    self.heard.set()

    async def run(self) -> float:
        """Send, and with a broker to watch wait for the ends; the seconds of sending."""
        async with asyncio.TaskGroup() as tasks:
            watching, ready = None, asyncio.Event()
            if self.load.kafka:
                watching = tasks.create_task(self.watch(self.load.kafka, ready))
                await ready.wait()
            started = time.perf_counter()
            await self._send_all(started + self.load.seconds)
            seconds = time.perf_counter() - started
            if watching is not None:
                await self._until_ended()
                watching.cancel()
        return seconds

    async def _send_all(self, deadline: float) -> None:
        if self.load.rate:
            await self.open_loop(deadline, self.load.rate)
            return
        async with asyncio.TaskGroup() as connections:
            for _ in range(self.load.connections):
                connections.create_task(self.closed_loop(deadline))

    async def _until_ended(self) -> None:
        deadline = time.perf_counter() + _COMPLETE_WITHIN_S
        while self.due.keys() - self.ended.keys() and time.perf_counter() < deadline:
            self.heard.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.heard.wait(), deadline - time.perf_counter())


async def _main() -> None:
    load = Load(**json.loads(sys.stdin.read()))
    connector = aiohttp.TCPConnector(limit=0 if load.rate else load.connections)
    headers = {"Authorization": f"Bearer {load.key}"} if load.key else {}
    async with aiohttp.ClientSession(load.url, connector=connector, headers=headers) as http:
        name = load.name or f"bench-{uuid4()}"
        generator = _Generator(load, http, Random(load.seed), run_name=name)
        seconds = await generator.run()
    answers = sorted(generator.answers_s)
    ends = sorted(
        ended - generator.due[payment_id]
        for payment_id, ended in generator.ended.items()
        if payment_id in generator.due
    )
    used = resource.getrusage(resource.RUSAGE_SELF)
    outcome = Outcome(
        seconds=seconds,
        statuses=dict(generator.statuses),
        answer_p50_ms=1000 * percentile(answers, 0.5),
        answer_p99_ms=1000 * percentile(answers, 0.99),
        completed=len(ends),
        completed_p50_ms=1000 * percentile(ends, 0.5),
        completed_p99_ms=1000 * percentile(ends, 0.99),
        cpu_seconds=used.ru_utime + used.ru_stime,
        due_at=_in_unix_seconds(generator.due) if load.is_timed else {},
    )
    sys.stdout.write(json.dumps(asdict(outcome)))


def _in_unix_seconds(due: dict[str, float]) -> dict[str, float]:
    since_1970 = time.time() - time.perf_counter()
    return {payment_id: at + since_1970 for payment_id, at in due.items()}


if __name__ == "__main__":
    uvloop.run(_main())
