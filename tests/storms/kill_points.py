"""A worker that tells each system call of its dance, and kills itself at the one it is told to.

It runs in a process forked from a warm one, so a test can afford one for each step.
"""

import fcntl
import multiprocessing
import os
import signal
from pathlib import Path

from tests.storms import plain
from tokenlatch import FileStore, Provider, RefreshToken, TokenSource

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.storms.kill_points", "tests.storms.stormy_worker"])

CALLS = ("open", "write", "pwrite", "fsync", "ftruncate", "posix_fallocate", "replace", "unlink")
"""What changes the directory or makes a change durable; a close or a read changes nothing."""

PHASES = {"posix_fallocate": "reserve", "request": "exchange", "answer": "save"}
"""The part of the dance that begins with a step."""


class Steps:
    """Counts the steps of this process, tells them, and ends it at one.

    Args:
        directory: Only what happens in this directory counts.
        last: The number of the step to die at.
        telling: The descriptor to write each step's name to.
    """

    def __init__(self, directory, last, telling):
        self.directory, self.last, self.telling = directory, last, telling
        self.count, self.replaced, self.phase, self.write = 0, 0, "intent", os.write

    def take(self, step):
        """Count one step."""
        self.count += 1
        self.write(self.telling, f"{self.phase}: {step}\n".encode())
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, module, name):
        """Take a step before and after each call of a function of the system."""
        original = getattr(module, name)

        def watched(place, *rest, **options):
            where = (
                Path(f"/proc/self/fd/{place}").readlink() if isinstance(place, int) else Path(place)
            )
            if self.directory not in where.parents and where != self.directory:
                return original(place, *rest, **options)
            self.phase = PHASES.get(name, self.phase)
            self.take(f"before {name} of {where.name}")
            result = original(place, *rest, **options)
            if name == "replace":
                self.replaced += 1
                self.phase = "reserve" if self.replaced == 1 else "done"
            self.take(f"after {name} of {where.name}")
            return result

        setattr(module, name, watched)

    def send(self, ask):
        """Send a token request, with a step on either side of either half."""
        self.take("before the request")
        connection = plain.begin(ask)
        self.phase = PHASES["request"]
        self.take("request sent")
        answer = plain.receive(ask, connection)
        self.phase = PHASES["answer"]
        self.take("answer received")
        return answer


def victim(settings, last, teller):
    """Ask for a token, and die at step number ``last``, if there are so many."""
    path = Path(settings["path"])
    steps = Steps(path.parent, last, teller.fileno())
    for name in CALLS:
        steps.watch(os, name)
    steps.watch(fcntl, "flock")
    grant = RefreshToken(
        Provider(settings["token_url"], refresh_retry_grace=settings["grace"]),
        client_id="app",
        client_secret="app-secret",
        refresh_token=settings["first"],
    )
    source = TokenSource(grant, store=FileStore(path), sender=steps.send, on_event=_quiet)
    if settings["ahead"]:
        source.refresh()
    else:
        source.token()
    source.close()


def _quiet(_):
    """Expect the interruptions."""


def kill_at(last, settings):
    """Let a victim run; return its pid, the steps it took, and whether it was killed."""
    mine, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=victim, args=(settings, last, theirs))
    process.start()
    theirs.close()
    said = b""
    while chunk := os.read(mine.fileno(), 65536):
        said += chunk
    process.join()
    mine.close()
    assert process.exitcode in {0, -signal.SIGKILL}, process.exitcode
    return process.pid, said.decode().splitlines(), process.exitcode != 0
