"""The demo: a server in this process, workers in theirs, and one token file between them.

Law: the server and the view share this process, so that neither takes a worker's time; what is
good or bad is in ``_demo_figures``, what it looks like in ``_demo_view``.
"""

import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tokenlatch.cli._demo_crew import Worker
from tokenlatch.cli._demo_figures import Figures, Role, expiries
from tokenlatch.cli._demo_view import View, view
from tokenlatch.testing import AuthorizationServer

ROLES: Final = (
    Role("requests", 4, "threads"),
    Role("httpx", 4, "tasks"),
    Role("httpx2", 4, "threads"),
    Role("httpx", 4, "threads"),
    Role("httpx2", 4, "tasks"),
)
"""What the workers are, in turn."""

TOKEN_LATENCY: Final = 0.05
"""Seconds that the server takes for a token request, as one on the Internet would."""

PATIENCE: Final = 20.0
"""Seconds that all workers together have to end; longer than one waits for the API."""

TICK: Final = 0.25
"""Seconds between two looks at the workers."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose; durations in seconds."""

    seconds: float = 10.0
    workers: int = 8
    lifetime: float = 2.0
    plain: bool = False
    revoke_after: float | None = None


def run(options: Options) -> int:
    """Run the demo and print it; return the exit status."""
    roles = [role for role in ROLES if find_spec(role.library)]
    if not roles:
        print(
            "The demo needs an HTTP client: pip install 'tokenlatch[all]' (or one of the extras "
            "requests, httpx, httpx2)",
            file=sys.stderr,
        )
        return 1
    with ExitStack() as stack:
        stop = stack.enter_context(_interruptible())
        shown = stack.enter_context(view(options.seconds, plain=options.plain))
        demo = Demo(options, stack)
        demo.hire(roles)
        demo.work(stop, shown)
        interrupted = stop.is_set()
        figures = demo.end()
        shown.show(figures)
    shown.conclude(figures, interrupted=interrupted)
    if interrupted:
        return 128 + signal.SIGINT
    return 1 if figures.problems() else 0


class Demo:
    """The server, the workers and the figures of one run."""

    def __init__(self, options: Options, stack: ExitStack) -> None:
        self._options, self._stack = options, stack
        self._begin = self._elapsed = 0.0
        self._took: list[float] = []
        self._crew: list[Worker] = []
        self._issued: list[float] = []
        self._folder = stack.enter_context(TemporaryDirectory(prefix="tokenlatch-demo-"))
        self._server = AuthorizationServer(
            access_lifetime=options.lifetime,
            token_latency=TOKEN_LATENCY,
            kill_old_access=True,  # as strict as servers come: all workers must notice at once
            clients={"demo": secrets.token_urlsafe()},
        )
        self._server.after_commit = lambda: self._issued.append(time.monotonic())
        stack.enter_context(self._server)

    def hire(self, roles: list[Role]) -> None:
        """Start the workers."""
        for number in range(self._options.workers):
            worker = Worker(roles[number % len(roles)], self._took)
            self._crew.append(self._stack.enter_context(worker))

    def work(self, stop: threading.Event, shown: View) -> None:
        """Let the workers go when all are there, and show what they do, until the end."""
        while not all(worker.ready.is_set() for worker in self._crew):
            if stop.wait(TICK / 5) or self._anyone_gone():
                return
        job = self._job()
        for worker in self._crew:
            worker.go(job)
        self._begin, seconds = time.monotonic(), self._options.seconds
        revoke_after = self._options.revoke_after
        while self._elapsed < seconds and not stop.wait(min(TICK, seconds - self._elapsed)):
            self._elapsed = time.monotonic() - self._begin
            if revoke_after is not None and self._elapsed >= revoke_after:
                self._server.revoke_now()
            shown.show(self.figures())
            if self._anyone_gone():
                return

    def end(self) -> Figures:
        """End the workers and return the final figures."""
        for worker in self._crew:
            worker.end()
        deadline = time.monotonic() + PATIENCE
        outcomes = [worker.outcome(deadline) for worker in self._crew]
        return self.figures([each for each in outcomes if each])

    def figures(self, stray: list[str] | None = None) -> Figures:
        """Return the figures of this moment."""
        return Figures(
            elapsed=self._elapsed,
            roles=[worker.role for worker in self._crew],
            reports=[worker.report for worker in self._crew],
            counts=self._server.counts,
            expiries=expiries(self._issued, self._options.lifetime),
            took=self._took,
            stray=stray or [],
        )

    def _job(self) -> dict[str, object]:
        (client_id, client_secret), *_ = self._server.clients.items()
        grant = {
            "provider": self._server.token_url,
            "client_id": client_id,
            "client_secret": client_secret,
            "refresh_token": self._server.issue()["refresh_token"],
        }
        return {
            "grant": grant,
            "path": str(Path(self._folder, "token.json")),
            "origin": self._server.url,
            "url": self._server.api_url,
        }

    def _anyone_gone(self) -> bool:
        return any(worker.is_gone for worker in self._crew)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn Ctrl-C and its kin into an event: nothing is cut short, everything is put away."""
    stop = threading.Event()
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (getattr(signal, name) for name in names)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
