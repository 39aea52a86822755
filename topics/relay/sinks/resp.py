"""Encodes stream entries for Redis, fast: the names of an entry's fields hardly ever change.

Every combination of field names is turned into one template once, and an entry is one
interpolation of its values. Source: the Redis serialization protocol (RESP).
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache


def command(arguments: Iterable[bytes]) -> bytes:
    """A command as Redis reads it."""
    encoded = [argument(value) for value in arguments]
    return b"*%d\r\n%b" % (len(encoded), b"".join(encoded))


def argument(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def fields(pairs: Sequence[tuple[str, bytes]]) -> bytes:
    """Names and values as arguments, one after the other."""
    template = _template(tuple([name for name, _ in pairs]))
    return template % tuple([part for _, value in pairs for part in (len(value), value)])


@lru_cache(maxsize=64)
def _template(names: tuple[str, ...]) -> bytes:
    return b"".join(
        argument(name.encode()).replace(b"%", b"%%") + b"$%d\r\n%b\r\n" for name in names
    )
