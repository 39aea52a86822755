"""Which keys this process has seen lately, in a few megabytes: who has seen one may see it again.

Never wrong about a key it has seen within its last `KEYS_MAX`; about one it has not, once in a
billion times.
"""

from __future__ import annotations

from typing import Final

# Twice as many are remembered at the most: at a thousand a second, who asks again within a minute
# is known. Each costs some 100 bytes.
KEYS_MAX: Final = 65_536


class RecentKeys:
    """Two generations of keys: when the younger one is full, the older one is forgotten."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._younger: set[int] = set()
        self._older: set[int] = set()

    def seen(self, tenant_id: str, key: str) -> bool:
        """Whether it was asked for before; from now on it was."""
        name = hash((tenant_id, key))
        if name in self._younger:
            return True
        if len(self._younger) >= self._keys_max:
            self._younger, self._older = set(), self._younger
        self._younger.add(name)
        return name in self._older
