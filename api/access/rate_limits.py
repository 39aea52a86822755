"""How often an address, a tenant and an account may ask: GCRA in Redis, one for all ingresses.

The generic cell rate algorithm keeps one time per subject: when it would be idle again. A
request moves that time on by one interval and is refused when it would lie more than a
burst ahead. When Redis is away every request passes, and a metric says so.
Headers: draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from api.http.problems import RATE_LIMITED, Problem
from store.batched_redis import RedisAway

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.batched_redis import BatchedRedis
    from telemetry.metrics import Metrics

_PREFIX: Final = b"payments:rate:"
# Redis's own clock, so that the clocks of our processes do not matter. Times are microseconds;
# "%.0f" because Lua would write them with 14 digits. Answers: allowed?, how many may follow at
# once, microseconds until one may follow, microseconds until all may.
_GCRA: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local idle_at = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local moved = idle_at + interval
local ahead = moved - now - burst * interval
if ahead > 0 then
    return {0, 0, math.ceil(ahead), math.ceil(idle_at - now)}
end
redis.call('SET', KEYS[1], string.format('%.0f', moved), 'PX', math.ceil((moved - now) / 1000))
return {1, math.floor(-ahead / interval), 0, math.ceil(moved - now)}
"""
_MICROSECONDS: Final = 1_000_000


class RateClass(StrEnum):
    """Which of a tenant's limits a request counts against."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Limit:
    """So many a second in the long run, and `burst` of them at once."""

    per_second: float
    burst: int


@dataclass(frozen=True, slots=True)
class Subject:
    """What a limit counts: a tenant's requests of one class, payments from one of its accounts.

    Or, of no tenant, all requests from one address.
    """

    limit: str
    tenant_id: str
    within: str = ""


@dataclass(frozen=True, slots=True)
class _Verdict:
    name: str
    limit: Limit
    allowed: bool
    remaining: int
    retry_after_s: float
    reset_s: float


class RateLimiter:
    """Decides by limits named `read`, `write`, `account`, `address`; none is unlimited."""

    def __init__(self, redis: BatchedRedis, limits: Mapping[str, Limit], metrics: Metrics) -> None:
        self._redis = redis
        self._limits = dict(limits)
        self._metrics = metrics.protection
        self._metrics.begin(self._limits)

    def limits(self, name: str) -> bool:
        """Whether there is a limit of that name."""
        return name in self._limits

    async def pass_or_refuse(self, subject: Subject) -> Mapping[str, str]:
        """The headers that tell a client where it stands. Raises Problem over the limit."""
        limit = self._limits.get(subject.limit)
        if limit is None:
            return {}
        try:
            verdict = await self._decide(subject, limit)
        except RedisAway:
            self._metrics.redis_degraded.labels("rate_limit").inc()
            self._metrics.rate_limited.labels(subject.limit, "unavailable").inc()
            return {}
        decision = "allowed" if verdict.allowed else "refused"
        self._metrics.rate_limited.labels(subject.limit, decision).inc()
        if verdict.allowed:
            return _headers(verdict)
        retry_after = {"Retry-After": str(math.ceil(verdict.retry_after_s))}
        raise Problem(
            RATE_LIMITED,
            f"more than {limit.per_second:g} requests a second ({subject.limit} limit)",
            headers={**_headers(verdict), **retry_after},
        )

    async def _decide(self, subject: Subject, limit: Limit) -> _Verdict:
        interval = math.ceil(_MICROSECONDS / limit.per_second)
        answer = await self._redis.ask(
            "EVAL", _GCRA, 1, _name(subject), interval, max(1, limit.burst)
        )
        assert isinstance(answer, list), "the script answers a list"
        allowed, remaining, retry_after, reset = map(int, answer)
        return _Verdict(
            name=subject.limit,
            limit=limit,
            allowed=bool(allowed),
            remaining=remaining,
            retry_after_s=retry_after / _MICROSECONDS,
            reset_s=reset / _MICROSECONDS,
        )


def _headers(verdict: _Verdict) -> dict[str, str]:
    window_s = math.ceil(verdict.limit.burst / verdict.limit.per_second)
    return {
        "RateLimit-Policy": f'"{verdict.name}";q={verdict.limit.burst};w={window_s}',
        "RateLimit": f'"{verdict.name}";r={verdict.remaining};t={math.ceil(verdict.reset_s)}',
    }


def _name(subject: Subject) -> bytes:
    said = f"{subject.limit}\0{subject.tenant_id}\0{subject.within}"
    return _PREFIX + hashlib.sha256(said.encode()).digest()
