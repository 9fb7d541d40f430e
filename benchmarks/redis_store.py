"""Scenario 10: ``RedisStore`` on loopback beside ``FileStore``: hot path, adoption, stampede, soak."""

import contextlib
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from dataclasses import replace

from benchmarks import place
from benchmarks.crew import Crew
from benchmarks.peers import contestant
from benchmarks.peers.tokenlatch_ import tokens_of
from benchmarks.server import Server
from benchmarks.soak import SOAK
from benchmarks.stampede import one_round

NAMES = {"a file": "tokenlatch", "Redis": "tokenlatch, Redis"}


@contextlib.contextmanager
def running():
    """Run a Redis of our own on a free port of loopback; yield its URL."""
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        words = [
            "--bind",
            "127.0.0.1",
            "--port",
            str(port),
            "--dir",
            folder,
            "--save",
            "",
            "--appendonly",
            "yes",
        ]
        with subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL) as server:
            try:
                while True:
                    with (
                        contextlib.suppress(OSError),
                        socket.create_connection(("127.0.0.1", port), 1),
                    ):
                        break
                    time.sleep(0.02)
                yield f"redis://127.0.0.1:{port}/0"
            finally:
                server.terminate()


class WithRedis(Server):
    """A server whose places name the Redis too."""

    def __init__(self, url):
        super().__init__()
        self._redis = url

    def place(self, life=3600.0):
        return replace(super().place(life), redis_url=self._redis)


def refresh_and_adopt(name, where, count):
    """Return the medians, in milliseconds, of a commit and of a read by another source that looks at once."""
    one = contestant(name)
    one.prepare(where)
    mine, other = one.source(where), one.source(where)
    commits, looks = [], []
    for number in range(count):
        begin = time.perf_counter()
        mine.seed(tokens_of(replace(where, access_token=f"at-{number}")))
        done = time.perf_counter()
        other._view.look()
        looks.append((time.perf_counter() - done) * 1000)
        commits.append((done - begin) * 1000)
        assert other.token().access_token == f"at-{number}"
    return {"commit": statistics.median(commits), "look": statistics.median(looks)}


def hot(name, where, count=3000):
    """Return the microseconds of ``source.token()`` with a valid token, the best of batches."""
    one = contestant(name)
    one.prepare(where)
    source, best = one.source(where), 1.0
    source.token()
    for _ in range(30):
        begin = time.process_time_ns()
        for _ in range(count):
            source.token()
        best = min(best, (time.process_time_ns() - begin) / count / 1e9)
    return best * 1e6


def run(full):
    """Return {store: {...}}; {} where there is no redis-server."""
    if not shutil.which("redis-server"):
        return {}
    result = {}
    with running() as url, tempfile.TemporaryDirectory() as folder:
        for store, name in NAMES.items():
            where = replace(place.offline(folder), redis_url=url)
            found = {"token": hot(name, where), **refresh_and_adopt(name, where, 100)}
            with WithRedis(url) as server, Crew(name, "requests", 8, 4) as crew:
                rounds = [
                    one_round(crew, server, contestant(name), "expiry")
                    for _ in range(3 if full else 1)
                ]
            found["stampede"] = {
                "good": statistics.median(one["good"] for one in rounds),
                "token_requests": [one["token_requests"] for one in rounds],
                "failed": sum(one["failed"] for one in rounds),
            }
            with (
                WithRedis(url) as server,
                Crew(name, "requests", SOAK["processes"], SOAK["threads"]) as crew,
            ):
                where = server.place(SOAK["life"])
                contestant(name).prepare(where)
                crew.open(where)
                crew.tell(warm=True)
                server.switch("set", token_latency=SOAK["latency"])
                server.switch("reset")
                outcome = crew.go("steady", seconds=20 if full else 4, rate=SOAK["rate"])
                found["soak"] = outcome.summary() | server.switch("counts")
            result[store] = found
    return result
