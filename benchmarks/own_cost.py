"""Scenario 6: what a refresh costs besides the token request, which a function answers at once here.

Beside it, in turn, its physical parts: one durable replace of a 2 KiB file (write, fsync, rename, fsync of the
directory), of which a safe refresh needs two (the intent before the token is spent, the new token before it is used);
the lock; and all that it asks of lock and disk, bare: two such replaces, the second into space reserved before. Then
the same refresh over loopback HTTP, against a bare POST with requests.
"""

import os
import statistics
import tempfile
import time

from benchmarks.server import Server
from tokenlatch import Custom, FileStore, MemoryStore, RefreshToken, TokenSet, TokenSource


def durable_replace(folder, *, reserve=False):
    content = b"x" * 2048
    descriptor = os.open(f"{folder}/n", os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    if reserve:
        os.posix_fallocate(descriptor, 0, 32768)
        os.fsync(descriptor)
    os.write(descriptor, content)
    os.ftruncate(descriptor, len(content))
    os.fsync(descriptor)
    os.replace(f"{folder}/n", f"{folder}/t")
    os.close(descriptor)
    directory = os.open(folder, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def bare(folder):
    lock(folder)
    durable_replace(folder)
    durable_replace(folder, reserve=True)


def lock(folder):
    from filelock import FileLock

    with FileLock(f"{folder}/l"):
        pass


def sources(folder):
    numbers = iter(range(10**9))

    def fetch(_):
        return TokenSet(
            f"at-{next(numbers)}",
            expires_at=time.time() + 3600,
            refresh_token=f"rt-{next(numbers)}",
        )

    stores = {
        "a refresh, in a file": FileStore(f"{folder}/s.json"),
        "a refresh, in memory": MemoryStore(),
    }
    for name, store in stores.items():
        source = TokenSource(Custom(fetch, name="bench"), store=store)
        source.refresh()
        yield name, source.refresh


def over_http(server):
    import requests

    first, second = server.place(36000.0), server.place(36000.0)
    grant = RefreshToken(
        first.token_url, client_id=first.client_id, client_secret=first.client_secret
    )
    source = TokenSource(grant, store=FileStore(first.path("s.json")))
    source.seed(
        TokenSet(first.access_token, expires_at=first.expires_at, refresh_token=first.refresh_token)
    )
    spent = {"token": second.refresh_token}

    def post():
        data = {"grant_type": "refresh_token", "refresh_token": spent["token"]}
        with requests.Session() as session:
            spent["token"] = session.post(second.token_url, data, auth=second.client).json()[
                "refresh_token"
            ]

    return {"a bare POST, requests": post, "a refresh, over HTTP": source.refresh}


def run(full):
    """Return {step: {"best", "p50"}} in milliseconds."""
    rounds = 300 if full else 60
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DISK")) as folder,
        Server() as server,
    ):
        steps = {
            "one durable replace": lambda: durable_replace(folder),
            "the lock": lambda: lock(folder),
            "lock and disk of a refresh, bare": lambda: bare(folder),
            **dict(sources(folder)),
            **over_http(server),
        }
        took = {name: [] for name in steps}
        for _ in range(rounds):
            for name, step in steps.items():
                begin = time.perf_counter()
                step()
                took[name].append((time.perf_counter() - begin) * 1000)
    return {
        name: {"best": min(mine), "p50": statistics.median(mine)} for name, mine in took.items()
    }
