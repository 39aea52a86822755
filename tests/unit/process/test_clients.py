"""Whose address counts: that of the nearest whom nobody of ours stands for."""

from __future__ import annotations

import pytest

from process.clients import Proxies, customer_of, networks_of

TRUSTED = networks_of("10.0.0.0/8, 192.0.2.1,fd00::/8")
CLIENT, STRANGER = "203.0.113.7", "198.51.100.9"


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        (STRANGER, [CLIENT], STRANGER),
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", [CLIENT], CLIENT),
        ("10.1.1.1", [f"forged, {CLIENT}"], CLIENT),
        ("10.1.1.1", [f"{STRANGER}, {CLIENT}, 10.2.2.2,192.0.2.1"], CLIENT),
        ("10.1.1.1", [STRANGER, f"{CLIENT},10.2.2.2"], CLIENT),
        ("10.1.1.1", ["10.2.2.2, 10.3.3.3"], "10.2.2.2"),
        ("10.1.1.1", [f"{CLIENT}, unknown, 10.3.3.3"], "10.3.3.3"),
        ("10.1.1.1", [f"{CLIENT}:4711"], CLIENT),
        ("::ffff:10.1.1.1", [f"::ffff:{CLIENT}"], CLIENT),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        ("fd00::1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("", [CLIENT], ""),
    ],
)
def test_the_right_most_address_that_is_not_trusted_is_the_clients(
    peer: str, said: list[str], client: str
) -> None:
    """What stands before it, its client may have made up."""
    assert Proxies(TRUSTED).client(peer, said) == client


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ([f"for={CLIENT};proto=https;by=10.9.9.9"], CLIENT),
        ([f'proto=http; For="{CLIENT}:80"', "for=10.2.2.2"], CLIENT),
        ([f'for={STRANGER}, for="[2001:db8::7]:4711"'], "2001:db8::7"),
        ([f"for={CLIENT}, for=_hidden"], "10.1.1.1"),
        ([f"for={CLIENT}, proto=http"], "10.1.1.1"),
    ],
)
def test_forwarded_is_read_as_its_standard_has_it(said: list[str], client: str) -> None:
    assert Proxies(TRUSTED, "Forwarded").client("10.1.1.1", said) == client


@pytest.mark.parametrize(
    ("client", "customer"),
    [(CLIENT, CLIENT), ("2001:db8:1:2:3::7", "2001:db8:1:2::/64"), ("", "")],
)
def test_who_has_a_network_is_one_client(client: str, customer: str) -> None:
    """Or every request of theirs would come from an address of its own."""
    assert customer_of(client) == customer
