"""What a page of a long list found, and how far it read to find it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

ItemT_co = TypeVar("ItemT_co", covariant=True)
PositionT = TypeVar("PositionT")


@dataclass(frozen=True, slots=True)
class Found(Generic[ItemT_co, PositionT]):
    """The items of a page; if they are few, `read_to` is where the next one goes on, if anywhere.

    A filter that hardly anything passes would otherwise read all there is for one page.
    """

    items: Sequence[ItemT_co]
    read_to: PositionT | None
