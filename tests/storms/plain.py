"""A sender of the standard library alone: workers start four times as fast, and on any Python.

The real senders are proven by tests/rooms and by test_network.py here.
"""

import http.client
from urllib.parse import urlsplit

from tokenlatch._wire import Answer
from tokenlatch.errors import TransportError


def send(ask):
    """POST a token request over a fresh connection; say whether it can have arrived when it fails."""
    return receive(ask, begin(ask))


def begin(ask):
    """Send it; the answer is still on its way."""
    url = urlsplit(ask.url)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    try:
        connection.connect()
    except OSError as problem:
        error = TransportError("Nobody listens there.")
        error.sent = False
        raise error from problem
    connection.request("POST", url.path, ask.body(), ask.all_headers())
    return connection


def receive(ask, connection):
    """Wait for the answer."""
    try:
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, headers, answer.read())
    except (OSError, http.client.HTTPException) as problem:
        raise TransportError(f"The answer of {ask.url} was lost.") from problem
    finally:
        connection.close()
