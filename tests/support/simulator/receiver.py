"""Somebody's webhook endpoint: it keeps what it is sent, and fails when told to."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson

from tests.support.simulator.clients import Json, PayPalHooks, paypal_bearer


@dataclass(slots=True)
class Receiver:
    """`failures` is how many deliveries it refuses first, `subscribed` what to call at the end."""

    url: str
    failures: int = 0
    received: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    subscribed: list[tuple[PayPalHooks, str]] = field(default_factory=list)

    def events(self) -> list[Json]:
        return [orjson.loads(body) for _, body in self.received]

    def types(self) -> list[str]:
        return [event.get("type") or event["event_type"] for event in self.events()]

    def listens_to_paypal(self, url: str, event_type: str) -> str:
        """Subscribe until the test ends; the id of the webhook."""
        hooks = PayPalHooks(url, paypal_bearer(url))
        webhook_id = hooks.register(self.url, event_type)
        self.subscribed.append((hooks, webhook_id))
        return webhook_id


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens on a port of its own."""
    receiver = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if receiver.failures:
                receiver.failures -= 1
                self.send_response(503)
            else:
                receiver.received.append((dict(self.headers), body))
                self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: a test's output is its failures."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield receiver
        for hooks, webhook_id in receiver.subscribed:
            hooks.remove(webhook_id)
        server.shutdown()
        thread.join()


@contextmanager
def failing_endpoint(kind: str) -> Iterator[str]:
    """An address where nobody listens, or where who listens never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/hook"
        if kind == "dead":
            listening.close()
        yield address
