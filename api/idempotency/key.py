"""The Idempotency-Key of a request, and the fingerprint of the request it stands for.

The bare form and the quoted one of draft-ietf-httpapi-idempotency-key-header-07 (a
structured-field string, RFC 8941) mean the same key.
"""

from __future__ import annotations

import hashlib
import re
from enum import Enum
from typing import TYPE_CHECKING, Final

from api.http.problems import IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_MISSING, Problem
from api.http.strict_json import canonical

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER: Final = "Idempotency-Key"

# What a client may send, for the document: the bare form begins with no quote.
PATTERN: Final = r'^([!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}")$'

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_QUOTED: Final = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_ESCAPE: Final = re.compile(r"\\(.)")


class KeyUse(Enum):
    """What a route makes of an Idempotency-Key."""

    REQUIRED = "required"
    ACCEPTED = "accepted"
    IGNORED = "ignored"


def key_of(headers: Sequence[str], use: KeyUse) -> str | None:
    """The key in the values of the header, as the route uses it. Raises Problem (400)."""
    if use is KeyUse.IGNORED:
        return None
    if not headers:
        if use is KeyUse.REQUIRED:
            raise Problem(
                IDEMPOTENCY_KEY_MISSING,
                f"send an {HEADER} header, such as a UUID, and the same one when you try again",
            )
        return None
    key = headers[0].strip(" \t")
    if key.startswith('"'):
        quoted = _QUOTED.fullmatch(key)
        key = _ESCAPE.sub(r"\1", quoted[1]) if quoted else ""
    if len(headers) > 1 or not _KEY.fullmatch(key):
        raise Problem(
            IDEMPOTENCY_KEY_INVALID,
            f"the {HEADER} must be one value of 1 to 255 visible ASCII characters",
        )
    return key


def fingerprint(method: str, path: str, body: object) -> bytes:
    """SHA-256 of what makes two requests the same: method, path and the body's value.

    `If-Match` is no part of it: it says when the request may be performed, not what it is.
    Whoever lost the answer to a payment, and looks at the account before trying again, names
    the version that payment itself made; under the same key that must lead to the payment.
    """
    return hashlib.sha256(b"\n".join((method.encode(), path.encode(), canonical(body)))).digest()
