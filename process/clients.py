"""Who a client is, behind proxies: by the address it comes from, unless a proxy of ours says more.

What a client writes into a header is no address. Only whom the settings trust is believed what it
adds, and of what it passes on nothing beyond the nearest address that is not trusted.
Sources: RFC 7239 (Forwarded); X-Forwarded-For as balancers write it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiohttp import web

ProxyHeader: TypeAlias = Literal["X-Forwarded-For", "Forwarded"]
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_FOR: Final = re.compile(r'(?:^|;)\s*for="?([^";]*)"?', re.IGNORECASE)
_WITH_PORT: Final = re.compile(r"\[([^\]]*)\](?::\d+)?|([^:]*):\d+")
# What one customer of a provider has of the IPv6 addresses, as a rule.
_ONE_CUSTOMERS: Final = 64


@dataclass(frozen=True, slots=True)
class Proxies:
    """Networks of proxies that are believed, and the one header they write; none by default."""

    networks: tuple[_Network, ...] = ()
    header: ProxyHeader = "X-Forwarded-For"

    def client_of(self, request: web.BaseRequest) -> str:
        """The address of whoever asks; empty on a Unix socket."""
        peer = request.remote or ""
        return self.client(peer, request.headers.getall(self.header, ())) if self.networks else peer

    def client(self, peer: str, said: Sequence[str]) -> str:
        """Of whom the connection comes from, and what its header says, line by line."""
        nearest = _parsed(peer)
        if nearest is None or not self._trusts(nearest):
            return peer
        for passed_on in self._passed_on(said):
            address = _parsed(passed_on)
            if address is None:
                break
            nearest = address
            if not self._trusts(address):
                break
        return str(nearest)

    def _trusts(self, address: _Address) -> bool:
        return any(address in network for network in self.networks)

    def _passed_on(self, said: Sequence[str]) -> Iterator[str]:
        """The nearest first: each proxy adds behind what it was sent."""
        for each in reversed(",".join(said).split(",")):
            if self.header == "X-Forwarded-For":
                yield each.strip()
            else:
                found = _FOR.search(each)
                yield found[1].strip() if found else ""


# Nothing stands before us, as far as we know.
NOBODY: Final = Proxies()


def networks_of(text: str) -> tuple[_Network, ...]:
    """Of networks or addresses, separated by commas. Raises ValueError."""
    named = (each.strip() for each in text.split(","))
    return tuple(ipaddress.ip_network(each) for each in named if each)


def customer_of(client: str) -> str:
    """What is counted as one client: an IPv4 address, or the network an IPv6 one is in."""
    address = _parsed(client)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _ONE_CUSTOMERS), strict=False))
    return client


def _parsed(text: str) -> _Address | None:
    """None for what a proxy hides, or does not know."""
    with_port = _WITH_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address((with_port[1] or with_port[2]) if with_port else text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
