"""What the simulators of real platforms have in common: a loopback server, a clock, and what arrived.

Law: a simulator says what the platform's documents say, with the source of each shape beside it; what rests on
inference is marked so. It shares no line with the code that it is a witness for.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokenlatch.testing._http import Response
from tokenlatch.testing._listener import Listener

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from tokenlatch.testing._http import Request


@dataclass(slots=True, eq=False)
class Issued:
    """A code or token: whose it is, its end in seconds since the epoch, and what became of it."""

    client_id: str
    expires_at: float
    grant: int = 0
    used: bool = False
    revoked: bool = False
    redirect_uri: str | None = None
    offline: bool = False
    scope: str | None = None


class Simulator:
    """A platform on 127.0.0.1, in threads of this process.

    Attributes:
        requests: What arrived, in order.
        now: Returns seconds since the epoch; set it to move the platform through time.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Set the clock; `start` opens the door."""
        self.now = clock
        self.requests: list[Request] = []
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._listener: Listener | None = None
        self._port = 0
        self._grants = 0
        self._paths: dict[str, Callable[[Request], Response]] = {}

    def start(self) -> Self:
        """Listen on a free port of 127.0.0.1."""
        self._listener = Listener(0, self._answer, lambda _: False, self._closing)
        self._port = self._listener.port
        self._listener.start()
        return self

    def close(self) -> None:
        """End every connection and thread."""
        if self._listener:
            listener, self._listener = self._listener, None
            listener.close(5.0)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    @property
    def url(self) -> str:
        """The origin, without a slash at the end."""
        return f"http://127.0.0.1:{self._port}"

    def _answer(self, request: Request) -> Response:
        answer = self._paths.get(request.path)
        with self._lock:
            self.requests.append(request)
            return answer(request) if answer else Response(404)

    def _next_grant(self) -> int:
        self._grants += 1
        return self._grants


def as_json(status: int, content: object, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON answer."""
    body = json.dumps(content, separators=(",", ":")).encode()
    return Response(
        status, {"Content-Type": "application/json;charset=utf-8"} | (headers or {}), body
    )


def redirect(url: str) -> Response:
    """Return a redirect of the browser."""
    return Response(302, {"Location": url})


def hexadecimal(length: int) -> str:
    """Return a random text of so many hexadecimal letters."""
    return secrets.token_hex(length // 2)
