"""A system account that was committed is not inserted again, for a while."""

from __future__ import annotations

from payments.decision import Decision
from store.write.known_systems import KnownSystems
from tests.support.payments.payment_paths import scene_of


def _needing() -> Decision:
    return next(each for each in scene_of("completed").desk.decided if each.system_accounts)


def test_what_was_committed_is_known_and_what_was_not_is_not() -> None:
    """A batch that was rolled back is learnt nothing from."""
    known, decision = KnownSystems(), _needing()
    needed = known.unknown([decision, decision])
    assert needed == sorted({*decision.system_accounts}, key=lambda each: each.id)
    assert known.unknown([decision]) == needed
    known.learn(needed)
    assert known.unknown([decision]) == []


def test_it_is_believed_for_a_moment_and_not_of_a_server_that_was_away() -> None:
    """A database may have been put back to before there was one."""
    now = 0.0
    known, decision = KnownSystems(lambda: now), _needing()
    needed = known.unknown([decision])
    known.learn(needed)
    now += 4.9
    assert known.unknown([decision]) == []
    now += 0.1
    assert known.unknown([decision]) == needed
    known.learn(needed)
    known.forget()
    assert known.unknown([decision]) == needed
