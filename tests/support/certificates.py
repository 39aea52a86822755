"""Certificates of an authority that a test trusts, and of one that nobody does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Paper:
    """A certificate with its chain, its key, and both in one file, as files."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """Issues into `directory`; `authority` is the file that says who it is."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._ca = trustme.CA()
        self.authority = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(self.authority)

    def issue(self, name: str, *names: str, is_expired: bool = False) -> Paper:
        """For these host names; for whoever connects, its own name is enough."""
        yesterday = datetime.now(UTC) - timedelta(days=1)
        issued = self._ca.issue_cert(
            *(names or (name,)),
            common_name=name,
            not_before=yesterday - timedelta(days=1),
            not_after=yesterday if is_expired else None,
        )
        chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
        # The one form that Java reads as well.
        key = load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        paper = Paper(*(self._directory / f"{name}.{part}" for part in ("crt", "key", "pem")))
        paper.certificate.write_bytes(chain)
        paper.key.write_bytes(key)
        paper.both.write_bytes(key + chain)
        return paper
