"""The same questions through every door: requests, httpx and httpx2; sync, asyncio and trio."""

import asyncio
import importlib
import ssl
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import trio

from tokenlatch import RefreshPolicy, RefreshToken, TokenSource
from tokenlatch.testing import AuthorizationServer
from tokenlatch.testing._http import Response

LIFETIME = 100

TLS = ssl.create_default_context()
"""One for all clients: each would take 20 ms to load the certificates, which nobody needs here."""


@dataclass(frozen=True)
class Door:
    """One client library, used in one way."""

    library: str
    how: str

    def __str__(self):
        return f"{self.library}-{self.how}"

    @property
    def client(self):
        """The library itself."""
        return importlib.import_module(self.library)

    @property
    def error(self):
        """What API clients catch."""
        return getattr(self.client, "RequestException", None) or self.client.RequestError

    @property
    def is_async(self):
        """Whether a loop is needed."""
        return self.how != "sync"

    def auth(self, source, *origins, **options):
        """The door's auth object."""
        kind = importlib.import_module(f"tokenlatch.{self.library}").BearerAuth
        return kind(source, origins if len(origins) > 1 else origins[0], **options)

    def open(self, auth, **options):
        """A client of httpx or its kin."""
        kind = self.client.AsyncClient if self.is_async else self.client.Client
        return kind(auth=auth, verify=TLS, timeout=20, **options)

    def send(self, auth, method, url, *, body=None, follow=False, **options):
        """Send one request with a client of its own and return the read response."""
        return self.send_all(auth, [(method, url, {"body": body, **options})], follow=follow)[0]

    def send_all(self, auth, requests, *, follow=False):
        """Send some requests, one after another, with one client."""
        if self.library == "requests":
            return self._send_requests(auth, requests, follow)
        calls = [(method, url, _httpx_options(more)) for method, url, more in requests]
        if not self.is_async:
            with self.open(auth, follow_redirects=follow) as client:
                return [client.request(method, url, **more) for method, url, more in calls]

        async def main():
            async with self.open(auth, follow_redirects=follow) as client:
                return [await client.request(method, url, **more) for method, url, more in calls]

        return self.run(main)

    def run(self, main):
        """Run a coroutine function in this door's loop."""
        return asyncio.run(main()) if self.how == "asyncio" else trio.run(main)

    def _send_requests(self, auth, requests, follow):
        with self.client.Session() as session:
            session.auth = auth
            answers = []
            for method, url, options in requests:
                more = {k: v for k, v in options.items() if v is not None}
                if "body" in more:
                    more["data"] = more.pop("body")
                answers.append(session.request(method, url, allow_redirects=follow, **more))
            return answers


def _httpx_options(options):
    more = {k: v for k, v in options.items() if v is not None}
    if "body" in more:
        more["content"] = more.pop("body")
    return more


DOORS = [
    Door("requests", "sync"),
    Door("httpx", "sync"),
    Door("httpx", "asyncio"),
    Door("httpx", "trio"),
    Door("httpx2", "sync"),
    Door("httpx2", "asyncio"),
    Door("httpx2", "trio"),
]


@pytest.fixture(params=DOORS, ids=str)
def door(request):
    """Each door in turn."""
    return request.param


@pytest.fixture(params=[each for each in DOORS if not each.is_async], ids=str)
def sync_door(request):
    """Each door that needs no loop."""
    return request.param


@pytest.fixture(params=[Door("httpx", "sync"), Door("httpx2", "sync")], ids=str)
def httpx_door(request):
    """Each of httpx's kin, without a loop."""
    return request.param


@pytest.fixture(params=[each for each in DOORS if each.is_async], ids=str)
def async_door(request):
    """Each door that needs a loop."""
    return request.param


@pytest.fixture
def server(clock):
    """The provider and its API."""
    with AuthorizationServer(access_lifetime=LIFETIME, clock=clock) as running:
        yield running


@pytest.fixture
def foreign(clock):
    """Another origin: the same host, another port. It knows none of our tokens."""
    with AuthorizationServer(clock=clock) as running:
        yield running


@pytest.fixture
def make(server, clock):
    """Make sources on the test's clock; the first has asked for its first token."""
    with ExitStack() as stack:

        def make(grant=None, **options):
            grant = grant or RefreshToken(
                server.token_url,
                client_id="app",
                client_secret="app-secret",
                refresh_token=server.issue(scope="read")["refresh_token"],
            )
            options = {"clock": clock, "policy": RefreshPolicy(jitter=0)} | options
            source = TokenSource(grant, **options)
            stack.callback(source.close)
            source.token()
            server.reset_counts()
            return source

        yield make


@pytest.fixture
def source(make):
    """A source with a valid token; the server's counts are at zero."""
    return make()


@pytest.fixture
def route(server):
    """Add a path to the API: ``route(path, handler)``; the handler gets a request and returns a Response."""

    def route(path, answer):
        server._paths[path] = answer if callable(answer) else lambda _: answer
        return f"{server.url}{path}"

    return route


def carries(server, request):
    """Whether this request has a live token."""
    scheme, _, token = (request.authorization or "").partition(" ")
    return scheme == "Bearer" and server.book.is_live(token, server._clock())


def refusing(server, refusal=None, answer=None):
    """Return a handler that refuses like the API, but in its own words."""

    def handle(request):
        if carries(server, request):
            return answer(request) if callable(answer) else answer or Response(200)
        return refusal or Response(401)

    return handle


def sent_to(server, path=None):
    """The Authorization headers that arrived, in order."""
    return [e.request.authorization for e in server.log if path in {None, e.request.path}]


def statuses(server, path=None):
    """The statuses that were answered, in order."""
    return [each.status for each in server.log if path in {None, each.request.path}]
