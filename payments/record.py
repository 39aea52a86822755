"""What a record of the core is: a frozen msgspec struct, and how it is changed.

A payment's life makes and changes some hundred records; a struct costs a thirtieth of a frozen
dataclass. `replace` makes a copy with some fields different, `__post_init__` included; mypy holds
the fields against the record's, as it does for dataclasses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from dataclasses import replace
else:
    from msgspec.structs import replace

__all__ = ["Struct", "field", "replace"]
