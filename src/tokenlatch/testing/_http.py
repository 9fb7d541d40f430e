"""HTTP/1.1 on loopback, just enough of it, and fast: one thread per connection, one send per answer.

Law: knows nothing of OAuth. `http.server` is not used because it spends most of a request in the e-mail parser, and
because it cannot be told to answer wrongly.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BACKLOG = 1024
_HEAD_LIMIT = 65_536
_KEPT_BODY = 65_536

Delivery: TypeAlias = Literal["whole", "none", "cut", "trickle", "trickle_headers"]


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived: header names in lower case; of the body the first 64 KiB, its true size in bytes, its SHA-256."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    size: int
    sha256: str

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The fields of the query."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form body."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    @property
    def authorization(self) -> str | None:
        """The Authorization header's value."""
        return self.headers.get("authorization")


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back, and how: `delivery` other than "whole" ends the connection; `pause` is seconds per byte."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Iterator[bytes] = b""
    delivery: Delivery = "whole"
    pause: float = 0.2


class Connection:
    """One client's connection, read and written by one thread."""

    def __init__(self, sock: socket.socket, closing: threading.Event) -> None:
        """Take over the socket."""
        self._sock = sock
        self._closing = closing
        self._buffer = b""

    def read(self) -> Request:
        """Read the next request.

        Raises:
            ConnectionError: the client has left.
            ValueError: this is not HTTP.
        """
        first, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        method, target, _version = first.split(" ")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        if headers.get("expect", "").lower() == "100-continue":
            self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        kept, size, digest = b"", 0, hashlib.sha256()
        for piece in self._body(headers):
            kept += piece[: _KEPT_BODY - len(kept)]
            size += len(piece)
            digest.update(piece)
        return Request(method, target, headers, kept, size, digest.hexdigest())

    def write(self, request: Request, response: Response) -> bool:
        """Send the answer and tell whether the connection can be used again."""
        headers = {"Date": formatdate(usegmt=True), **response.headers}
        body = response.body
        if isinstance(body, bytes):
            headers["Content-Length"] = str(len(body))
        else:
            headers["Transfer-Encoding"] = "chunked"
        phrase = HTTPStatus(response.status).phrase
        head = f"HTTP/1.1 {response.status} {phrase}\r\n" + "".join(
            f"{k}: {v}\r\n" for k, v in headers.items()
        )
        raw = f"{head}\r\n".encode("latin-1")
        if request.method == "HEAD":
            body = b""
        if not isinstance(body, bytes):
            self._sock.sendall(raw)
            for chunk in body:
                self._sock.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            self._sock.sendall(b"0\r\n\r\n")
        elif response.delivery == "whole":
            self._sock.sendall(raw + body)
        else:
            self._deliver_badly(raw, body, response)
        return (
            response.delivery == "whole"
            and request.headers.get("connection", "").lower() != "close"
        )

    def _deliver_badly(self, head: bytes, body: bytes, response: Response) -> None:
        match response.delivery:
            case "cut":
                self._sock.sendall(head + body[: len(body) // 2])
            case "trickle":
                self._sock.sendall(head)
                self._trickle(body, response.pause)
            case "trickle_headers":
                self._trickle(head + body, response.pause)

    def _trickle(self, data: bytes, pause: float) -> None:
        for at in range(len(data)):
            if self._closing.wait(pause):
                return
            self._sock.sendall(data[at : at + 1])

    def _body(self, headers: dict[str, str]) -> Iterator[bytes]:
        if "chunked" not in headers.get("transfer-encoding", "").lower():
            yield from self._exactly(int(headers.get("content-length", "0")))
            return
        while size := int(self._until(b"\r\n").partition(b";")[0], 16):
            yield from self._exactly(size)
            self._until(b"\r\n")
        while self._until(b"\r\n"):
            pass  # trailers

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size > 0:
            if not self._buffer:
                self._fill()
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(piece)
            yield piece

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            if len(self._buffer) > _HEAD_LIMIT:
                message = "the head of the request is too long"
                raise ValueError(message)
            self._fill()
        part, _, self._buffer = self._buffer.partition(mark)
        return part

    def _fill(self) -> None:
        data = self._sock.recv(_HEAD_LIMIT)
        if not data:
            raise ConnectionAbortedError
        self._buffer += data


class Listener:
    """A listening socket on 127.0.0.1 and the threads behind it."""

    def __init__(self, handle: Callable[[Request], Response], closing: threading.Event) -> None:
        """Answer requests with `handle`, called from many threads; `closing` is set when they have to end."""
        self._closing = closing
        self._handle = handle
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._socket: socket.socket | None = None
        self._acceptor: threading.Thread | None = None

    def start(self, port: int = 0) -> int:
        """Listen, and return the port (0 asks for a free one).

        Raises:
            OSError: the port is taken.
        """
        self._socket = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        # Only Linux wakes accept() when the socket is shut down; elsewhere closing is seen at the next turn.
        self._socket.settimeout(0.2)
        self._acceptor = threading.Thread(
            target=self._accept, args=[self._socket], name="oauth-server", daemon=True
        )
        self._acceptor.start()
        return int(self._socket.getsockname()[1])

    def close(self, timeout: float = 5.0) -> None:
        """End every connection and wait for every thread, at most `timeout` seconds each.

        Raises:
            RuntimeError: a thread does not end; a hook of the test is still running in it.
        """
        if self._socket is None or self._acceptor is None:
            return
        self._closing.set()
        _shut(self._socket)
        self._acceptor.join(timeout)
        self._socket.close()
        with self._lock:
            threads = list(self._open.values())
            for sock in self._open:
                _shut(sock)  # closing it is for its own thread
        for thread in threads:
            thread.join(timeout)
        self._socket = None
        if stuck := [thread.name for thread in threads if thread.is_alive()]:
            message = f"still running in the test server: {', '.join(stuck)}; is a hook waiting for something?"
            raise RuntimeError(message)

    def _accept(self, listening: socket.socket) -> None:
        while not self._closing.is_set():
            try:
                sock, _ = listening.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(
                target=self._serve, args=[sock], name="oauth-connection", daemon=True
            )
            with self._lock:
                self._open[sock] = thread
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        connection = Connection(sock, self._closing)
        try:
            while not self._closing.is_set():
                try:
                    request = connection.read()
                except (OSError, ValueError):
                    return  # the client left, or does not speak HTTP
                response = self._handle(request)
                try:
                    if not connection.write(request, response):
                        return
                except OSError:
                    return  # the client did not wait for the answer
        finally:
            with self._lock:
                del self._open[sock]
            _shut(sock)
            sock.close()


def _shut(sock: socket.socket) -> None:
    """End the connection itself: close() alone would leave it open for as long as a forked child has a copy."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
