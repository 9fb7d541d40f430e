"""The worker processes of the demo, as the demo sees them.

Law: a worker ends when its standard input is closed; Ctrl-C reaches the demo alone.
"""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import IO, Final, Self

from tokenlatch.cli._demo_figures import Report, Role

_NEW_GROUP: Final = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # Windows has this flag


class Worker:
    """One worker process.

    Attributes:
        role: What it works with.
        ready: It has loaded its library, and waits for its job.
        report: What it said last.
    """

    def __init__(self, role: Role, took: list[float]) -> None:
        self.role = role
        self.ready = threading.Event()
        self.report = Report()
        self._took = took
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own words
            [sys.executable, "-m", "tokenlatch.cli._demo_worker", *map(str, role)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
            creationflags=_NEW_GROUP,
            process_group=None if _NEW_GROUP else 0,
        )
        assert self._process.stdin  # noqa: S101 - tells the type checker of the pipe
        assert self._process.stdout  # noqa: S101
        self._input: IO[str] = self._process.stdin
        self._output: IO[str] = self._process.stdout
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def is_gone(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def go(self, job: object) -> None:
        """Let it work."""
        with suppress(OSError):  # it is gone already
            self._input.write(json.dumps(job) + "\n")
            self._input.flush()

    def end(self) -> None:
        """Let it finish what it is at, and end."""
        with suppress(OSError):
            self._input.close()

    def outcome(self, deadline: float) -> str | None:
        """Wait for its end until ``deadline`` (monotonic seconds); return what is wrong with it."""
        try:
            status = self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return f"A worker ({self.role}) did not end, and was killed."
        self._reader.join()  # its last report counts
        return f"A worker ({self.role}) ended with status {status}." if status else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self.end()
        self._output.close()

    def _read(self) -> None:
        for line in self._output:
            said = json.loads(line)
            if said:
                self.report = Report(**said)
                self._took.extend(self.report.took)
            self.ready.set()
