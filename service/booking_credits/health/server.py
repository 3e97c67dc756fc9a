"""Server: answers probes and scrapes from a thread, also while the event loop is blocked."""

from __future__ import annotations

import json
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, TypeAlias

from prometheus_client.exposition import CONTENT_TYPE_LATEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from booking_credits.health.metrics import Metrics
    from booking_credits.health.vitals import Vitals

Answer: TypeAlias = tuple[HTTPStatus, str, bytes]

_CLIENT_TIMEOUT_SECONDS: Final = 5


class HealthServer:
    """Serves `/health/live`, `/health/ready`, `/health/started` and `/metrics`."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        vitals: Callable[[], Vitals],
        metrics: Metrics,
        loop_blocked_seconds: float,
    ) -> None:
        """Take the port, any free one for 0. Raises OSError where it cannot be had.

        A worker whose event loop is blocked for so many seconds is not live.
        """
        self._vitals = vitals
        self._metrics = metrics
        self._loop_blocked_seconds = loop_blocked_seconds
        self._server = ThreadingHTTPServer((host, port), self._handler())
        self._server.daemon_threads = True

    @property
    def port(self) -> int:
        """The port that answers."""
        return self._server.server_port

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="health", daemon=True
        ).start()

    def stop(self) -> None:
        """Answer no more, and give the port back."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> Answer:
        """Say what is so right now."""
        vitals, now = self._vitals(), time.monotonic()
        match path.partition("?")[0]:
            case "/health/live":
                is_blocked = vitals.age_seconds(now) >= self._loop_blocked_seconds
                return _probe(["event loop"] if is_blocked else [])
            case "/health/ready":
                return _probe(vitals.unready(now))
            case "/health/started":
                return _probe(["starting"] if vitals.phase == "starting" else [])
            case "/metrics":
                return HTTPStatus.OK, CONTENT_TYPE_LATEST, self._metrics.render()
            case _:
                return HTTPStatus.NOT_FOUND, "text/plain", b"not found\n"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            timeout = _CLIENT_TIMEOUT_SECONDS

            def do_GET(self) -> None:
                status, content_type, body = answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Probes come every few seconds; nobody reads of them."""

        return Handler


def _probe(failing: list[str]) -> Answer:
    body = json.dumps({"status": "failing" if failing else "ok", "failing": failing}).encode()
    status = HTTPStatus.SERVICE_UNAVAILABLE if failing else HTTPStatus.OK
    return status, "application/json", body + b"\n"
