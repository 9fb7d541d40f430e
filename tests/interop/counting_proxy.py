"""A proxy before the token endpoint of a server that nobody here wrote: it counts, and it can lose an answer."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from types import TracebackType

PASSED_ON = ("Authorization", "Content-Type", "Accept", "DPoP")
UPSTREAM_TIMEOUT = 30  # seconds


@dataclass(frozen=True, slots=True)
class Call:
    """One token request; of secrets only a digest."""

    asked_at: float
    answered_at: float
    status: int
    refresh_token: str | None


@dataclass(frozen=True, slots=True)
class Withheld:
    """An answer that the server gave and the client shall never see."""

    arrived: threading.Event = field(default_factory=threading.Event)
    dropped: threading.Event = field(default_factory=threading.Event)


class CountingProxy:
    """Passes token requests on, remembers each; use it as a context manager.

    Attributes:
        url: give this to the client in place of the token endpoint.
        calls: the token requests answered so far, oldest first.
    """

    def __init__(self, token_url: str) -> None:
        """Listen on a free port of 127.0.0.1, before `token_url`."""
        upstream = urlsplit(token_url)
        self.host, self.path = upstream.netloc, upstream.path
        self.calls: list[Call] = []
        self._withheld: list[Withheld] = []
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self})
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}{self.path}"

    def __enter__(self) -> Self:
        """Start to serve."""
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Stop; wait for the requests under way."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def replays(self) -> int:
        """How often a refresh token came again that had been here before."""
        return sum(
            times - 1
            for times in Counter(c.refresh_token for c in self.calls if c.refresh_token).values()
        )

    def withhold_next_answer(self) -> Withheld:
        """Let the server answer the next token request, then keep the answer until `dropped` is set and hang up."""
        self._withheld.append(Withheld())
        return self._withheld[-1]

    def next_withheld(self) -> Withheld | None:
        """Return what was ordered by `withhold_next_answer`, once."""
        return self._withheld.pop() if self._withheld else None


class _Handler(BaseHTTPRequestHandler):
    proxy: CountingProxy

    def do_POST(self) -> None:
        asked_at, withheld = time.time(), self.proxy.next_withheld()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, headers, answer = self._ask_server(body)
        self.proxy.calls.append(Call(asked_at, time.time(), status, _refresh_token_of(body)))
        if withheld:
            withheld.arrived.set()
            withheld.dropped.wait(UPSTREAM_TIMEOUT)
            return
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in {
                "transfer-encoding",
                "content-length",
                "connection",
                "date",
                "server",
            }:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _ask_server(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = HTTPConnection(self.proxy.host, timeout=UPSTREAM_TIMEOUT)
        try:
            passed_on = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
            connection.request("POST", self.proxy.path, body, passed_on)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class named it)
        """Keep quiet: the calls are remembered."""


def _refresh_token_of(body: bytes) -> str | None:
    sent = parse_qs(body.decode()).get("refresh_token")
    return hashlib.sha256(sent[0].encode()).hexdigest()[:16] if sent else None
