"""Which proxy leads to a URL, by the variables that every program knows.

`HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` as curl and Python's `urllib` read them, in small letters
first. No proxy leads to this machine, nor to a name without a dot, which is of our own network
alone: the simulator, beside us or in the next container, is always asked directly.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

# Those that aiohttp can speak to; a text without one means the first, as everywhere.
_SCHEMES: Final = ("http", "https")
_PORTS: Final = {"http": 80, "https": 443}


def proxy_for(url: str, environment: Mapping[str, str]) -> str | None:
    """The proxy's URL, credentials included, or None: ask directly."""
    asked = urlsplit(url)
    proxy = _value(f"{asked.scheme}_proxy", environment)
    if not proxy or asked.hostname is None or _is_near(asked.hostname):
        return None
    is_exempt = _is_exempt(asked, _value("no_proxy", environment))
    return None if is_exempt else _url(proxy).geturl()


def proxy_complaints(environment: Mapping[str, str]) -> list[str]:
    """One sentence for each variable that names no proxy we can ask, without its credentials."""
    return [
        f"{name.upper()}: expected the URL of a proxy like http://proxy.example:3128."
        for name in ("https_proxy", "http_proxy")
        if (proxy := _value(name, environment)) and not _is_proxy(proxy)
    ]


def _value(name: str, environment: Mapping[str, str]) -> str:
    return (environment.get(name) or environment.get(name.upper()) or "").strip()


def _url(proxy: str) -> SplitResult:
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}")


def _is_proxy(proxy: str) -> bool:
    try:
        url = _url(proxy)
        return url.scheme in _SCHEMES and bool(url.hostname) and url.port != 0
    except ValueError:  # a port that is none, or a bracket that is never closed
        return False


def _is_exempt(asked: SplitResult, no_proxy: str) -> bool:
    """Whether one of the names, with a port or without, is the host's or of a domain above it."""
    names = [name.strip().lower().lstrip(".") for name in no_proxy.split(",")]
    port = asked.port or _PORTS.get(asked.scheme)
    hosts = (f".{asked.hostname}", f".{asked.hostname}:{port}")
    return "*" in names or any(
        host.endswith(f".{name}") for host in hosts for name in names if name
    )


def _is_near(host: str) -> bool:
    """Whether it is this machine, or a name that only our own network knows."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return "." not in host or host.rstrip(".").endswith(".localhost") or host == "localhost."
