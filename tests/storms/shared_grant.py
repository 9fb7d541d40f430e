"""One grant of one server in one file, the sources and processes that share it, and what became of it."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tokenlatch import FileStore, Provider, RefreshToken, TokenSet, TokenSource
from tokenlatch._format import from_json, is_whole

if TYPE_CHECKING:
    from typing import Any, Self

    from tokenlatch._state import State
    from tokenlatch.testing import AuthorizationServer

ROOT = Path(__file__).parents[2]
KEPT = {"token.json", "token.json.lock", "token.json.counter"}
"""What may lie in the directory while nobody refreshes."""


class SharedGrant:
    """A grant with a file for its state; closes what it made.

    Args:
        server: Who gave it.
        path: Where its state lives.
        grace: Seconds of grace that the provider is declared to have.
    """

    def __init__(self, server: AuthorizationServer, path: Path, *, grace: float = 0.0) -> None:
        self.server, self.path, self.grace = server, path, grace
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.release()
        self._ends.close()

    def source(
        self, *, first: str | None = None, store: FileStore | None = None, **options: Any
    ) -> TokenSource:
        """Return one more source, as another process would make it; ``store``: with other options."""
        grant = RefreshToken(
            Provider(self.server.token_url, refresh_retry_grace=self.grace),
            client_id="app",
            client_secret="app-secret",
            refresh_token=first,
        )
        source = TokenSource(grant, store=store or FileStore(self.path), **options)
        return self._ends.enter_context(source)

    def seed(
        self, *, left: float = -1.0, life: float = 3600.0, store: FileStore | None = None
    ) -> TokenSet:
        """Let a user log in; ``left``: seconds until the access token's end (negative: it is over)."""
        answer = self.server.issue()
        now = time.time()
        tokens = TokenSet(
            answer["access_token"],
            refresh_token=answer["refresh_token"],
            issued_at=now + left - life,
            expires_at=now + left,
        )
        self.source(store=store).seed(tokens)
        if left <= 0:
            self.server.expire_now()
        return tokens

    def worker(self, **settings: Any) -> Worker:
        """Start one more process; see tests/storms/worker.py for the settings."""
        settings = {"path": str(self.path), "token_url": self.server.token_url, **settings}
        settings.setdefault("grace", self.grace)
        return self._ends.enter_context(Worker(settings))

    def crew(self, count: int, **settings: Any) -> list[Worker]:
        """Start processes and wait until all of them are ready."""
        workers = [self.worker(**settings) for _ in range(count)]
        for each in workers:
            each.ready()
        return workers

    def once(self, **job: Any) -> dict[str, Any]:
        """Let a process of its own ask for one token; see tests/storms/once.py for the job."""
        job = {"path": str(self.path), "token_url": self.server.token_url, **job}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.storms.once"],
            cwd=ROOT,
            input=json.dumps(job),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def state(self) -> State | None:
        """Return what the file holds; it must be whole whatever happened."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        assert is_whole(content), content[-80:]
        return from_json(content)

    def files(self) -> set[str]:
        """Return what lies in the directory."""
        return {each.name for each in self.path.parent.iterdir()}

    @property
    def alive(self) -> bool:
        """Whether the refresh token in the file is the one that the server will take next."""
        state = self.state()
        page = self.server.book._refresh.get(state.tokens.refresh_token)
        return page is not None and page.spent_at is None and not page.grant.revoked


class Worker:
    """A process of tests/storms/worker.py: one JSON command a line, one JSON answer a line."""

    def __init__(self, settings: dict[str, Any]) -> None:
        python, path = settings.pop("python", sys.executable), settings.pop("pythonpath", None)
        self._process = subprocess.Popen(
            [python, "-W", "ignore", "-m", "tests.storms.worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **({"PYTHONPATH": str(path)} if path else {})},
        )
        self.pid = self._process.pid
        self._heard = b""
        self.send(**settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def ready(self) -> None:
        """Wait until it takes commands."""
        assert self.answer() == {"ready": self.pid}

    def send(self, **command: Any) -> None:
        """Give a command."""
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()

    def answer(self, within: float = 20.0) -> dict[str, Any]:
        """Return the next answer."""
        deadline = time.monotonic() + within
        with selectors.DefaultSelector() as ears:
            ears.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._heard:
                assert ears.select(deadline - time.monotonic()), f"no answer within {within} s"
                said = os.read(self._process.stdout.fileno(), 65536)
                assert said, f"the worker ended: {self._process.wait()}"
                self._heard += said
        line, _, self._heard = self._heard.partition(b"\n")
        return json.loads(line)

    def ask(self, **command: Any) -> dict[str, Any]:
        """Give a command and return the answer."""
        self.send(**command)
        return self.answer()

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def leave(self) -> None:
        """Let it end as a program does that has nothing more to do."""
        self._process.stdin.close()

    def ended(self, within: float = 20.0) -> int:
        """Wait for its end and return its exit status."""
        return self._process.wait(within)
