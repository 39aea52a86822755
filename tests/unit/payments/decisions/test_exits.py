"""Nothing is without an exit: no state waits for what a provider may never say.

From every situation of both tables all commands, timers and notifications are tried, one after
the other, but for a provider's certain answers, until the payment or the refund has ended.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final, TypeVar

import pytest

from payments.decision import Decision
from payments.payment import TERMINAL
from payments.refund import RefundStatus
from tests.support.payments.payment_paths import (
    COMMANDS,
    OUTCOMES,
    SITUATIONS,
    UNCERTAIN,
    Scene,
    scene_of,
)
from tests.support.payments.refund_paths import COMMANDS as REFUND_COMMANDS
from tests.support.payments.refund_paths import PATHS as REFUND_PATHS
from tests.support.payments.refund_paths import RefundScene, refund_scene_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SceneT = TypeVar("SceneT", Scene, RefundScene)

_ANSWERS: Final = {
    prefix + name for name in OUTCOMES if name not in UNCERTAIN for prefix in ("", "late_")
}
_REFUND_ENDED: Final = frozenset({RefundStatus.COMPLETED, RefundStatus.FAILED})
# Its worker falls silent, a further one does, an operator decides: no way out is longer.
_STEPS_MAX: Final = 3


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_payment_can_end_though_its_provider_never_says_for_certain(situation: str) -> None:
    """By its client, by time, or by an operator."""

    def has_ended(scene: Scene) -> bool:
        return scene.payment.status in TERMINAL

    assert _way_out(lambda: scene_of(situation), COMMANDS, has_ended) is not None


@pytest.mark.parametrize("situation", REFUND_PATHS)
def test_every_refund_can_end_though_its_provider_never_says_for_certain(situation: str) -> None:
    """By an operator, in the end: nobody else can tell whether the money came back."""

    def has_ended(scene: RefundScene) -> bool:
        return scene.refund.status in _REFUND_ENDED

    way_out = _way_out(lambda: refund_scene_of(situation), REFUND_COMMANDS, has_ended)
    assert way_out is not None


def _way_out(
    begin: Callable[[], SceneT], commands: Iterable[str], has_ended: Callable[[SceneT], bool]
) -> tuple[str, ...] | None:
    """The shortest series of commands that ends it, empty if it has ended; None without one."""
    names = [name for name in commands if name not in _ANSWERS]
    for steps in range(_STEPS_MAX + 1):
        for path in product(names, repeat=steps):
            scene = begin()
            outcomes = (scene.desk.ask(scene.command(name)) for name in path)
            if all(isinstance(each, Decision) for each in outcomes) and has_ended(scene):
                return path
    return None
