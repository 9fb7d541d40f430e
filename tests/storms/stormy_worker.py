"""A worker of the kill storm: it uses the API without end, and expects to be killed at any instant."""

import http.client
import random
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.storms import plain
from tokenlatch import FileStore, Provider, RefreshToken, TokenSource
from tokenlatch.errors import AuthError

REFRESHES = 0.03
"""How often a worker refreshes although it need not, so that more kills fall into a dance."""

PACE = 0.02
"""Seconds between two requests of one worker."""


def quiet(_):
    """Expect the interruptions."""


def work(settings, stop, telling):
    """Ask the API until a file called ``stop`` is there; tell what went wrong, a line for each."""
    grant = RefreshToken(
        Provider(settings["token_url"], refresh_retry_grace=settings["grace"]),
        client_id="app",
        client_secret="app-secret",
    )
    store = FileStore(settings["path"])
    source = TokenSource(grant, store=store, sender=plain.send, on_event=quiet)
    api = http.client.HTTPConnection(urlsplit(settings["token_url"]).netloc, timeout=20)
    while not Path(stop).exists():
        begin = time.monotonic()
        problem = once(source, api)
        took = time.monotonic() - begin
        if problem or took > settings["patience"]:
            telling.send_bytes(f"{problem or 'waited'} after {took:.1f} s".encode())
        time.sleep(PACE)  # the pace of a caller
    source.close()


def once(source, api):
    """Make one request as a door does; return what went wrong, or None."""
    try:
        tokens = source.refresh() if random.random() < REFRESHES else source.token()
        if status(api, tokens) == 401:
            tokens = source.token(rejected=tokens.access_token)
            if status(api, tokens) == 401:
                return "refused twice"
    except AuthError as error:
        return f"{type(error).__name__}: {error}"
    return None


def status(api, tokens):
    """Ask the API."""
    api.request("GET", "/api", headers={"Authorization": f"Bearer {tokens.access_token}"})
    answer = api.getresponse()
    answer.read()
    return answer.status
