"""A provider is reached through the proxy that the environment names, and is told apart from it."""

from __future__ import annotations

import asyncio
import base64
import shutil
import ssl
import sys
from collections import deque
from pathlib import Path
from typing import Final

import pytest

from providers.stripe.config import StripeConfig
from providers.transport import Answer, Call, Endpoint, Exchange, NotSent, Transport
from tests.support.environment import bare
from tests.support.project.tree import ROOT
from tests.support.providers import wire
from tests.support.providers.proxy import proxy_to

_POST: Final = Call(method="POST", path="/charge", headers={}, body=b"amount=1")
_FAR: Final = "http://api.vendor.test"
# In a process of its own, which trusts the test's certificate.
_ASKS: Final = """
import asyncio, sys
from providers.stripe.config import StripeConfig
from providers.transport import Call, Endpoint, Transport

async def ask():
    config = StripeConfig(PAYMENTS_STRIPE_BASE_URL="https://api.vendor.test")
    asked = Transport(Endpoint.of(config, 1))
    print(await asked.exchange(Call(method="POST", path="/charge", headers={}, body=b"amount=1")))
    await asked.aclose()

asyncio.run(ask())
"""


@pytest.fixture(autouse=True)
def no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "http_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def _asked(url: str) -> Exchange:
    config = StripeConfig.model_validate({"PAYMENTS_STRIPE_BASE_URL": url})
    asked = Transport(Endpoint.of(config, 1))
    try:
        return await asked.exchange(_POST)
    finally:
        await asked.aclose()


async def _certificate(folder: Path) -> tuple[Path, Path]:
    """One for api.vendor.test, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, to make a certificate")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    made = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-subj", "/CN=api.vendor.test", "-days", "1"),
        *("-addext", "subjectAltName=DNS:api.vendor.test", "-out", certificate, "-keyout", key),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    return certificate, key


async def test_a_provider_is_asked_through_a_tunnel(tmp_path: Path) -> None:
    """Its own certificate is checked at the other end; the proxy sees a name, and nothing more."""
    certificate, key = await _certificate(tmp_path)
    secured = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secured.load_cert_chain(certificate, key)
    provider = wire.Wire(0, deque([wire.reply(200, {"id": "pi_1"})]))
    async with (
        await asyncio.start_server(provider.connected, "127.0.0.1", 0, ssl=secured) as server,
        proxy_to(server.sockets[0].getsockname()[1]) as proxy,
    ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _ASKS),
            cwd=ROOT,
            env=bare()
            | {
                "HTTPS_PROXY": f"http://us:word@{proxy.address}",
                "SSL_CERT_FILE": str(certificate),
            },
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
    assert said.startswith(b"Answer(status=200"), said
    assert [one.body for one in provider.seen] == [b"amount=1"]
    (head,) = proxy.heads
    assert head.startswith("CONNECT api.vendor.test:443 HTTP/1.1\r\n")
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'us:word').decode()}" in head
    assert "charge" not in head


async def test_what_is_near_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator, whatever the environment says; something far goes by the proxy."""
    async with wire.serving(wire.reply(200, {})) as near, proxy_to(near.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.address)
        assert isinstance(await _asked(near.url), Answer)
        assert proxy.heads == []
        assert isinstance(await _asked(_FAR), Answer)
        assert proxy.heads[0].startswith(f"POST {_FAR}/charge HTTP/1.1\r\n")
        monkeypatch.setenv("NO_PROXY", "vendor.test")
        assert isinstance(await _asked(_FAR), NotSent)
        assert len(proxy.heads) == 1


@pytest.mark.parametrize("answer", [b"407 Proxy Authentication Required", b"502 Bad Gateway"])
async def test_a_proxy_that_opens_no_tunnel_has_sent_nothing(
    monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    """It costs no payment an attempt: it is our own lack, and says whose answer it was."""
    async with proxy_to(1) as proxy:
        proxy.refuses = answer
        monkeypatch.setenv("HTTPS_PROXY", proxy.address)
        status = answer.split()[0].decode()
        said = await _asked("https://api.vendor.test")
        assert said == NotSent(f"the proxy answered {status}")


async def test_a_proxy_that_is_away_has_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the provider blamed for it."""
    nobody = wire.refused_url()
    monkeypatch.setenv("HTTPS_PROXY", nobody.replace("http://", "http://us:word@"))
    said = await _asked("https://api.vendor.test")
    assert said == NotSent("the proxy: Connection refused")
