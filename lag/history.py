"""What a series of measurements says that one cannot: rates, growth, stalls, ages in time.

Pure: every time is an argument, in seconds of whichever clock the caller uses throughout.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
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
    """How far a group had come at a time: messages acknowledged in all, and not yet.

    `is_owned`: some member had the partition.
    """

    at: float
    acknowledged: int
    lag: int
    is_owned: bool = True


class GroupHistory:
    """The last half minute of one group on one partition of a topic, or on all of it."""

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
        if not self._samples:
            return 0.0
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
        """By Burrow's rules, the worst first, of what was seen from outside.

        Nobody sees here when a group commits, so that one whose offsets stand still is stopped if
        no member has the partition, and else stalled. Until the samples reach back far enough
        nothing is held against it. Source:
        https://github.com/linkedin/Burrow/wiki/Consumer-Lag-Evaluation-Rules
        """
        if members == 0:
            return GroupState.STOPPED
        if self._samples[-1].lag == 0:
            return GroupState.OK
        if self._is_rewound():
            return GroupState.REWIND
        recent = self._since(self._samples[-1].at - STALL_SECONDS)
        if self._samples[-1].at - self._samples[0].at < STALL_SECONDS or _was_ever_done(recent):
            return GroupState.OK
        if not any(sample.is_owned for sample in recent):
            return GroupState.STOPPED
        if len({sample.acknowledged for sample in recent}) == 1:
            return GroupState.STALLED
        return GroupState.WARNING if self._falls_behind() else GroupState.OK

    def _since(self, at: float) -> list[Sample]:
        return [sample for sample in self._samples if sample.at >= at]

    def _is_rewound(self) -> bool:
        """It is behind where it was: it repeats what it had done."""
        return self._samples[-1].acknowledged < max(each.acknowledged for each in self._samples)

    def _falls_behind(self) -> bool:
        """The lag never shrank, or every later one is above every earlier: no saw-tooth of commits.

        The first is Burrow's rule; a busy group's commits make the lag shrink now and then, though
        it falls behind.
        """
        samples = self._samples
        if _was_ever_done(samples):
            return False
        if all(after.lag >= before.lag for before, after in pairwise(samples)):
            return True
        middle = (samples[0].at + samples[-1].at) / 2
        older = [s.lag for s in samples if s.at <= middle]
        newer = [s.lag for s in samples if s.at > middle]
        return min(newer) > max(older)


def _was_ever_done(samples: Iterable[Sample]) -> bool:
    return any(sample.lag == 0 for sample in samples)


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
