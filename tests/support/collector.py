"""An OTLP collector on a free port: what processes export comes here, and is kept."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(slots=True)
class Collector:
    """`received` are the requests, by path and body."""

    url: str
    received: list[tuple[str, bytes]] = field(default_factory=list)

    def spans(self) -> list[tuple[str, Span]]:
        """Every span that came, by the name of the service that it is of."""
        found = []
        for _, body in list(self.received):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {a.key: a.value.string_value for a in resource.resource.attributes}
                service = names["service.name"]
                found += [(service, each) for scope in resource.scope_spans for each in scope.spans]
        return found


class _Handler(BaseHTTPRequestHandler):
    """Takes OTLP over HTTP."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        collector: Collector = self.server.collector  # type: ignore[attr-defined] # set below
        collector.received.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({}).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def collecting() -> Iterator[Collector]:
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        server.collector = collector  # type: ignore[attr-defined] # for the handler
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
