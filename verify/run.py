"""One verification: what is read in which order, and what is said where something is away.

First the database in one snapshot, then the relays get a moment to pass it on, then
the topics and the provider's journal are read, which may be newer and are judged so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp
from aiokafka.errors import KafkaError

from store import redis
from topics.names import CARRIED
from verify.archive import read_archive
from verify.database import read_baseline
from verify.invariants import CheckResult
from verify.messages import compare
from verify.provider import JUDGES, check_charges
from verify.quiescence import Quiescence, lag_result
from verify.relays import Relays

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from lag import LagExporter
    from verify.database import Baseline, Connection
    from verify.invariants import Violation
    from verify.provider import ProviderJournal
    from verify.topics import Log


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that is asked: `logs` by name; `journal` where the provider is a simulator.

    Relays read the outbox's `source`.
    """

    connection: Connection
    exporter: LagExporter
    source: str
    logs: Mapping[str, AbstractAsyncContextManager[Log]]
    journal: ProviderJournal | None


@dataclass(frozen=True, slots=True)
class Verification:
    """Everything that was found, and of which moment."""

    results: tuple[CheckResult, ...]
    taken_at: datetime


async def verified(
    sources: Sources,
    *,
    outbox_retention_s: float,
    wait_s: float | None,
    archive: Path | None = None,
) -> Verification:
    """Check every invariant, at first waiting up to `wait_s` for quiescence, unless it is None.

    History that was archived is read from the folder `archive`.

    Raises what asyncpg raises, and nothing else.
    """
    relays = Relays(sources.connection, sources.source, [*sources.logs])
    quiescence = Quiescence(sources.connection, sources.exporter, relays)
    restless = () if wait_s is None else await quiescence.within(wait_s)
    archived = await read_archive(sources.connection, archive)
    baseline = await read_baseline(sources.connection, outbox_retention_s=outbox_retention_s)
    # What the baseline sees was written before.
    behind = await relays.not_reached(await relays.written())
    results = [
        *baseline.results,
        *archived,
        *await _compared(sources, baseline, behind),
        *await _charged(sources, baseline),
        lag_result(await sources.exporter.refresh(), behind.values()),
    ]
    if wait_s is not None:
        results.append(CheckResult("I13", "rest", len(restless), restless))
    return Verification(tuple(results), datetime.now(UTC))


async def _compared(
    sources: Sources, baseline: Baseline, behind: Mapping[str, Violation]
) -> list[CheckResult]:
    """Each log against the baseline; of one that is away nothing can be told."""
    results: list[CheckResult] = []
    for name, opened in sources.logs.items():
        why = f"its relay {behind[name].problem}" if name in behind else None
        topics = [each.name for each in CARRIED[name]]
        try:
            async with opened as log:
                comparison, coverage = await compare(log, topics, baseline)
        except (KafkaError, *redis.AWAY) as error:
            away = str(error) or type(error).__name__
            results += [CheckResult(each, name, unchecked=away) for each in ("I7", "I8", "I14")]
        else:
            results += await comparison.results(sources.connection, coverage, behind=why)
    return results


async def _charged(sources: Sources, baseline: Baseline) -> list[CheckResult]:
    if sources.journal is None:
        why = "no simulator is asked"
        return [CheckResult(each, "provider", unchecked=why, excused=True) for each in JUDGES]
    try:
        return await check_charges(sources.connection, sources.journal, baseline.charges)
    except (aiohttp.ClientError, OSError) as error:
        away = f"the simulator does not answer: {error}"
        return [CheckResult(each, "provider", unchecked=away) for each in JUDGES]
