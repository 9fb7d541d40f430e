"""What can go wrong at a token endpoint, as data: faults, and the odd shapes real servers answer in.

Law: pure. A fault is a record; `spoil` turns the right answer into the wrong one; nobody waits or sends here.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args
from urllib.parse import urlencode

from tokenlatch.testing._http import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenlatch.testing._grants import Payload
    from tokenlatch.testing._http import Delivery

FaultName: TypeAlias = Literal[
    "slow",  # the answer comes `seconds` after the commit
    "drop",  # commit, then hang up without an answer
    "drop_before",  # hang up, nothing committed
    "cut",  # commit, then half of the answer
    "trickle",  # commit, then one byte of the body every `seconds`
    "trickle_headers",  # the same from the first byte of the head
    "429",
    "500",
    "502",
    "503",
    "html",  # 200 with a web page
    "huge",  # `size` MiB of JSON
    "gzip_bomb",  # the same, compressed to a thousandth
    "redirect",  # `status` (307) to `to`
    "shape",  # one of the shapes below
]

# Seen from real servers; each one's comment in `_SHAPES` says how.
ShapeName: TypeAlias = Literal[
    "array_error",
    "bom",
    "empty_error",
    "empty_refresh_token",
    "error_in_200",
    "error_object",
    "expires_in_missing",
    "expires_in_negative",
    "expires_in_null",
    "expires_in_string",
    "expires_in_words",
    "form_encoded",
    "invalid_grant_401",
    "invalid_request_for_dead",
    "json_array",
    "latin1",
    "no_access_token",
    "no_refresh_token",
    "no_token_type",
    "not_json",
    "same_refresh_token",
]

_COMMITTING = {"slow", "drop", "cut", "trickle", "trickle_headers"}
_ERROR_SHAPES = {"array_error", "empty_error", "error_in_200", "error_object", "invalid_grant_401"}
_KEEPING_SHAPES = {"no_refresh_token", "same_refresh_token", "empty_refresh_token"}


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
        if self.name not in get_args(FaultName):
            message = f"unknown fault {self.name!r}; there are: {', '.join(get_args(FaultName))}"
            raise ValueError(message)
        if (self.name == "shape") != (self.shape in get_args(ShapeName)):
            message = f"unknown shape {self.shape!r}; there are: {', '.join(get_args(ShapeName))}"
            raise ValueError(message)

    @property
    def commits(self) -> bool:
        """Whether the grant book is changed as if all were well."""
        if self.commit is not None:
            return self.commit
        return self.name in _COMMITTING or (
            self.name == "shape" and self.shape not in _ERROR_SHAPES
        )

    @property
    def keeps_refresh_token(self) -> bool:
        """Whether the answer names no new refresh token, so that the old one must stay valid."""
        return self.shape in _KEEPING_SHAPES


@dataclass(frozen=True, slots=True)
class Answer:
    """What the token endpoint has to say, before it is written down."""

    status: int
    payload: Payload
    headers: dict[str, str] = field(default_factory=dict)

    def respond(self) -> Response:
        """Write it as RFC 6749 section 5 wants it."""
        return _respond(self.status, json.dumps(self.payload).encode(), headers=self.headers)


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
    response = _FAULTS[fault.name](fault, answer or Answer(200, {}))
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(fault.retry_after)
    return response if fault.status is None else replace(response, status=fault.status)


def _respond(
    status: int,
    body: bytes,
    content_type: str = "application/json",
    headers: dict[str, str] | None = None,
) -> Response:
    return Response(
        status, {"Content-Type": content_type, "Cache-Control": "no-store", **(headers or {})}, body
    )


def _badly_sent(fault: Fault, answer: Answer, delivery: Delivery) -> Response:
    return replace(
        answer.respond(), delivery=delivery, pause=0.2 if fault.seconds is None else fault.seconds
    )


def _shaped(fault: Fault, answer: Answer) -> Response:
    assert fault.shape is not None
    if fault.shape in _ERROR_SHAPES and "error" not in answer.payload:
        answer = Answer(400, {"error": fault.error, "error_description": "as told by the test"})
    return _SHAPES[fault.shape](answer)


_OOPS = b"<!doctype html><title>Oops</title><h1>Oops</h1>"
_BUSY = b'{"error": "temporarily_unavailable"}'

_FAULTS: dict[FaultName, Callable[[Fault, Answer], Response]] = {
    "slow": lambda _, answer: answer.respond(),
    "drop": lambda fault, answer: _badly_sent(fault, answer, "none"),
    "drop_before": lambda fault, answer: _badly_sent(fault, answer, "none"),
    "cut": lambda fault, answer: _badly_sent(fault, answer, "cut"),
    "trickle": lambda fault, answer: _badly_sent(fault, answer, "trickle"),
    "trickle_headers": lambda fault, answer: _badly_sent(fault, answer, "trickle_headers"),
    "429": lambda *_: _respond(429, _BUSY),
    "500": lambda *_: _respond(500, b'{"error": "server_error"}'),
    "502": lambda *_: _respond(502, _OOPS, "text/html"),
    "503": lambda *_: _respond(503, _BUSY),
    "html": lambda *_: _respond(200, _OOPS, "text/html"),
    "huge": lambda fault, answer: _respond(200, _padded(answer.payload, fault.size)),
    "gzip_bomb": lambda fault, answer: _respond(
        200, _packed(answer.payload, fault.size), headers={"Content-Encoding": "gzip"}
    ),
    "redirect": lambda fault, _: _respond(307, b"", headers={"Location": fault.to or "/"}),
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


def _edited(**changes: object) -> Callable[[Answer], Response]:
    """Make a shape which changes fields of a token answer, or with None removes them; an error stays as it is."""

    def shape(answer: Answer) -> Response:
        if "access_token" not in answer.payload:
            return answer.respond()
        payload = {k: v for k, v in (answer.payload | changes).items() if v is not None}
        return replace(answer, payload=payload).respond()

    return shape


def _written(
    write: Callable[[Payload], bytes], content_type: str = "application/json"
) -> Callable[[Answer], Response]:
    """Make a shape which writes the same content in another form."""
    return lambda answer: _respond(answer.status, write(answer.payload), content_type)


def _null_expires_in(answer: Answer) -> Response:
    return Answer(answer.status, answer.payload | {"expires_in": None}).respond()


def _string_expires_in(answer: Answer) -> Response:
    return _edited(expires_in=str(answer.payload.get("expires_in")))(answer)


def _invalid_request(answer: Answer) -> Response:
    dead = answer.payload.get("error") == "invalid_grant"
    return replace(
        answer, payload=answer.payload | ({"error": "invalid_request"} if dead else {})
    ).respond()


def _error_object(answer: Answer) -> Response:
    code, text = answer.payload["error"], answer.payload.get("error_description")
    return Answer(answer.status, {"error": {"code": code, "message": text}}).respond()


_SHAPES: dict[ShapeName, Callable[[Answer], Response]] = {
    # Errors: nothing is committed, unless told so; a real refusal keeps its own error word.
    "array_error": lambda answer: Answer(
        answer.status, {"error": [answer.payload["error"]]}
    ).respond(),
    "empty_error": _written(lambda _: b""),
    "error_in_200": lambda answer: replace(answer, status=200).respond(),
    "error_object": _error_object,
    "invalid_grant_401": lambda answer: replace(answer, status=401).respond(),
    "invalid_request_for_dead": _invalid_request,  # only the refusal of a dead token changes; others stay right
    # Tokens: committed, and the old refresh token lives on where the answer brings no new one.
    "empty_refresh_token": _edited(refresh_token=""),
    "expires_in_missing": _edited(expires_in=None),
    "expires_in_negative": _edited(expires_in=-1),
    "expires_in_null": _null_expires_in,
    "expires_in_string": _string_expires_in,
    "expires_in_words": _edited(expires_in="in an hour"),
    "no_access_token": _edited(access_token=None),
    "no_refresh_token": _edited(refresh_token=None),
    "no_token_type": _edited(token_type=None),
    "same_refresh_token": _edited(),
    # Writing: committed, the right content in another form.
    "bom": _written(lambda payload: b"\xef\xbb\xbf" + json.dumps(payload).encode()),
    "form_encoded": _written(
        lambda payload: urlencode(payload).encode(), "application/x-www-form-urlencoded"
    ),
    "json_array": _written(lambda payload: json.dumps([payload]).encode()),
    "latin1": _written(
        lambda payload: json.dumps(payload | {"name": "Zoë"}, ensure_ascii=False).encode("latin-1")
    ),
    "not_json": _written(lambda payload: b"OK " + str(payload.get("access_token")).encode()),
}
