"""HTTP/1.1, just enough of it: requests, answers, and how a connection reads the one and writes the other.

Law: knows nothing of OAuth. `http.server` is not used because it spends most of a request in the e-mail parser, and
because it cannot be told to answer wrongly.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Iterator

_HEAD_LIMIT = 65_536
_KEPT_BODY = 65_536

_PHRASES = {each.value: each.phrase for each in HTTPStatus}

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
    """One client's connection, used by one thread at a time; its socket blocks."""

    def __init__(self, sock: socket.socket, closing: threading.Event) -> None:
        """Take over the socket."""
        self.socket = sock
        self._closing = closing
        self._buffer = b""
        self._head: tuple[str, str, dict[str, str]] | None = None

    def fill(self) -> None:
        """Receive once.

        Raises:
            OSError: the client has left.
        """
        data = self.socket.recv(_HEAD_LIMIT)
        if not data:
            raise ConnectionAbortedError
        self._buffer += data

    def has_head(self) -> bool:
        """Tell whether the head of a request has arrived.

        Raises:
            ValueError: this is not HTTP.
        """
        if self._head is None and b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            method, target, _version = first.split(" ")
            headers: dict[str, str] = {}
            for line in lines:
                name, _, value = line.partition(":")
                name, value = name.lower(), value.strip()
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
            self._head = method, target, headers
        if self._head is None and len(self._buffer) > _HEAD_LIMIT:
            raise ValueError("the head of the request is too long")
        return self._head is not None

    def has_request(self) -> bool:
        """Tell whether `read` would return without waiting."""
        if not self.has_head() or self._head is None:
            return False
        headers = self._head[2]
        waits = "transfer-encoding" in headers or "expect" in headers
        return not waits and int(headers.get("content-length", "0")) <= len(self._buffer)

    def read(self) -> Request:
        """Read the next request; wait for it.

        Raises:
            OSError: the client has left.
            ValueError: this is not HTTP.
        """
        while not self.has_head() or self._head is None:
            self.fill()
        method, target, headers = self._head
        self._head = None
        if headers.get("expect", "").lower() == "100-continue":
            self.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
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
        phrase = _PHRASES.get(response.status, "")
        head = f"HTTP/1.1 {response.status} {phrase}\r\n" + "".join(
            f"{k}: {v}\r\n" for k, v in headers.items()
        )
        raw = f"{head}\r\n".encode("latin-1")
        if request.method == "HEAD":
            body = b""
        if not isinstance(body, bytes):
            self.socket.sendall(raw)
            for chunk in body:
                self.socket.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            self.socket.sendall(b"0\r\n\r\n")
        elif response.delivery == "whole":
            self.socket.sendall(raw + body)
        else:
            self._deliver_badly(raw, body, response)
        return (
            response.delivery == "whole"
            and request.headers.get("connection", "").lower() != "close"
        )

    def _deliver_badly(self, head: bytes, body: bytes, response: Response) -> None:
        match response.delivery:
            case "cut":
                self.socket.sendall(head + body[: len(body) // 2])
            case "trickle":
                self.socket.sendall(head)
                self._trickle(body, response.pause)
            case "trickle_headers":
                self._trickle(head + body, response.pause)

    def _trickle(self, data: bytes, pause: float) -> None:
        for at in range(len(data)):
            if self._closing.wait(pause):
                return
            self.socket.sendall(data[at : at + 1])

    def _body(self, headers: dict[str, str]) -> Iterator[bytes]:
        if "chunked" not in headers.get("transfer-encoding", "").lower():
            yield from self._exactly(int(headers.get("content-length", "0")))
            return
        while size := int(self._line().partition(b";")[0], 16):
            yield from self._exactly(size)
            self._line()
        while self._line():
            pass  # trailers

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size > 0:
            if not self._buffer:
                self.fill()
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(piece)
            yield piece

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self.fill()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line
