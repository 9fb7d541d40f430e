"""A worker process: told over standard input what to open and what to do, it answers one JSON line to each order.

Orders: {"load": name, "door", "threads" or "tasks"}, {"open": place}, {"warm": true}, {"burst": at},
{"steady": at, "seconds", "rate"}, {"flood": at, "seconds"}, {"adopt": seconds}, {"rest": true}. Instants are monotonic.
"""

import asyncio
import contextlib
import json
import logging
import os
import random
import sys
import threading
import time

from benchmarks.peers import contestant
from benchmarks.place import Place


class Worker:
    def __init__(self, load, door, threads=0, tasks=0):
        self.one, self.door, self.threads, self.tasks = contestant(load), door, threads, tasks
        self.loop = asyncio.new_event_loop()

    def open(self, place):
        self.place = Place(**place)
        make = self.one.open(self.door, self.place)
        self.clients = [make() for _ in range(self.threads or 1)]
        return {"ready": True}

    def warm(self, _):
        """Open the connections, with the token still good; imports and caches are warm then."""
        return self.crowd(lambda _: self.ask, lambda _: self.aask)

    def burst(self, at):
        """Everybody asks once, at the same instant."""

        def one(number):
            def go(client):
                time.sleep(max(0.0, at - time.monotonic()))
                return self.ask(client, at)

            return go

        def task(number):
            async def go(client):
                await asyncio.sleep(max(0.0, at - time.monotonic()))
                return await self.aask(client, at)

            return go

        return self.crowd(one, task)

    def steady(self, at, seconds, rate):
        """Ask at a constant rate: latencies count from when a request was due, so that no wait hides another."""
        count, every = round(seconds * rate), 1 / rate
        at += random.random() * every  # the workers of a real service are not in step

        def one(number):
            def go(client):
                taken = []
                for turn in range(number, count, len(self.clients)):
                    due = at + turn * every
                    time.sleep(max(0.0, due - time.monotonic()))
                    taken += self.ask(client, due)
                return taken

            return go

        return self.crowd(one, None)

    def flood(self, at, seconds):
        """Ask as fast as it goes; tell the CPU seconds, too."""
        end = at + seconds

        def one(number):
            def go(client):
                time.sleep(max(0.0, at - time.monotonic()))
                taken = []
                while time.monotonic() < end:
                    taken += self.ask(client)
                return taken[:-1]  # the last one came after the end

            return go

        def task(number):
            async def go(client):
                await asyncio.sleep(max(0.0, at - time.monotonic()))
                taken = []
                while time.monotonic() < end:
                    taken += await self.aask(client)
                return taken[:-1]

            return go

        begin = time.process_time()
        return self.crowd(one, task) | {"cpu": time.process_time() - begin}

    def rest(self, _):
        """Tell of memory (KiB), descriptors and threads."""
        with open("/proc/self/status") as status:
            lines = dict(line.split(":", 1) for line in status)
        return {
            "memory": int(lines["VmRSS"].split()[0]),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "threads": threading.active_count(),
        }

    # -- one request, as (latency, status) ------------------------------------------------------

    def ask(self, client, due=None):
        begin = time.monotonic() if due is None else due
        try:
            status = client.get(self.place.api_url).status_code
        except Exception as problem:  # whatever a contestant raises is its result
            status = type(problem).__name__
        return [(time.monotonic() - begin, status)]

    async def aask(self, client, due=None):
        begin = time.monotonic() if due is None else due
        try:
            status = (await client.get(self.place.api_url)).status_code
        except Exception as problem:
            status = type(problem).__name__
        return [(time.monotonic() - begin, status)]

    # -- the crowd ------------------------------------------------------------------------------

    def crowd(self, thread, task):
        if self.tasks:
            taken = self.loop.run_until_complete(self.gather(task))
        else:
            taken, jobs = [], []
            for number, client in enumerate(self.clients):
                job = threading.Thread(
                    target=lambda go, c: taken.extend(go(c)), args=(thread(number), client)
                )
                job.start()
                jobs.append(job)
            for job in jobs:
                job.join()
        return {"took": [each[0] for each in taken], "status": [each[1] for each in taken]}

    async def gather(self, task):
        client = self.clients[0]
        found = await asyncio.gather(*(task(number)(client) for number in range(self.tasks)))
        return [each for mine in found for each in mine]


def main():
    logging.disable(logging.CRITICAL)
    worker = None
    with contextlib.suppress(KeyboardInterrupt):
        for line in sys.stdin:
            order = json.loads(line)
            if "load" in order:
                worker, answer = Worker(**order), {"ready": True}
            elif order.keys() & {"steady", "flood"}:
                name = "steady" if "steady" in order else "flood"
                answer = getattr(worker, name)(order.pop(name), **order)
            else:
                ((name, value),) = order.items()
                answer = getattr(worker, name)(value)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
