"""How what listens is reached: what cannot be meant is a sentence at the start."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from process.clients import Proxies, networks_of
from process.listening import ServerTls
from process.sections import complaints
from process.settings import ServerSettings, WebhookSettings
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

SECTIONS = {"SERVER": ServerSettings, "WEBHOOKS": WebhookSettings}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No `PAYMENTS_*` of the machine decides a test."""
    for name in [name for name in os.environ if name.startswith("PAYMENTS_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("prefix", SECTIONS)
def test_each_listener_has_its_own_certificate_and_proxies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, prefix: str
) -> None:
    """Nobody's is believed, and HTTP is plain, unless it is said."""
    section = SECTIONS[prefix]
    assert section().tls() is None
    assert section().proxies() == Proxies()
    authority = Authority(tmp_path)
    paper = authority.issue("us", "localhost")
    for name, value in {
        "SSL_CERTIFICATE_FILE": paper.certificate,
        "SSL_KEY_FILE": paper.key,
        "SSL_CLIENT_CA_FILE": authority.authority,
        "SSL_CLIENT_CERTIFICATES": "optional",
        "TRUSTED_PROXIES": "10.0.0.0/8",
        "PROXY_HEADER": "Forwarded",
    }.items():
        monkeypatch.setenv(f"PAYMENTS_{prefix}_{name}", str(value))
    known = ServerTls(paper.certificate, paper.key, "", authority.authority, required=False)
    assert section().tls() == known
    assert section().proxies() == Proxies(networks_of("10.0.0.0/8"), "Forwarded")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SSL_KEY_FILE": "us.key"}, "_SSL_KEY_FILE has no use without PAYMENTS_{}_SSL_CERT"),
        (
            {"SSL_CERTIFICATE_FILE": "us.pem", "SSL_CLIENT_CERTIFICATES": "optional"},
            "_SSL_CLIENT_CERTIFICATES has no use without PAYMENTS_{}_SSL_CLIENT_CA_FILE",
        ),
        ({"SSL_CERTIFICATE_FILE": "missing"}, "missing cannot be read (No such file or directory)"),
        ({"SSL_CERTIFICATE_FILE": "us.crt"}, "what PAYMENTS_{}_SSL_* name cannot be used"),
        (
            {"SSL_CERTIFICATE_FILE": "us.crt", "SSL_KEY_FILE": "others.key"},
            "KEY_VALUES_MISMATCH",
        ),
        (
            {"SSL_CERTIFICATE_FILE": "us.pem", "SSL_CLIENT_CA_FILE": "us.key"},
            "what PAYMENTS_{}_SSL_* name cannot be used",
        ),
        ({"TRUSTED_PROXIES": "10.0.0.1/8"}, "expected networks such as 10.0.0.0/8"),
        ({"PROXY_HEADER": "X-Real-IP"}, "PAYMENTS_{}_PROXY_HEADER: Input should be"),
    ],
)
@pytest.mark.parametrize("prefix", SECTIONS)
def test_a_wrong_file_is_one_sentence_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    prefix: str,
    variables: dict[str, str],
    said: str,
) -> None:
    """And not the first client's surprise."""
    authority = Authority(tmp_path)
    for name in ("us", "others"):
        authority.issue(name)
    for name, value in variables.items():
        path = str(tmp_path / value) if name.endswith("_FILE") else value
        monkeypatch.setenv(f"PAYMENTS_{prefix}_{name}", path)
    (complaint,) = complaints(SECTIONS[prefix])
    assert said.format(prefix) in complaint
