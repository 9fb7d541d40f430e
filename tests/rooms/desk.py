"""A provider in memory, for tests of one room: a sender that rotates, refuses replays, and does as it is told.

Law: no network and no clock; a second witness beside ``tokenlatch.testing``, which has both.
"""

import json
import threading
from collections import deque
from urllib.parse import parse_qsl

from tokenlatch import RefreshPolicy, RefreshToken, TokenSource
from tokenlatch._wire import Answer
from tokenlatch.errors import TransportError

LIFETIME = 100


class Desk:
    """Answers token requests; ``asked`` holds their forms, ``script`` what to do instead of answering well."""

    def __init__(self, lifetime=LIFETIME):
        self.lifetime = lifetime
        self.asked = []
        self.script = deque()
        self.replays = 0
        self._number = 0
        self._good = {"rt-0"}
        self._open = threading.Event()
        self._open.set()
        self._inside = threading.Semaphore(0)

    def __call__(self, ask):
        """Send."""
        form = dict(parse_qsl(ask.body().decode()))
        self.asked.append(form)
        self._inside.release()
        assert self._open.wait(20), "nobody opened the desk"
        order = self.script.popleft() if self.script else None
        if isinstance(order, Answer):
            return order
        if isinstance(order, BaseException) and getattr(order, "sent", None) is not True:
            raise order
        answer = self._spend(form)
        if order is not None:  # the answer is lost after the commit
            raise order
        return answer

    def close_doors(self):
        """Keep requests inside from now on."""
        self._open.clear()

    def open_doors(self):
        """Let them go."""
        self._open.set()

    def arrived(self):
        """Wait until one more request is inside."""
        assert self._inside.acquire(timeout=10), "no token request came"

    def _spend(self, form):
        token = form.get("refresh_token")
        if form["grant_type"] == "refresh_token" and token not in self._good:
            self.replays += token != "unknown"
            return refusal("invalid_grant")
        self._good.discard(token)
        self._number += 1
        self._good.add(f"rt-{self._number}")
        body = {"access_token": f"at-{self._number}", "expires_in": self.lifetime}
        if form["grant_type"] == "refresh_token":
            body["refresh_token"] = f"rt-{self._number}"
        return Answer(200, {}, json.dumps(body).encode())


def refusal(error, status=400, **headers):
    """An error answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, json.dumps({"error": error}).encode())


def lost(*, sent):
    """An answer that is lost, or a request that never left."""
    error = TransportError("The line is down.")
    error.sent = sent
    return error


def grant(**changes):
    """A user's grant whose first refresh token is rt-0."""
    named = {"client_id": "app", "client_secret": "sesame", "refresh_token": "rt-0"}
    return RefreshToken("https://idp.example/token", **named | changes)


def source_at(desk, clock, **options):
    """A source that asks this desk."""
    options = {"policy": RefreshPolicy(jitter=0), "clock": clock, "sender": desk} | options
    return TokenSource(options.pop("grant", None) or grant(), **options)
