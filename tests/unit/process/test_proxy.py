"""Which proxy leads to a provider, and that none leads to what is near."""

import pytest

from process.proxy import proxy_complaints, proxy_for

STRIPE = "https://api.stripe.com"
PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        (STRIPE, {}, None),
        (STRIPE, {"HTTPS_PROXY": PROXY}, PROXY),
        (STRIPE, {"https_proxy": PROXY, "HTTPS_PROXY": "http://other.example"}, PROXY),
        (STRIPE, {"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        (STRIPE, {"HTTPS_PROXY": "http://us:word@proxy.example"}, "http://us:word@proxy.example"),
        (STRIPE, {"HTTP_PROXY": PROXY}, None),
        (STRIPE, {"HTTPS_PROXY": ""}, None),
        ("http://api.example", {"HTTP_PROXY": PROXY}, PROXY),
        (STRIPE, {"HTTPS_PROXY": PROXY, "NO_PROXY": "a.example, stripe.com"}, None),
        (STRIPE, {"HTTPS_PROXY": PROXY, "no_proxy": ".stripe.com:443"}, None),
        (STRIPE, {"HTTPS_PROXY": PROXY, "no_proxy": "api.stripe.com:8443"}, PROXY),
        (STRIPE, {"HTTPS_PROXY": PROXY, "NO_PROXY": "pe.com"}, PROXY),
        (STRIPE, {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, None),
    ],
)
def test_the_variables_mean_what_they_mean_elsewhere(
    url: str, environment: dict[str, str], proxy: str | None
) -> None:
    """By the URL's scheme, small letters first, `NO_PROXY` by whole labels of a name."""
    assert proxy_for(url, environment) == proxy


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8090",
        "http://127.8.9.10",
        "http://[::1]:8090",
        "http://localhost:8090",
        "http://LOCALHOST.:8090",
        "https://simulator.localhost",
        "http://simulator:8090",
    ],
)
def test_no_proxy_leads_to_what_is_near(url: str) -> None:
    """This machine, and the simulator in a container of its own: `NO_PROXY` need not name them."""
    assert proxy_for(url, {"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY}) is None


@pytest.mark.parametrize(
    "proxy", ["socks5://us:word@proxy.example", "http://", "http://proxy:port", "http://[::1", "::"]
)
def test_what_is_no_proxy_is_told_without_its_credentials(proxy: str) -> None:
    """At the start, and not as payments that cannot be sent."""
    assert proxy_complaints({"HTTPS_PROXY": proxy}) == [
        "HTTPS_PROXY: expected the URL of a proxy like http://proxy.example:3128."
    ]
    assert proxy_complaints({"http_proxy": PROXY, "HTTPS_PROXY": "proxy.example:3128"}) == []
