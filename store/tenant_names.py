"""What a tenant may be called: whose accounts, payments and keys something is.

Who makes a key names its tenant, and so may any message: what no index holds is nobody's name.
"""

from __future__ import annotations

from typing import Final

# At most four bytes each: with what else stands in a row of an index far from the 2704 bytes of
# which Postgres takes no more.
TENANT_LENGTH_MAX: Final = 255


def is_tenant_name(said: str) -> bool:
    """Whether a tenant may be called so."""
    return bool(said.strip()) and len(said) <= TENANT_LENGTH_MAX
