"""One worker process of the demo: asks the API, again and again, with one client library.

It says ``{}`` when it is ready, waits for its job as a line of JSON, then reports a line of JSON
at a time. It ends when its standard input does, so it never outlives the demo.

Law: what a user would write, and a stopwatch around the token source.
"""

import asyncio
import json
import os
import random
import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from importlib import import_module
from typing import Any, Final

from tokenlatch import FileStore, RefreshToken, TokenSet, TokenSource
from tokenlatch._events import Adopted, Event, Refreshed
from tokenlatch.cli._demo_figures import Report
from tokenlatch.errors import AuthError

PAUSE: Final = (0.025, 0.075)
"""Seconds, at least and at most, between two requests of a thread or task."""

PATIENCE: Final = 10.0
"""Seconds to wait for the API."""

REPORT_EVERY: Final = 0.25
"""Seconds between two reports."""

stopped = threading.Event()


class Tally:
    """Adds up what the threads and tasks of this process do.

    Attributes:
        took: Seconds that each call took to get the token, since the last report.
    """

    def __init__(self) -> None:
        self.took: deque[float] = deque()
        self._lock = threading.Lock()
        self._report = Report()

    def answered(self, status: int) -> None:
        """Count a request by its answer."""
        if status == 200:  # noqa: PLR2004 - the status is its own best name
            self._add(Report(ok=1))
        else:
            self.failed(f"The API answered {status}.")

    def failed(self, error: object) -> None:
        """Count a request that failed."""
        self._add(Report(failed=1, error=str(error)))

    def happened(self, event: Event) -> None:
        """Listen to the token source."""
        match event:
            case Refreshed(generation=generation):
                self._add(Report(refreshed=1, generation=generation))
            case Adopted(generation=generation):
                self._add(Report(generation=generation))

    def report(self) -> Report:
        """Return what was done so far, and the times since the last report."""
        took = [self.took.popleft() for _ in range(len(self.took))]
        with self._lock:
            return replace(self._report, took=took)

    def _add(self, more: Report) -> None:
        with self._lock:
            self._report = self._report.plus(more)


class TimedSource(TokenSource):
    """A token source with a stopwatch: the wait for a token is what a request costs more."""

    tally: Tally

    def token(self, rejected: str | None = None) -> TokenSet:
        """Return the token, timed."""
        begin = time.perf_counter()
        try:
            return super().token(rejected)
        finally:
            self.tally.took.append(time.perf_counter() - begin)

    async def atoken(self, rejected: str | None = None) -> TokenSet:
        """Return the token, timed."""
        begin = time.perf_counter()
        try:
            return await super().atoken(rejected)
        finally:
            self.tally.took.append(time.perf_counter() - begin)

    def report(self) -> Report:
        """Return what was done so far; a token set found at the start is no event, so it is looked up."""
        done = self.tally.report()
        if not done.generation:
            with suppress(AuthError):
                done = replace(done, generation=self.status().generation)
        return done


def threads(client: Any, auth: Any, url: str, number: int, tally: Tally) -> None:  # noqa: ANN401 - one of three libraries
    """Ask from so many threads, that share one session, until stopped."""

    def work(session: Any) -> None:  # noqa: ANN401
        while not stopped.wait(_pause()):
            try:
                tally.answered(session.get(url, timeout=PATIENCE).status_code)
            except Exception as error:  # noqa: BLE001 - whatever a user would have met, it counts
                tally.failed(error)

    with (getattr(client, "Session", None) or client.Client)() as session:
        session.auth = auth
        with ThreadPoolExecutor(number) as pool:
            list(pool.map(work, [session] * number))


def tasks(client: Any, auth: Any, url: str, number: int, tally: Tally) -> None:  # noqa: ANN401
    """Ask from so many asyncio tasks, that share one client, until stopped."""

    async def work(session: Any) -> None:  # noqa: ANN401
        while not stopped.is_set():
            try:
                tally.answered((await session.get(url, timeout=PATIENCE)).status_code)
            except Exception as error:  # noqa: BLE001
                tally.failed(error)
            await asyncio.sleep(_pause())

    async def all_of_them() -> None:
        async with client.AsyncClient(auth=auth) as session:
            await asyncio.gather(*(work(session) for _ in range(number)))

    asyncio.run(all_of_them())


def main() -> None:
    """Do one job, with the library, number and kind of workers that the arguments name."""
    library, number, style = sys.argv[1:]
    client, door = import_module(library), import_module(f"tokenlatch.{library}")
    _say({})
    job = json.loads(sys.stdin.readline() or "null")
    if job is None:  # the demo ended before it began
        return
    tally = Tally()
    source = TimedSource(
        RefreshToken(**job["grant"]), store=FileStore(job["path"]), on_event=tally.happened
    )
    source.tally = tally
    threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    reporter = threading.Thread(target=_keep_reporting, args=(source,))
    reporter.start()
    work = {"threads": threads, "tasks": tasks}[style]
    try:
        auth = door.BearerAuth(source, job["origin"])
        work(client, auth, job["url"], int(number), tally)
    finally:
        stopped.set()
        reporter.join()
    source.close()
    _say(asdict(source.report()))


def _keep_reporting(source: TimedSource) -> None:
    while not stopped.wait(REPORT_EVERY):
        _say(asdict(source.report()))


def _stop_at_end_of_input() -> None:
    while os.read(sys.stdin.fileno(), 64):  # no lock of sys.stdin is held when the process ends
        pass
    stopped.set()


def _pause() -> float:
    return random.uniform(*PAUSE)  # noqa: S311 - a pause guards nothing


def _say(content: object) -> None:
    try:
        print(json.dumps(content), flush=True)
    except OSError:  # the demo was killed: nobody is there for this grant any more
        os._exit(1)


if __name__ == "__main__":
    main()
