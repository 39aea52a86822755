"""Where webhooks may be sent: by a URL's text, and by the address that a connection is made to.

A tenant names the URL and we make the request, from within our own network. So only addresses of
the public internet are connected to, over TLS; what else an operator allows (`networks`) is for
development, and there without TLS, too. The address that counts is the one connected to: a name
may lead elsewhere by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final
from urllib.parse import SplitResult, urlsplit

URL_LENGTH_MAX: Final = 2048

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Of addresses that registries, or older Pythons, call global, those that lead within a network all
# the same: the hosts of Azure's and Oracle's virtual machines, and the translations of IPv6 to IPv4
# (RFC 6052, RFC 8215).
_NOT_PUBLIC: Final[tuple[Network, ...]] = tuple(
    map(ip_network, ("168.63.129.16/32", "192.0.0.0/24", "64:ff9b::/96", "64:ff9b:1::/48"))
)


@dataclass(frozen=True, slots=True)
class Reach:
    """What may be connected to, beside the public internet."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, text: str) -> Reach:
        """The networks in a setting, with commas between them. Raises ValueError."""
        return cls(tuple(ip_network(each.strip()) for each in text.split(",") if each.strip()))

    def takes(self, address: Address, *, is_encrypted: bool) -> bool:
        """Whether an address may be connected to."""
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        meant = mapped or address
        if any(meant in each for each in self.networks):
            return True
        return is_encrypted and _is_public(meant)

    def refusal(self, url: str) -> str | None:
        """Why nothing can be sent there, as the end of a sentence; None for what may be tried."""
        if len(url) > URL_LENGTH_MAX or not url.isascii() or not url.isprintable() or " " in url:
            return f"must be a URL of at most {URL_LENGTH_MAX} visible ASCII characters"
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            return "must be a URL like https://shop.example/webhooks"
        return self._refusal_of(parts, host)

    def _refusal_of(self, parts: SplitResult, host: str | None) -> str | None:
        if parts.scheme != "https" and not (parts.scheme == "http" and self.networks):
            return "must begin with https://"
        if not host or parts.port == 0:
            return "must name a host"
        if parts.username is not None or parts.password is not None or parts.fragment:
            return "must have no user, password or fragment"
        try:
            address = ip_address(host)
        except ValueError:
            return None
        is_encrypted = parts.scheme == "https"
        if not self.takes(address, is_encrypted=is_encrypted):
            return "must lead to the public internet"
        return None


def _is_public(address: Address) -> bool:
    if (
        not address.is_global
        or address.is_multicast
        or any(address in each for each in _NOT_PUBLIC)
    ):
        return False
    if isinstance(address, IPv6Address):
        # Tunnels have an IPv4 address within: what they lead to is that one.
        within = [address.sixtofour, *(address.teredo or ())]
        return all(each.is_global for each in within if each is not None)
    return True
