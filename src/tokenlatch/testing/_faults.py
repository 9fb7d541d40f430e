"""What can go wrong at a token endpoint, as data.

Law: pure. A fault is a record; `spoil` turns the right answer into the wrong one; nobody waits or sends here.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from tokenlatch.testing import _shapes
from tokenlatch.testing._answers import OK, Answer, respond

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenlatch.testing._book import Payload
    from tokenlatch.testing._http import Delivery, Response
    from tokenlatch.testing._shapes import ShapeName

FaultName: TypeAlias = Literal[
    "slow",  # commit, then `seconds` (1) until the answer
    "drop",  # commit, then hang up without an answer
    "drop_before",  # hang up, nothing committed
    "cut",  # commit, then half of the answer
    "trickle",  # commit, then one byte of the body every `seconds` (0.2)
    "trickle_headers",  # the same from the first byte of the head
    "429",  # from here on nothing is committed, unless told so
    "500",
    "502",
    "503",
    "html",  # 200 with a web page
    "huge",  # `size` MiB of JSON
    "gzip_bomb",  # the same, compressed to a thousandth
    "redirect",  # `status` (307) to `to`
    "shape",  # one of `ShapeName`, committed unless it is an error
]

_COMMITTING = {"slow", "drop", "cut", "trickle", "trickle_headers"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One misbehaviour; see `AuthorizationServer.fail` for the fields."""

    name: FaultName
    shape: ShapeName | None = None
    seconds: float | None = None
    retry_after: float | str | None = None
    status: int | None = None
    to: str | None = None
    size: int = 64
    error: str = "invalid_grant"
    commit: bool | None = None

    def __post_init__(self) -> None:
        """Refuse a misspelt fault, which would make a test pass for nothing."""
        faults = get_args(FaultName)
        if self.name not in faults:
            raise ValueError(f"no fault is called {self.name!r}; there are {', '.join(faults)}")
        if self.shape not in (_shapes.SHAPES if self.name == "shape" else {None}):
            raise ValueError(
                f"no shape {self.shape!r} for {self.name!r}; there are {', '.join(_shapes.SHAPES)}"
            )

    @property
    def commits(self) -> bool:
        """Whether the grant book is changed as if all were well."""
        if self.commit is not None:
            return self.commit
        if self.shape is not None:
            return self.shape not in _shapes.ERRORS
        return self.name in _COMMITTING

    @property
    def keeps_refresh_token(self) -> bool:
        """Whether the answer names no new refresh token, so that the old one must stay valid."""
        return self.shape in _shapes.KEEPING


class FaultQueue:
    """The faults to come, each for a number of requests or (None) for all that follow."""

    def __init__(self) -> None:
        """Begin with none."""
        self._waiting: deque[tuple[Fault, int | None]] = deque()

    def __len__(self) -> int:
        """How many faults wait or last."""
        return len(self._waiting)

    def add(self, fault: Fault, times: int | None) -> None:
        """Queue a fault behind the others."""
        self._waiting.append((fault, times))

    def take(self) -> Fault | None:
        """Return the fault for the next request, if there is one."""
        if not self._waiting:
            return None
        fault, times = self._waiting.popleft()
        if times is None or times > 1:
            self._waiting.appendleft((fault, None if times is None else times - 1))
        return fault

    def clear(self) -> None:
        """Be well again."""
        self._waiting.clear()


def spoil(fault: Fault, answer: Answer | None) -> Response:
    """Return the wrong answer in place of the right one; None when nothing was committed."""
    response = _FAULTS[fault.name](fault, answer or Answer(OK, {}))
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(fault.retry_after)
    return response if fault.status is None else replace(response, status=fault.status)


def _badly_sent(fault: Fault, answer: Answer, delivery: Delivery) -> Response:
    pause = 0.2 if fault.seconds is None else fault.seconds
    return replace(answer.respond(), delivery=delivery, pause=pause)


def _shaped(fault: Fault, answer: Answer) -> Response:
    assert fault.shape is not None
    if fault.shape in _shapes.ERRORS and "error" not in answer.payload:
        answer = Answer(400, {"error": fault.error, "error_description": "as told by the test"})
    return _shapes.SHAPES[fault.shape](answer)


_OOPS = b"<!doctype html><title>Oops</title><h1>Oops</h1>"
_BUSY = b'{"error": "temporarily_unavailable"}'

_FAULTS: dict[FaultName, Callable[[Fault, Answer], Response]] = {
    "slow": lambda _, answer: answer.respond(),
    "drop": lambda fault, answer: _badly_sent(fault, answer, "none"),
    "drop_before": lambda fault, answer: _badly_sent(fault, answer, "none"),
    "cut": lambda fault, answer: _badly_sent(fault, answer, "cut"),
    "trickle": lambda fault, answer: _badly_sent(fault, answer, "trickle"),
    "trickle_headers": lambda fault, answer: _badly_sent(fault, answer, "trickle_headers"),
    "429": lambda *_: respond(429, _BUSY),
    "500": lambda *_: respond(500, b'{"error": "server_error"}'),
    "502": lambda *_: respond(502, _OOPS, "text/html"),
    "503": lambda *_: respond(503, _BUSY),
    "html": lambda *_: respond(200, _OOPS, "text/html"),
    "huge": lambda fault, answer: respond(200, _padded(answer.payload, fault.size)),
    "gzip_bomb": lambda fault, answer: respond(
        200, _packed(answer.payload, fault.size), headers={"Content-Encoding": "gzip"}
    ),
    "redirect": lambda fault, _: respond(307, b"", headers={"Location": fault.to or "/"}),
    "shape": _shaped,
}


def _padded(payload: Payload, size: int) -> bytes:
    before, _, after = json.dumps(payload | {"padding": "|"}).encode().partition(b"|")
    return before + b"0" * (size * 2**20) + after


def _packed(payload: Payload, size: int) -> bytes:
    """Return the gzip form of `_padded`, which itself is never held in memory."""
    before, _, after = json.dumps(payload | {"padding": "|"}).encode().partition(b"|")
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    parts = [packer.compress(part) for part in (before, *[b"0" * 2**20] * size, after)]
    return b"".join(parts) + packer.flush()
