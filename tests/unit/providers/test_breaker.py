"""The circuit breaker, on a clock the test turns by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from payments.outcome import Deferred
from payments.provider_state import ProviderState
from providers.breaker import Breaker, BreakerPolicy, CircuitState, Fault

_OPEN_S = 30.0
_BROKEN = Fault(ProviderState.CIRCUIT_OPEN, "HTTP 500")
_UNREACHED = Fault(ProviderState.UNREACHABLE, "no connection")
_REFUSED = Fault(ProviderState.REFUSING_CREDENTIALS, "the key is revoked")


def broken_unless(ok: bool | Deferred) -> Fault | None:  # noqa: FBT001 - a breaker's question
    """What the answers of these tests mean."""
    return None if ok else _BROKEN


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Circuit:
    """A breaker and the calls that reached the provider behind it."""

    clock: Clock = field(default_factory=Clock)
    reached: int = 0
    breaker: Breaker = field(init=False)

    def __post_init__(self) -> None:
        self.breaker = Breaker(BreakerPolicy(), self.clock)

    def state(self) -> CircuitState:
        return self.breaker.state

    async def call(self, *, ok: bool) -> bool | Deferred:
        async def ask() -> bool:
            self.reached += 1
            return ok

        return await self.breaker.call(ask, broken_unless)

    async def calls(self, answers: Iterable[bool]) -> None:
        for ok in answers:
            await self.call(ok=ok)

    async def opened(self) -> Circuit:
        await self.calls([False] * 10)
        assert self.state() is CircuitState.OPEN
        self.reached = 0
        return self


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ([False] * 9, CircuitState.CLOSED),
        ([False] * 10, CircuitState.OPEN),
        ([True] * 4 + [False] * 6, CircuitState.OPEN),
        ([True] * 5 + [False] * 5, CircuitState.CLOSED),
        ([True, False] * 4 + [False] * 2, CircuitState.OPEN),
        ([False] * 5 + [True] * 10 + [False] * 5, CircuitState.CLOSED),
    ],
)
async def test_it_opens_when_six_of_the_last_ten_calls_failed(
    answers: list[bool], state: CircuitState
) -> None:
    """Fewer than ten calls prove nothing, and old ones are forgotten."""
    circuit = Circuit()
    await circuit.calls(answers)
    assert circuit.state() is state


async def test_the_call_that_opens_the_circuit_keeps_its_answer() -> None:
    """It went out, so its own outcome counts and not the state of a breaker."""
    circuit = Circuit()
    await circuit.calls([False] * 9)
    assert await circuit.call(ok=False) is False
    assert circuit.state() is CircuitState.OPEN


async def test_while_open_nothing_reaches_the_provider() -> None:
    """What is refused says when it may come back."""
    circuit = await Circuit().opened()
    circuit.clock.now_s += 12.5
    assert await circuit.call(ok=True) == Deferred("circuit_open", _OPEN_S - 12.5)
    assert circuit.breaker.refusal() == Deferred("circuit_open", _OPEN_S - 12.5)
    assert circuit.reached == 0


async def test_a_good_trial_closes_it_and_the_window_starts_anew() -> None:
    """After the pause one call goes through; the failures of before are forgotten."""
    circuit = await Circuit().opened()
    circuit.clock.now_s += _OPEN_S
    assert await circuit.call(ok=True) is True
    assert circuit.state() is CircuitState.CLOSED
    await circuit.calls([False] * 9)
    assert circuit.state() is CircuitState.CLOSED
    await circuit.call(ok=False)
    assert circuit.state() is CircuitState.OPEN


async def test_a_bad_trial_opens_it_for_the_whole_time_again() -> None:
    """One failed trial is enough, and it keeps its own answer too."""
    circuit = await Circuit().opened()
    circuit.clock.now_s += _OPEN_S
    assert await circuit.call(ok=False) is False
    assert circuit.breaker.refusal() == Deferred("circuit_open", _OPEN_S)


async def test_half_open_it_lets_one_call_through() -> None:
    """A provider that is coming back is not run over by everything that waited."""
    circuit = await Circuit().opened()
    circuit.clock.now_s += _OPEN_S
    release = asyncio.Event()

    async def slow() -> bool:
        await release.wait()
        return True

    async with asyncio.TaskGroup() as tasks:
        trial = tasks.create_task(circuit.breaker.call(slow, broken_unless))
        await asyncio.sleep(0)
        assert circuit.state() is CircuitState.HALF_OPEN
        assert await circuit.call(ok=True) == Deferred("circuit_open", 1.0)
        release.set()
    assert trial.result() is True
    assert circuit.state() is CircuitState.CLOSED
    assert circuit.reached == 0


async def test_a_cancelled_trial_makes_room_for_another() -> None:
    """A trial without an answer decides nothing and does not block the circuit for ever."""
    circuit = await Circuit().opened()
    circuit.clock.now_s += _OPEN_S
    trial = asyncio.ensure_future(circuit.breaker.call(asyncio.Event().wait, broken_unless))
    await asyncio.sleep(0)
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    assert await circuit.call(ok=True) is True
    assert circuit.state() is CircuitState.CLOSED


async def test_calls_from_before_it_opened_do_not_prolong_the_pause() -> None:
    """What was under way when the circuit opened and fails later is no news."""
    circuit = Circuit()
    release = asyncio.Event()

    async def slow() -> bool:
        await release.wait()
        return False

    async with asyncio.TaskGroup() as tasks:
        for _ in range(12):
            tasks.create_task(circuit.breaker.call(slow, broken_unless))
        await asyncio.sleep(0)
        await circuit.calls([False] * 10)
        circuit.clock.now_s += 20.0
        release.set()
    assert circuit.breaker.refusal() == Deferred("circuit_open", 10.0)


async def test_an_exception_passes_and_counts_as_a_failure() -> None:
    """A gateway never raises; if one does it is our defect, and it must be seen."""
    circuit = Circuit()

    async def broken() -> bool:
        raise ZeroDivisionError

    for _ in range(9):
        with pytest.raises(ZeroDivisionError):
            await circuit.breaker.call(broken, broken_unless)
    await circuit.call(ok=False)
    assert circuit.state() is CircuitState.OPEN


@pytest.mark.parametrize("fault", [_UNREACHED, _REFUSED])
async def test_who_is_turned_away_three_times_in_a_row_tries_less_and_less_often(
    fault: Fault,
) -> None:
    """Nothing is lost by trying, and nothing won by trying often: from a second to fifteen."""
    circuit = Circuit()

    async def refused() -> bool:
        return False

    pauses = []
    for _ in range(3):
        assert circuit.state() is CircuitState.CLOSED
        await circuit.breaker.call(refused, lambda _: fault)
    for _ in range(6):
        refusal = circuit.breaker.refusal()
        assert refusal is not None
        assert refusal.reason == fault.state.value
        assert circuit.breaker.fault == fault
        pauses.append(refusal.retry_after_s)
        circuit.clock.now_s += refusal.retry_after_s
        assert circuit.state() is CircuitState.HALF_OPEN
        await circuit.breaker.call(refused, lambda _: fault)
    assert pauses == [1, 2, 4, 8, 15, 15]
    circuit.clock.now_s += 15
    assert await circuit.call(ok=True) is True
    assert circuit.breaker.fault is None


async def test_one_that_is_let_in_between_is_not_turned_away() -> None:
    """A call that fails for want of a connection, now and then, stops nobody."""
    circuit = Circuit()

    async def refused() -> bool:
        return False

    for _ in range(10):
        await circuit.breaker.call(refused, lambda _: _UNREACHED)
        await circuit.breaker.call(refused, lambda _: _UNREACHED)
        await circuit.calls([True] * 3)
    assert circuit.state() is CircuitState.CLOSED
