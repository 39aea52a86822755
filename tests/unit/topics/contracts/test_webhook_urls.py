"""Which addresses webhooks are sent to: those of the public internet, whatever they are called."""

from ipaddress import ip_address

import pytest

from topics.contracts.webhook_urls import Reach

PUBLIC = ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34")
WITHIN = (
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0"),  # noqa: S104 - no binding
    *("169.254.169.254", "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255"),
    *("::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "64:ff9b:1::a00:1"),
    "2002:7f00:1::",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_is_reached_with_tls(address: str) -> None:
    """And not without."""
    assert Reach().takes(ip_address(address), is_encrypted=True)
    assert not Reach().takes(ip_address(address), is_encrypted=False)


@pytest.mark.parametrize("address", WITHIN)
def test_what_leads_within_a_network_is_not_reached(address: str) -> None:
    """Nor what has such an address within."""
    assert not Reach().takes(ip_address(address), is_encrypted=True)


def test_what_an_operator_allows_is_reached_without_tls_too() -> None:
    """That, and nothing beside."""
    reach = Reach.of("127.0.0.0/8, ::1/128")
    assert reach.takes(ip_address("127.0.0.1"), is_encrypted=False)
    assert reach.takes(ip_address("::ffff:127.0.0.1"), is_encrypted=False)
    assert not reach.takes(ip_address("10.0.0.1"), is_encrypted=True)
    assert reach.refusal("http://127.0.0.1:8000/hook") is None
    assert reach.refusal("http://10.0.0.1/hook") == "must lead to the public internet"
