"""Every `PAYMENTS_*` variable, read once by an entry point and never changed afterwards.

Those of the servers are in `process.servers`, a payment provider's in its folder, and those of all
providers in `providers.registry.SECTIONS`. An entry point calls `read_settings()`, which turns
wrong values into a sentence each and exit code 2.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, TypedDict
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from process.clients import ProxyHeader
from process.entrances import ClientCertificates, EntranceSection, Networks
from process.env_file import take_env_file
from process.proxy import proxy_complaints
from process.sections import (
    Port,
    ProviderSection,
    ReadableFile,
    Seconds,
    SecondsOrZero,
    Section,
    complaints,
)
from process.servers import DatabaseSettings, KafkaSettings, RedisSettings

JAEGER_DEFAULT: Final = "http://localhost:14268/api/traces"
OTLP_HTTP_PORT: Final = 4318  # the port the OpenTelemetry specification gives OTLP over HTTP
EXIT_INVALID_SETTINGS: Final = 2
# As `topics.names` has them, which is not for here to ask.
SINKS: Final = ("kafka", "redis")
_NO_SINK: Final = "none"
_NO_PROVIDERS: Final[Mapping[str, Callable[[], ProviderSection]]] = MappingProxyType({})


class ServerSettings(EntranceSection):
    """The ingress."""

    host: str = Field(default="127.0.0.1", validation_alias="PAYMENTS_SERVER_HOST")
    port: Port = Field(default=8080, validation_alias="PAYMENTS_SERVER_PORT")
    read_timeout_seconds: Seconds = Field(
        default=15.0, validation_alias="PAYMENTS_SERVER_READ_TIMEOUT"
    )
    write_timeout_seconds: Seconds = Field(
        default=15.0, validation_alias="PAYMENTS_SERVER_WRITE_TIMEOUT"
    )
    # Longer than balancers keep theirs, 60 seconds as a rule: whoever closes last loses nothing.
    idle_timeout_seconds: Seconds = Field(
        default=75.0, validation_alias="PAYMENTS_SERVER_IDLE_TIMEOUT"
    )
    shutdown_timeout_seconds: Seconds = Field(
        default=30.0, validation_alias="PAYMENTS_SERVER_SHUTDOWN_TIMEOUT"
    )
    # Of the shutdown timeout: listening still, no longer ready, until balancers have noticed.
    shutdown_delay_seconds: SecondsOrZero = Field(
        default=5.0, validation_alias="PAYMENTS_SERVER_SHUTDOWN_DELAY"
    )
    ssl_certificate_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_SERVER_SSL_CERTIFICATE_FILE"
    )
    ssl_key_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_SERVER_SSL_KEY_FILE"
    )
    ssl_key_password: SecretStr = Field(
        default=SecretStr(""), validation_alias="PAYMENTS_SERVER_SSL_KEY_PASSWORD"
    )
    ssl_client_ca_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_SERVER_SSL_CLIENT_CA_FILE"
    )
    ssl_client_certificates: ClientCertificates = Field(
        default="required", validation_alias="PAYMENTS_SERVER_SSL_CLIENT_CERTIFICATES"
    )
    trusted_proxies: Networks = Field(
        default="", validation_alias="PAYMENTS_SERVER_TRUSTED_PROXIES"
    )
    proxy_header: ProxyHeader = Field(
        default="X-Forwarded-For", validation_alias="PAYMENTS_SERVER_PROXY_HEADER"
    )


class AuthSettings(Section):
    """`open` is one tenant without keys and only for loopback."""

    mode: Literal["keys", "open"] = Field(default="keys", validation_alias="PAYMENTS_AUTH_MODE")


class RateLimitSettings(Section):
    """Requests a second; 0 is no limit. Unset, `keys` has the ingress's defaults, `open` none."""

    writes_per_second: float | None = Field(
        default=None, ge=0, validation_alias="PAYMENTS_RATE_LIMIT_WRITES_PER_SECOND"
    )
    reads_per_second: float | None = Field(
        default=None, ge=0, validation_alias="PAYMENTS_RATE_LIMIT_READS_PER_SECOND"
    )
    payments_per_account_per_second: float | None = Field(
        default=None, ge=0, validation_alias="PAYMENTS_RATE_LIMIT_ACCOUNT_PER_SECOND"
    )
    # Of each client's address, before it is known who asks.
    requests_per_address_per_second: float = Field(
        default=0.0, ge=0, validation_alias="PAYMENTS_RATE_LIMIT_ADDRESS_PER_SECOND"
    )
    # What may come at once: a limit's requests of so many seconds.
    burst_seconds: Seconds = Field(default=2.0, validation_alias="PAYMENTS_RATE_LIMIT_BURST")


class RetryPolicy(TypedDict):
    """What an operator sets of `payments.progress.Policy`, which this may not import."""

    max_retries: int
    retry_delay_s: float
    lease_s: float
    authorization_ttl_s: float


class PaymentSettings(Section):
    """How a payment is retried and how long work on it stays claimed."""

    # Retries after the first attempt: 4, so that there are 5 attempts in all.
    max_retries: int = Field(default=4, ge=0, validation_alias="PAYMENTS_PAYMENT_MAX_RETRIES")
    retry_delay_seconds: Seconds = Field(
        default=1.0, validation_alias="PAYMENTS_PAYMENT_RETRY_DELAY"
    )
    lock_ttl_seconds: Seconds = Field(default=30.0, validation_alias="PAYMENTS_PAYMENT_LOCK_TTL")
    lease_seconds: Seconds = Field(default=30.0, validation_alias="PAYMENTS_PAYMENT_LEASE")
    # Seven days, as Stripe holds an online card payment; PayPal holds for longer.
    authorization_ttl_seconds: Seconds = Field(
        default=604_800.0, validation_alias="PAYMENTS_PAYMENT_AUTHORIZATION_TTL"
    )
    # Calls that one worker makes at once to one provider: at 200 ms a call, and as long again
    # until it is recorded, enough for what two cores can do.
    provider_concurrency: int = Field(
        default=1024, ge=1, validation_alias="PAYMENTS_PAYMENT_PROVIDER_CONCURRENCY"
    )

    def policy(self) -> RetryPolicy:
        """For all who decide: `Policy(**settings.payment.policy())`."""
        return RetryPolicy(
            max_retries=self.max_retries,
            retry_delay_s=self.retry_delay_seconds,
            lease_s=self.lease_seconds,
            authorization_ttl_s=self.authorization_ttl_seconds,
        )


class DeadLetterSettings(Section):
    """A stage pauses when more than this share of its last messages had to be parked."""

    # 1 switches the bound off. Half of a hundred: single poison never gets there.
    ratio_max: float = Field(
        default=0.5, gt=0, le=1, validation_alias="PAYMENTS_DEAD_LETTERS_RATIO_MAX"
    )
    window: int = Field(default=100, ge=20, validation_alias="PAYMENTS_DEAD_LETTERS_WINDOW")


class OutboxSettings(Section):
    """The outbox is also the archive a broker or a lost slot is refilled from."""

    # A week outlives a long weekend in which nobody noticed that a sink stood still.
    retention_seconds: Seconds = Field(
        default=604_800.0, validation_alias="PAYMENTS_OUTBOX_RETENTION"
    )
    # The table is for a Postgres that cannot have `wal_level=logical`.
    source: Literal["wal", "table"] = Field(
        default="wal", validation_alias="PAYMENTS_OUTBOX_SOURCE"
    )
    # Whose relays ought to run, with commas between, or `none`.
    sinks: str = Field(default="kafka,redis", validation_alias="PAYMENTS_OUTBOX_SINKS")

    @field_validator("sinks", mode="after")
    @classmethod
    def _are_sinks(cls, sinks: str) -> str:
        named = {each.strip() for each in sinks.split(",")}
        if named != {_NO_SINK} and not named <= set(SINKS):
            message = f"expected some of {', '.join(SINKS)}, with commas between, or {_NO_SINK}"
            raise ValueError(message)
        return sinks

    @property
    def names(self) -> tuple[str, ...]:
        """The sinks, one by one."""
        named = {each.strip() for each in self.sinks.split(",")}
        return tuple(each for each in SINKS if each in named)


class FeedSettings(Section):
    """The feed of events: how many clients may listen to one ingress."""

    # Some 16 kB each; whoever finds no place is told so, and may ask for pages.
    listeners_max: int = Field(default=2000, ge=1, validation_alias="PAYMENTS_FEED_LISTENERS_MAX")


class ObservabilitySettings(Section):
    """Logs, traces and metrics. An empty OTLP endpoint and a zero metrics port mean off."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", validation_alias="PAYMENTS_OBSERVABILITY_LOG_LEVEL"
    )
    jaeger_endpoint: str = Field(
        default=JAEGER_DEFAULT, validation_alias="PAYMENTS_OBSERVABILITY_JAEGER_ENDPOINT"
    )
    otlp_endpoint: str = Field(
        default="", validate_default=True, validation_alias="PAYMENTS_OBSERVABILITY_OTLP_ENDPOINT"
    )
    metrics_host: str = Field(
        default="127.0.0.1", validation_alias="PAYMENTS_OBSERVABILITY_METRICS_HOST"
    )
    metrics_port: int = Field(
        default=0, ge=0, le=65535, validation_alias="PAYMENTS_OBSERVABILITY_METRICS_PORT"
    )
    # The first that is free of so many from the metrics port on: for several processes on one
    # host whose environment is the same.
    metrics_ports: int = Field(
        default=1, ge=1, le=1000, validation_alias="PAYMENTS_OBSERVABILITY_METRICS_PORTS"
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _spelled_as_elsewhere(cls, value: object) -> object:
        level = value.lower() if isinstance(value, str) else value
        return "warning" if level == "warn" else level

    @field_validator("otlp_endpoint", mode="after")
    @classmethod
    def _jaeger_speaks_otlp(cls, value: str, earlier: ValidationInfo) -> str:
        """Jaeger dropped its own protocol in favour of OTLP: keep the host, change the port.

        The default Jaeger endpoint sends nothing anywhere: nobody asked for traces.
        """
        jaeger = earlier.data.get("jaeger_endpoint", JAEGER_DEFAULT)
        if value or jaeger == JAEGER_DEFAULT:
            return value
        host = urlsplit(jaeger).hostname
        if host is None:
            message = f"the Jaeger endpoint {jaeger!r} is not a URL"
            raise ValueError(message)
        return f"http://{host}:{OTLP_HTTP_PORT}"


class LagSettings(Section):
    """What is measured beside our own stages."""

    # Names of consumer groups of others, with commas between; `*` stands for any characters.
    groups: str = Field(default="", validation_alias="PAYMENTS_LAG_GROUPS")

    @property
    def others(self) -> tuple[str, ...]:
        """The names, or patterns of names, one by one."""
        return tuple(name for each in self.groups.split(",") if (name := each.strip()))


class WebhookSettings(EntranceSection):
    """Where the receiver of the providers' webhooks listens: for them, not for the world."""

    host: str = Field(default="127.0.0.1", validation_alias="PAYMENTS_WEBHOOKS_HOST")
    port: Port = Field(default=8091, validation_alias="PAYMENTS_WEBHOOKS_PORT")
    ssl_certificate_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_WEBHOOKS_SSL_CERTIFICATE_FILE"
    )
    ssl_key_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_WEBHOOKS_SSL_KEY_FILE"
    )
    ssl_key_password: SecretStr = Field(
        default=SecretStr(""), validation_alias="PAYMENTS_WEBHOOKS_SSL_KEY_PASSWORD"
    )
    ssl_client_ca_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_WEBHOOKS_SSL_CLIENT_CA_FILE"
    )
    ssl_client_certificates: ClientCertificates = Field(
        default="required", validation_alias="PAYMENTS_WEBHOOKS_SSL_CLIENT_CERTIFICATES"
    )
    trusted_proxies: Networks = Field(
        default="", validation_alias="PAYMENTS_WEBHOOKS_TRUSTED_PROXIES"
    )
    proxy_header: ProxyHeader = Field(
        default="X-Forwarded-For", validation_alias="PAYMENTS_WEBHOOKS_PROXY_HEADER"
    )


class WebhookDeliverySettings(Section):
    """What is sent to tenants' webhook endpoints."""

    # What their signing secrets are derived with: the first for new ones, all for those there are.
    # Without one no endpoint can be made.
    key: SecretStr = Field(default=SecretStr(""), validation_alias="PAYMENTS_WEBHOOK_KEY")
    # Beside the public internet, and there without TLS, too: for development.
    networks: str = Field(default="", validation_alias="PAYMENTS_WEBHOOK_NETWORKS")
    disable_after_seconds: Seconds = Field(
        default=432_000.0, validation_alias="PAYMENTS_WEBHOOK_DISABLE_AFTER"
    )

    @field_validator("networks", mode="after")
    @classmethod
    def _are_networks(cls, networks: str) -> str:
        for each in filter(None, map(str.strip, networks.split(","))):
            try:
                ip_network(each)
            except ValueError:
                message = f"{each!r} is no network like 127.0.0.0/8"
                raise ValueError(message) from None
        return networks


class SimulatorSettings(Section):
    """The provider simulator and the journal by which it testifies what it charged."""

    host: str = Field(default="127.0.0.1", validation_alias="PAYMENTS_SIMULATOR_HOST")
    port: Port = Field(default=8090, validation_alias="PAYMENTS_SIMULATOR_PORT")
    journal: Path = Field(
        default=Path(".payments/simulator.jsonl"), validation_alias="PAYMENTS_SIMULATOR_JOURNAL"
    )
    latency_seconds: SecondsOrZero = Field(
        default=0.0, validation_alias="PAYMENTS_SIMULATOR_LATENCY"
    )
    # The webhook receiver's address; empty, only those are told who subscribed by API.
    webhooks_url: str = Field(default="", validation_alias="PAYMENTS_SIMULATOR_WEBHOOKS_URL")
    # Keys it takes beside those the providers are configured with: stripe=KEY, paypal=ID:SECRET.
    keys: SecretStr = Field(default=SecretStr(""), validation_alias="PAYMENTS_SIMULATOR_KEYS")

    @field_validator("keys", mode="after")
    @classmethod
    def _each_has_a_provider(cls, keys: SecretStr) -> SecretStr:
        if any(not name or not key for name, key in _named_keys(keys)):
            message = "expected provider=key, with commas between them"
            raise ValueError(message)
        return keys

    @property
    def further_keys(self) -> list[tuple[str, str]]:
        """The provider and the key of each."""
        return _named_keys(self.keys)


def _named_keys(keys: SecretStr) -> list[tuple[str, str]]:
    pairs = (each.strip().partition("=") for each in keys.get_secret_value().split(","))
    return [(name, key) for name, sign, key in pairs if name or sign]


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections; constructing it reads the environment. Raises `ValidationError`."""

    server: ServerSettings = field(default_factory=ServerSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    rate_limit: RateLimitSettings = field(default_factory=RateLimitSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    redis: RedisSettings = field(default_factory=RedisSettings)
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    payment: PaymentSettings = field(default_factory=PaymentSettings)
    dead_letters: DeadLetterSettings = field(default_factory=DeadLetterSettings)
    outbox: OutboxSettings = field(default_factory=OutboxSettings)
    feed: FeedSettings = field(default_factory=FeedSettings)
    observability: ObservabilitySettings = field(default_factory=ObservabilitySettings)
    lag: LagSettings = field(default_factory=LagSettings)
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    webhook_deliveries: WebhookDeliverySettings = field(default_factory=WebhookDeliverySettings)
    simulator: SimulatorSettings = field(default_factory=SimulatorSettings)
    providers: Mapping[str, ProviderSection] = field(default_factory=dict)


def read_settings(
    providers: Mapping[str, Callable[[], ProviderSection]] = _NO_PROVIDERS,
) -> Settings:
    """Settings from the environment, `.env` added, or a sentence a wrong one on stderr and exit 2.

    `providers` are the sections of payment providers, by name, for a process that asks any. What
    libpq and asyncpg would read beside it (`PGSSLMODE`, `PGSERVICE`) is taken out of it.
    """
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    ours = (each.default_factory for each in fields(Settings))
    sections = [section for section in (*ours, *providers.values()) if callable(section)]
    wrong = take_env_file(os.environ) + proxy_complaints(os.environ)
    wrong += [line for section in sections for line in complaints(section)]
    if wrong:
        sys.stderr.write("\n".join(wrong) + "\n")
        raise SystemExit(EXIT_INVALID_SETTINGS)
    return Settings(providers={name: section() for name, section in providers.items()})
