"""Scenario 1: what a valid token costs, per request; the token in a file, 401 handling armed, adoption on.

Two views, each in microseconds (best of batches, in turn) and in instructions (callgrind, exact):

- alone: the auth object's part, from the prepared request to the end of its look at the answer;
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
from pathlib import Path

from benchmarks import place, timing
from benchmarks.peers import NAMES, contestant
from benchmarks.peers.base import library

DOORS = ("requests", "httpx", "httpx-async", "httpx2", "httpx2-async")
URL = "http://127.0.0.1:9/api"


def enter(door):
    """Return the contestants of a door, those not installed left out, each with its folder prepared."""
    found = {}
    for name in NAMES:
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
    return lambda count: (async_batch if door.endswith("-async") else flow_batch)(auth, library(door), count)


def requests_batch(auth, count):
    """As ``PreparedRequest.prepare_auth`` and ``Session.send`` do it; each request is a new one."""
    import requests
    from requests.hooks import dispatch_hook

    headers = {"User-Agent": "benchmark", "Accept-Encoding": "gzip", "Accept": "*/*", "Connection": "keep-alive"}
    pairs = []
    for _ in range(count):
        request = requests.Request("GET", URL, headers=headers).prepare()
        answer = requests.Response()
        answer.status_code, answer.request, answer.url = 200, request, URL
        pairs.append((request, answer))

    def batch():
        for request, answer in pairs:
            auth(request)
            dispatch_hook("response", request.hooks, answer)

    return batch


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
    with httpx.Client() as client:
        made = [client.build_request("GET", URL) for _ in range(count)]
    answer = httpx.Response(200, request=made[0], content=b"{}")
    return made, answer


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


VIEWS = {"alone": (alone, 400), "whole": (whole, 60)}


def contestants(door, view, folder, names=None):
    """Return name -> (count -> batch), warm."""
    found = {}
    for name, one in enter(door).items():
        if names and name not in names:
            continue
        where = place.offline(Path(folder) / f"{door}-{view}-{name}".replace(" ", "-"))
        Path(where.folder).mkdir()
        one.prepare(where)
        make = VIEWS[view][0](door, one, where)
        if make:
            make(20)()
            found[name] = make
    return found


def times(door, view, rounds):
    """Return name -> Figure in microseconds."""
    count = VIEWS[view][1]
    with tempfile.TemporaryDirectory() as folder:
        found = contestants(door, view, folder)

        def timer(make):
            def run():
                batch = make(count)
                begin = time.process_time_ns()
                batch()
                return (time.process_time_ns() - begin) / count / 1e9

            return run

        return timing.interleave({name: timer(make) for name, make in found.items()}, "floor", rounds)


# -- instructions -------------------------------------------------------------------------------


def count_instructions(door, view, names=()):
    """Return name -> instructions of one step, under callgrind; {} where there is no valgrind."""
    if not shutil.which("valgrind"):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = ["valgrind", "--tool=callgrind", "--dump-before=getloadavg", f"--callgrind-out-file={out}"]
        script = [sys.executable, "-m", "benchmarks.hot_path", door, view, *names]
        done = subprocess.run(
            [*command, *script], env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=True
        )
        order = done.stdout.splitlines()
        # Dump number 2 k + 1 ends what was done before the k-th step's marks, number 2 k + 2 the steps themselves.
        sums = [
            int(re.search(r"^summary: (\d+)", Path(f"{out}.{number}").read_text(), re.M)[1])
            for number in range(2, 2 * len(order) + 1, 2)
        ]
    return {name: count / COUNTED[view] for name, count in zip(order, sums, strict=True)}


COUNTED = {"alone": 200, "whole": 50}


def be_counted(door, view, names):
    """Run under callgrind: marks around each contestant's steps, their names on standard output."""
    with tempfile.TemporaryDirectory() as folder:
        found = contestants(door, view, folder, names)
        batches = {}
        for name, make in found.items():
            make(200)()  # caches of the interpreter are warm then
            batches[name] = make(COUNTED[view])
        import gc

        gc.collect()
        gc.disable()
        for name, batch in batches.items():
            os.getloadavg()
            batch()
            os.getloadavg()
            print(name)


# -- the scenario -------------------------------------------------------------------------------


def run(full):
    """Return {door: {view: {name: {"us", "over", "instructions"}}}}."""
    result = {}
    for door in DOORS:
        for view in VIEWS:
            figures = times(door, view, 60 if full else 12)
            counts = count_instructions(door, view) if view == "alone" or full else {}
            result.setdefault(door, {})[view] = {
                name: {"us": figure.best, "over": figure.over, "instructions": counts.get(name)}
                for name, figure in figures.items()
            }
    return result


if __name__ == "__main__":
    be_counted(sys.argv[1], sys.argv[2], sys.argv[3:])
