"""One grant of a real server's user in one token file, shared by sources here and by worker processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenlatch import FileStore, RefreshToken, TokenSet, TokenSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.interop.counting_proxy import CountingProxy
    from tests.interop.real_servers import Server

WORKER = Path(__file__).with_name("worker.py")


def token_set(answer: Mapping[str, Any]) -> TokenSet:
    """Return a server's token answer, just received, as a token set."""
    now = time.time()
    return TokenSet(
        answer["access_token"],
        expires_at=now + answer["expires_in"],
        issued_at=now,
        refresh_token=answer["refresh_token"],
        scope=answer.get("scope"),
    )


@dataclass(frozen=True, slots=True)
class SharedGrant:
    """Where the grant lives: at `server`, whose token endpoint is asked through `proxy`, and in the file `path`."""

    server: Server
    proxy: CountingProxy
    path: Path

    def source(self, **options: Any) -> TokenSource:
        """Return a new source on the token file; `options` go to `TokenSource`."""
        grant = RefreshToken(
            self.proxy.url,
            client_id=self.server.client_id,
            client_secret=self.server.client_secret,
        )
        return TokenSource(grant, **{"store": FileStore(self.path)} | options)

    def seed(self) -> TokenSet:
        """Log the user in and put the new grant into the token file."""
        tokens = token_set(self.server.new_grant())
        source = self.source()
        source.seed(tokens)
        source.close()
        return tokens

    @contextmanager
    def worker(self, act: str, **job: Any) -> Iterator[subprocess.Popen[str]]:
        """Start a process that does `act` of `worker.py` on the token file; kill -9 what is left of it at the end.

        Args:
            act: Which of its acts.
            job: What that act needs to know besides the grant.
        """
        job |= {
            "act": act,
            "path": str(self.path),
            "token_url": self.proxy.url,
            "client_id": self.server.client_id,
            "client_secret": self.server.client_secret,
            "origin": self.server.base,
            "api_url": self.server.api_url,
        }
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with subprocess.Popen([sys.executable, WORKER], text=True, **pipes) as worker:
            try:
                with worker.stdin:
                    json.dump(job, worker.stdin)
                worker.stdin = None  # communicate() would flush it again
                yield worker
            finally:
                worker.kill()

    def run_worker(self, act: str, **job: Any) -> dict[str, Any]:
        """Run a worker to its end and return what it printed."""
        with self.worker(act, **job) as worker:
            return result_of(worker, within=30)

    def kill_worker_after_the_answer(self) -> None:
        """Have a worker refresh; kill -9 it when the server has answered and it knows nothing of that yet."""
        withheld = self.proxy.withhold_next_answer()
        with self.worker("refresh"):
            assert withheld.arrived.wait(20), "the worker never asked for a token"
        withheld.dropped.set()


def result_of(worker: subprocess.Popen[str], within: float) -> dict[str, Any]:
    """Return what a worker printed.

    Raises:
        RuntimeError: It failed; the message has its traceback.
        subprocess.TimeoutExpired: It took longer than `within` seconds.
    """
    printed, complaint = worker.communicate(timeout=within)
    if worker.returncode:
        raise RuntimeError(f"worker ended with {worker.returncode}: {complaint}")
    return dict(json.loads(printed))
