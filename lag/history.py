"""What a series of measurements says that one cannot: rates, growth, stalls, ages in time.

Pure: every time is an argument, in seconds of whichever clock the caller uses throughout.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import Final

from lag.report import GroupState

# Long enough for a dozen commits of a Faust stage (one a second), short enough to be "now".
WINDOW_SECONDS: Final = 30.0
# A stage that commits once a second and made no progress in a dozen commits' time is not just slow.
STALL_SECONDS: Final = 12.0
# 6 h at a sample each 2 s; how much older than that a position is makes no difference any more.
LSN_SAMPLES_MAX: Final = 10_800


@dataclass(frozen=True, slots=True)
class Sample:
    """How far a group had come at a time: messages acknowledged in all, and not yet."""

    at: float
    acknowledged: int
    lag: int


class GroupHistory:
    """The last half minute of one group on one topic, or of one partition of it."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()

    def add(self, sample: Sample) -> None:
        """Remember a sample and forget what is older than the window."""
        self._samples.append(sample)
        while self._samples[0].at < sample.at - WINDOW_SECONDS:
            self._samples.popleft()

    @property
    def per_second(self) -> float:
        """Messages acknowledged a second over the window; 0.0 until there are two samples."""
        first, last = self._samples[0], self._samples[-1]
        elapsed = last.at - first.at
        if elapsed == 0.0:
            return 0.0
        return round(max(0.0, (last.acknowledged - first.acknowledged) / elapsed), 3)

    @property
    def drain_seconds(self) -> float | None:
        """Seconds until no lag is left at the pace it shrinks; None when it does not shrink."""
        first, last = self._samples[0], self._samples[-1]
        if last.lag == 0:
            return 0.0
        shrunk = first.lag - last.lag
        return round(last.lag * (last.at - first.at) / shrunk, 3) if shrunk > 0 else None

    def state(self, members: int) -> GroupState:
        """Stopped, stalled, warning or ok, in that order of precedence."""
        if members == 0:
            return GroupState.STOPPED
        if self._is_stalled():
            return GroupState.STALLED
        return GroupState.WARNING if self._is_growing() else GroupState.OK

    def _is_stalled(self) -> bool:
        last = self._samples[-1]
        recent = [s for s in self._samples if s.at >= last.at - STALL_SECONDS]
        covers = last.at - self._samples[0].at >= STALL_SECONDS
        stuck = all(s.lag > 0 and s.acknowledged == last.acknowledged for s in recent)
        return covers and stuck

    def _is_growing(self) -> bool:
        """Every lag of the newer half is above every lag of the older: no saw-tooth of commits."""
        samples = self._samples
        if samples[-1].at - samples[0].at < STALL_SECONDS:
            return False
        middle = (samples[0].at + samples[-1].at) / 2
        older = [s.lag for s in samples if s.at <= middle]
        newer = [s.lag for s in samples if s.at > middle]
        return min(newer) > max(older)


class LsnHistory:
    """When the WAL reached which position, so that a lag in bytes has an age.

    The WAL may stand still: then the end of the plateau counts, because what a reader has
    not confirmed was written after it.
    """

    def __init__(self) -> None:
        self._lsns: list[int] = []
        self._times: list[float] = []

    def add(self, lsn: int, at: float) -> None:
        """Remember that the WAL ended at `lsn` at a time; positions never decrease."""
        if self._lsns and lsn < self._lsns[-1]:  # another server answers: its past is another
            self._lsns.clear()
            self._times.clear()
        self._lsns.append(lsn)
        self._times.append(at)
        if len(self._lsns) > LSN_SAMPLES_MAX:
            del self._lsns[: LSN_SAMPLES_MAX // 2]
            del self._times[: LSN_SAMPLES_MAX // 2]

    def age(self, confirmed: int, now: float) -> float | None:
        """Seconds since the first byte after `confirmed` was written; None without a history.

        At least so many, when it was written before the history began.
        """
        if not self._lsns:
            return None
        if confirmed >= self._lsns[-1]:
            return 0.0
        after = bisect_right(self._lsns, confirmed)
        if after == 0:
            return age_seconds(self._times[0], now)
        from_lsn, to_lsn = self._lsns[after - 1], self._lsns[after]
        share = (confirmed - from_lsn) / (to_lsn - from_lsn)
        written_at = self._times[after - 1] + share * (self._times[after] - self._times[after - 1])
        return age_seconds(written_at, now)


def age_seconds(since: float, now: float) -> float:
    """How long ago, to the millisecond; a moment that another clock puts in the future is now."""
    return round(max(0.0, now - since), 3)
