"""What a contestant can be asked for. Doors: requests, httpx, httpx-async, httpx2, httpx2-async."""

from importlib import import_module


class Contestant:
    """One whose auth object holds the token; each thread has a client of its own with it.

    Attributes:
        doors: The clients that it serves.
        margin: Seconds before expiry from which it counts a token as expired.
        notices: "expiry", "401": what makes it refresh.
    """

    doors = ()
    margin = 0.0
    notices = ("expiry",)

    def __init__(self, name):
        self.name = name

    def prepare(self, place):
        """Put the grant where all processes find it, if there is such a place."""

    def wake(self):
        """Be the one whose turn it is: for contestants that keep something in their module."""

    def auth(self, door, place):
        """Return the auth object; None where there is none that stands alone."""
        raise NotImplementedError

    def open(self, door, place, null=False):
        """Return a function that makes a client for one thread; with ``null``, one that reaches no network."""
        auth = self.auth(door, place)
        return lambda: plain_client(door, null, auth)


class Session(Contestant):
    """One whose client holds the token: all threads of a process share it."""

    def auth(self, door, place):
        return None

    def client(self, door, place, transport):
        raise NotImplementedError

    def open(self, door, place, null=False):
        client = self.client(door, place, transport(door) if null and door != "requests" else None)
        if null and door == "requests":
            mount_null(client)
        return lambda: client


def library(door):
    return import_module(door.removesuffix("-async"))


def plain_client(door, null, auth):
    if door == "requests":
        import requests

        session = requests.Session()
        session.auth = auth
        if null:
            mount_null(session)
        return session
    httpx = library(door)
    kind = httpx.AsyncClient if door.endswith("-async") else httpx.Client
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return kind(auth=auth, limits=limits, timeout=30, transport=transport(door) if null else None)


def transport(door):
    """Return a transport of httpx that answers 200 at once."""
    httpx = library(door)
    return httpx.MockTransport(lambda request: httpx.Response(200))


def mount_null(session):
    """Let a session of requests reach an adapter that answers 200 at once."""
    import requests
    from requests.adapters import BaseAdapter

    class Null(BaseAdapter):
        def send(self, request, **_):
            answer = requests.Response()
            answer.status_code, answer.url, answer.request, answer.connection = 200, request.url, request, self
            answer._content = b""
            return answer

        def close(self):
            pass

    session.mount("http://", Null())
