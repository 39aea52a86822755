"""The confirmed position never passes a row that was not acknowledged, whatever the order."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from topics.relay.watermark import Transaction, Watermark


@dataclass
class Model:
    """The specification: a list of all transactions, looked through from the beginning."""

    confirmed: int = 0
    transactions: list[Known] = field(default_factory=list)

    def position(self) -> int:
        for known in self.transactions:
            if known.end is None or known.unacked:
                return self.confirmed
            self.confirmed = max(self.confirmed, known.end)
        return self.confirmed


@dataclass
class Known:
    real: Transaction
    end: int | None = None
    unacked: int = 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.just(0)),
        st.tuples(st.just("send"), st.just(0)),
        st.tuples(st.just("end"), st.just(0)),
        st.tuples(st.just("ack"), st.integers(0, 100)),
        st.tuples(st.just("reached"), st.just(0)),
    ),
    max_size=80,
)


# Two transactions with a row each, and the second is acknowledged first.
_OVERTAKEN = "begin send end begin send end ack".split()


@example([(step, 1) for step in _OVERTAKEN])
@given(STEPS)
def test_the_position_is_the_acknowledged_prefix(steps: list[tuple[str, int]]) -> None:
    """Against a model that looks at everything anew after each step."""
    watermark, model = Watermark(0), Model()
    current: Known | None = None
    lsn = 0
    for step, choice in steps:
        lsn += 8
        unacked = [known for known in model.transactions if known.unacked]
        match step:
            case "begin" if current is None:
                current = Known(watermark.begin(lsn, 0.0))
                model.transactions.append(current)
            case "send" if current is not None:
                watermark.sent(current.real)
                current.unacked += 1
            case "end" if current is not None:
                watermark.end(current.real, lsn)
                current.end, current = lsn, None
            case "ack" if unacked:
                known = unacked[choice % len(unacked)]
                watermark.acked([known.real])
                known.unacked -= 1
            case "reached" if current is None:
                watermark.reached(lsn)
                model.transactions.append(Known(Transaction(None, 0.0), end=lsn))
            case _:
                continue
        assert watermark.confirmed == model.position()
        assert watermark.rows_in_flight == sum(known.unacked for known in model.transactions)


def test_idle_the_servers_position_is_confirmed() -> None:
    """With nothing in flight, what the server has nothing for us before is safe."""
    watermark = Watermark(10)
    watermark.reached(50)
    assert watermark.confirmed == 50


def test_a_keepalive_amid_rows_waits_for_them() -> None:
    """A position after rows in flight is confirmed with them, not before."""
    watermark = Watermark(10)
    transaction = watermark.begin(20, 0.0)
    watermark.sent(transaction)
    watermark.end(transaction, 30)
    watermark.reached(50)
    assert watermark.confirmed == 10
    watermark.acked([transaction])
    assert watermark.confirmed == 50


def test_the_position_never_moves_back() -> None:
    """A batch from the table moves nothing, and an old keepalive is no step back."""
    watermark = Watermark(100)
    refill = watermark.begin(None, 0.0)
    watermark.sent(refill)
    watermark.end(refill, 0)
    watermark.acked([refill])
    watermark.reached(50)
    assert watermark.confirmed == 100


def test_an_acknowledgement_of_nothing_is_refused() -> None:
    """It would let the position pass rows that are still on their way."""
    watermark = Watermark(0)
    transaction = watermark.begin(8, 0.0)
    with pytest.raises(ValueError, match="not in flight"):
        watermark.acked([transaction])


def test_the_oldest_transaction_holds_the_position_back() -> None:
    """It is the one whose age is the relay's lag."""
    watermark = Watermark(0)
    assert watermark.oldest() is None
    first = watermark.begin(8, 1.0)
    watermark.begin(16, 2.0)
    assert watermark.oldest() is first
