"""Scenario 1: what a valid token costs, per request; the token in a file, 401 handling armed, adoption on.

Three views, each in microseconds (best of batches, in turn) and in instructions (callgrind, exact):

- attach: the auth object's part before the request is sent (requests only: a flow of httpx has one piece);
- alone: all of the auth object's part, to the end of its look at the answer;
- whole: a whole request over a transport that answers at once, which peers without an auth object need.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

from benchmarks import place, timing
from benchmarks.peers import NAMES, contestant
from benchmarks.peers.base import library

DOORS = ("requests", "httpx", "httpx-async", "httpx2", "httpx2-async")
URL = "http://127.0.0.1:9/api"


def enter(door, names):
    """Return the contestants of a door, those not installed left out."""
    found = {}
    for name in names:
        try:
            one = contestant(name)
        except ImportError:
            continue
        if door in one.doors and "Redis" not in name:
            found[name] = one
    return found


# -- alone --------------------------------------------------------------------------------------


def alone(door, one, where):
    """Return a function (count) -> batch, and batch() -> None doing ``count`` steps; None without an auth object."""
    auth = one.auth(door, where)
    if auth is None:
        return None
    if door == "requests":
        return lambda count: requests_batch(auth, count)
    return lambda count: (async_batch if door.endswith("-async") else flow_batch)(
        auth, library(door), count
    )


def attach(door, one, where):
    auth = one.auth(door, where) if door == "requests" else None
    return auth and (lambda count: requests_batch(auth, count, answers=False))


def requests_batch(auth, count, *, answers=True):
    """As ``PreparedRequest.prepare_auth`` and ``Session.send`` do it; each request is a new one."""
    import requests
    from requests.hooks import dispatch_hook

    headers = {
        "User-Agent": "benchmark",
        "Accept-Encoding": "gzip",
        "Accept": "*/*",
        "Connection": "keep-alive",
    }
    pairs, pattern = [], requests.Request("GET", URL, headers=headers).prepare()
    for _ in range(count):
        request = pattern.copy()
        request.hooks = {"response": []}
        answer = requests.Response()
        answer.status_code, answer.request, answer.url = 200, request, URL
        pairs.append((request, answer))

    def batch():
        for request, answer in pairs:
            auth(request)
            dispatch_hook("response", request.hooks, answer)

    def first_half():
        for request, _ in pairs:
            auth(request)

    return batch if answers else first_half


def flow_batch(auth, httpx, count):
    """As ``Client._send_handling_auth`` drives a flow; each request is a new one."""
    requests, answer = flow_requests(httpx, count)

    def batch():
        for request in requests:
            answer.request = request
            flow = auth.sync_auth_flow(request)
            try:
                next(flow)
                try:
                    flow.send(answer)
                except StopIteration:
                    pass
            finally:
                flow.close()

    return batch


def async_batch(auth, httpx, count):
    requests, answer = flow_requests(httpx, count)

    async def drive():
        for request in requests:
            answer.request = request
            flow = auth.async_auth_flow(request)
            try:
                await anext(flow)
                try:
                    await flow.asend(answer)
                except StopAsyncIteration:
                    pass
            finally:
                await flow.aclose()

    def batch():
        in_loop(drive())

    return batch


def in_loop(coroutine):
    global _loop  # one loop for all: some contestants keep a lock that belongs to it
    if _loop is None:
        _loop = asyncio.new_event_loop()
    _loop.run_until_complete(coroutine)


_loop = None


def flow_requests(httpx, count):
    url, headers = httpx.URL(URL), _client(httpx).headers
    made = [httpx.Request("GET", url, headers=headers) for _ in range(count)]
    answer = httpx.Response(200, request=made[0], content=b"{}")
    return made, answer


@cache
def _client(httpx):
    return httpx.Client()


# -- whole --------------------------------------------------------------------------------------


def whole(door, one, where):
    client = one.open(door, where, null=True)()

    def sync(count):
        def batch():
            for _ in range(count):
                client.get(URL)

        return batch

    def tasks(count):
        async def drive():
            for _ in range(count):
                await client.get(URL)

        return lambda: in_loop(drive())

    return tasks if door.endswith("-async") else sync


VIEWS = {"attach": (attach, 400), "alone": (alone, 400), "whole": (whole, 60)}


def contestants(door, view, folder, names=None):
    """Return name -> (what wakes it, count -> batch), warm."""
    found = {}
    for name, one in enter(door, names or NAMES).items():
        where = place.offline(Path(folder) / f"{door}-{view}-{name}".replace(" ", "-"))
        Path(where.folder).mkdir()
        one.prepare(where)
        make = VIEWS[view][0](door, one, where)
        if make:
            make(20)()
            found[name] = one.wake, make
    return found


def times(door, view, rounds, names=None):
    """Return name -> Figure in microseconds."""
    count = VIEWS[view][1]
    with tempfile.TemporaryDirectory() as folder:
        found = contestants(door, view, folder, names)

        def timer(wake, make):
            def run():
                wake()
                batch = make(count)
                begin = time.process_time_ns()
                batch()
                return (time.process_time_ns() - begin) / count / 1e9

            return run

        return timing.interleave(
            {name: timer(*both) for name, both in found.items()}, "floor", rounds
        )


# -- instructions -------------------------------------------------------------------------------


def count_instructions(door, view, names=()):
    """Return name -> instructions of one step, under callgrind; {} where there is no valgrind."""
    if not shutil.which("valgrind"):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [
            "valgrind",
            "--tool=callgrind",
            "--dump-before=getloadavg",
            f"--callgrind-out-file={out}",
        ]
        script = [sys.executable, "-m", "benchmarks.hot_path", door, view, *names]
        done = subprocess.run(
            [*command, *script],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=True,
        )
        order = done.stdout.splitlines()
        # Dump number 2 k + 1 ends what was done before the k-th step's marks, number 2 k + 2 the steps themselves.
        sums = [
            int(re.search(r"^summary: (\d+)", Path(f"{out}.{number}").read_text(), re.MULTILINE)[1])
            for number in range(2, 2 * len(order) + 1, 2)
        ]
    return {name: count / COUNTED[view] for name, count in zip(order, sums, strict=True)}


COUNTED = {"attach": 200, "alone": 200, "whole": 20}
QUICK = (
    "floor",
    "floor again",
    "tokenlatch",
    "do-it-yourself",
    "singleflight-auth",
    "Authlib",
    "httpx-auth",
)


def be_counted(door, view, names):
    """Run under callgrind: marks around each contestant's steps, their names on standard output."""
    with tempfile.TemporaryDirectory() as folder:
        found = contestants(door, view, folder, names)
        batches = {}
        for name, (wake, make) in found.items():
            wake()
            make(COUNTED[view])()  # caches of the interpreter are warm then
            batches[name] = wake, make(COUNTED[view])
        import gc

        gc.collect()
        gc.disable()
        for name, (wake, batch) in batches.items():
            wake()
            os.getloadavg()
            batch()
            os.getloadavg()
            print(name)


# -- the scenario -------------------------------------------------------------------------------


def run(full):
    """Return {door: {view: {name: {"us", "over", "instructions"}}}}; quickly: two doors, the auth object alone."""
    result = {}
    for door in DOORS if full else DOORS[:2]:
        for view in VIEWS if full else ("alone",):
            if view == "attach" and door != "requests":
                continue
            figures = times(
                door, view, (30 if view == "whole" else 60) if full else 10, None if full else QUICK
            )
            counts = count_instructions(door, view, () if full else QUICK)
            result.setdefault(door, {})[view] = {
                name: {"us": figure.best, "over": figure.over, "instructions": counts.get(name)}
                for name, figure in figures.items()
            }
    return result


if __name__ == "__main__":
    be_counted(sys.argv[1], sys.argv[2], sys.argv[3:])
