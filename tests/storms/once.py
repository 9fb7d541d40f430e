"""A process that asks for one token and ends, as another user or with another umask if it is told so.

Reads one JSON object from its standard input, prints one. It begins as the user that runs the tests: the
interpreter may lie where others cannot go.
"""

import codecs
import json
import os
import sys

import filelock  # noqa: F401 - loaded before the user changes

from tests.storms import plain
from tokenlatch import FileStore, RefreshToken, TokenSource
from tokenlatch._wire import Ask
from tokenlatch.errors import AuthError


def outcome(job):
    """Return what comes of asking."""
    grant = RefreshToken(
        job["token_url"],
        client_id="app",
        client_secret="app-secret",
        refresh_token=job.get("first"),
    )
    store = FileStore(job["path"], allow_open=job.get("allow_open", False))
    try:
        with TokenSource(grant, store=store, sender=plain.send) as source:
            return {"access_token": source.token().access_token}
    except AuthError as error:
        cause = type(error.__cause__).__name__
        return {"error": type(error).__name__, "message": str(error), "cause": cause}


def main():
    """Become who we are told to be, and ask."""
    job = json.load(sys.stdin)
    # A first request to nowhere: all that Python loads on the way must come before the user changes.
    plain.send(Ask(job["token_url"] + "/nowhere"))
    for codec in ("ascii", "utf-8-sig"):
        codecs.lookup(codec)
    os.umask(job.get("umask", 0o022))
    if user := job.get("user"):
        os.setgroups([])
        os.setgid(job.get("group", user))
        os.setuid(user)
    sys.stdout.write(json.dumps(outcome(job)))


if __name__ == "__main__":
    main()
