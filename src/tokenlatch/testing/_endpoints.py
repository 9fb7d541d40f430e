"""What clients see: the token endpoint, revocation, introspection, and an API to call with the tokens.

Law: reads requests and writes answers; what the tokens are worth is the book's to know, what goes wrong the faults'.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from tokenlatch.testing._answers import OK, Answer
from tokenlatch.testing._book import Refused
from tokenlatch.testing._faults import FaultQueue, spoil
from tokenlatch.testing._gate import Gate
from tokenlatch.testing._http import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tokenlatch.testing._book import GrantBook, Payload
    from tokenlatch.testing._faults import Fault
    from tokenlatch.testing._http import Request

_INVALID_TOKEN = 'Bearer error="invalid_token"'
_QUICK = {"/api", "/always401", "/forbidden"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and the status it was answered with; 0 when the connection was closed instead."""

    request: Request
    status: int


class Endpoints:
    """Answers requests out of one book of grants, one thread at a time in the book."""

    def __init__(
        self, book: GrantBook, clients: dict[str, str | None], clock: Callable[[], float]
    ) -> None:
        """Serve this book."""
        self.book = book
        self.clients = clients
        self.token_latency = 0.0
        self.api_latency = 0.0
        self.challenge: str | None = _INVALID_TOKEN
        self.before_commit: Callable[[], object] | None = None
        self.after_commit: Callable[[], object] | None = None
        self.faults = FaultQueue()
        self.log: deque[Exchange] = deque(maxlen=10_000)
        self._clock = clock
        self._lock = threading.Lock()
        self.gate = Gate()
        self._closing = threading.Event()
        self._paths: dict[str, Callable[[Request], Response]] = {
            "/token": self._token,
            "/revoke": self._revoke,
            "/introspect": self._introspect,
            "/api": self._api,
            "/always401": self._always401,
            "/forbidden": self._forbidden,
            "/redirect": self._redirect,
            "/stream": self._stream,
        }

    def _answer(self, request: Request) -> Response:
        """Answer one request and log it."""
        path = request.path
        answer = self._paths.get("/api" if path.startswith("/api/") else path)
        response = answer(request) if answer else Response(404)
        self.log.append(Exchange(request, 0 if response.delivery == "none" else response.status))
        return response

    def _is_quick(self, request: Request) -> bool:
        """Tell whether the answer needs no waiting, so that it needs no thread either."""
        return request.path in _QUICK and not self.api_latency

    def _token(self, request: Request) -> Response:
        if request.method != "POST":
            return Response(405, {"Allow": "POST"})
        with self.gate.inside():
            with self._lock:
                self.book.tally["token_requests"] += 1
            self._pause(self.token_latency)
            self.gate.wait("before")
            with self._lock:
                fault = self.faults.take()
            if self.before_commit:
                self.before_commit()
            answer = None if fault and not fault.commits else self._spend(request, fault)
            if self.after_commit:
                self.after_commit()
            self.gate.wait("after")
            if fault is None:
                return answer.respond() if answer else Response(500)
            if fault.name == "slow":
                self._pause(fault.seconds or 1.0)
            return spoil(fault, answer)

    def _spend(self, request: Request, fault: Fault | None) -> Answer:
        """Change the book as the request asks and write the right answer."""
        with self._lock:
            try:
                keep = fault is not None and fault.keeps_refresh_token
                return Answer(OK, self._granted(request, keep=keep))
            except Refused as refusal:
                return _refused(refusal, request)

    def _granted(self, request: Request, *, keep: bool) -> Payload:
        client_id, form, now = self._client(request), request.form, self._clock()
        match form.get("grant_type"):
            case "refresh_token" if form.get("refresh_token"):
                rotate = False if keep else None
                return self.book.refresh(
                    form["refresh_token"], client_id, now, form.get("scope"), rotate=rotate
                )
            case "client_credentials" if self.clients[client_id] is not None:
                self.book.tally["client_credentials"] += 1
                return self.book.issue(client_id, now, form.get("scope"), refreshable=False)
            case "client_credentials":
                raise Refused("unauthorized_client", "a public client has no credentials")
            case "refresh_token" | None:
                raise Refused("invalid_request", "a parameter is missing")
            case _:
                raise Refused(
                    "unsupported_grant_type", "there are refresh_token and client_credentials"
                )

    def _client(self, request: Request) -> str:
        """Authenticate the client by basic, body or none (RFC 6749 section 2.3)."""
        form = request.form
        scheme, _, value = (request.authorization or "").partition(" ")
        if scheme.lower() == "basic":
            try:
                pair = base64.b64decode(value, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                pair = ""
            client_id, _, secret = pair.partition(":")
            client_id, secret = unquote_plus(client_id), unquote_plus(secret)
            if "client_secret" in form or form.get("client_id", client_id) != client_id:
                raise Refused("invalid_request", "the client authenticated in two ways")
        else:
            client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        if client_id not in self.clients or (self.clients[client_id] or "") != secret:
            raise Refused("invalid_client", "unknown client or wrong secret", 401)
        return client_id

    def _revoke(self, request: Request) -> Response:
        with self._lock:
            try:
                self.book.revoke(request.form.get("token", ""), self._client(request))
            except Refused as refusal:
                return _refused(refusal, request).respond()
        return Response(200)

    def _introspect(self, request: Request) -> Response:
        with self._lock:
            try:
                self._client(request)
            except Refused as refusal:
                return _refused(refusal, request).respond()
            return Answer(
                200, self.book.introspect(request.form.get("token", ""), self._clock())
            ).respond()

    def _api(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        seen = {
            "ok": True,
            "method": request.method,
            "bytes": request.size,
            "sha256": request.sha256,
        }
        return Response(200, {"Content-Type": "application/json"}, json.dumps(seen).encode())

    def _always401(self, request: Request) -> Response:
        return self._refusal(request, accept=False) or Response(500)

    def _forbidden(self, request: Request) -> Response:
        challenge = 'Bearer error="insufficient_scope"'
        return self._refusal(request) or Response(403, {"WWW-Authenticate": challenge})

    def _redirect(self, request: Request) -> Response:
        query = request.query
        location = {"Location": query.get("to", "/api")}
        return self._refusal(request) or Response(int(query.get("status", "302")), location)

    def _stream(self, request: Request) -> Response:
        events = self._events(float(request.query.get("interval", "0.1")))
        return self._refusal(request) or Response(
            200, {"Content-Type": "text/event-stream"}, events
        )

    def _events(self, interval: float) -> Iterator[bytes]:
        number = 0
        while not self._closing.is_set():
            yield b"data: %d\n\n" % number
            number += 1
            self._closing.wait(interval)

    def _refusal(self, request: Request, *, accept: bool = True) -> Response | None:
        """Count an API request, and return a 401 unless it carries a live token."""
        self._pause(self.api_latency)
        scheme, _, token = (request.authorization or "").partition(" ")
        with self._lock:
            self.book.tally["api_requests"] += 1
            if accept and scheme.lower() == "bearer" and self.book.is_live(token, self._clock()):
                return None
            self.book.tally["api_unauthorized"] += 1
        # RFC 6750 section 3.1: no error word for a request that carried no token.
        challenge = self.challenge if token else self.challenge and "Bearer"
        return Response(401, {"WWW-Authenticate": challenge} if challenge else {})

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            self._closing.wait(seconds)


def _refused(refusal: Refused, request: Request) -> Answer:
    payload: Payload = {"error": refusal.error, "error_description": refusal.description}
    # RFC 6749 section 5.2: a client that tried by header is told the scheme.
    basic = refusal.error == "invalid_client" and (request.authorization or "").lower().startswith(
        "basic "
    )
    return Answer(
        refusal.status, payload, {"WWW-Authenticate": 'Basic realm="token"'} if basic else {}
    )
