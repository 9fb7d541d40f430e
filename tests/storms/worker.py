"""One worker process: settings in the first line of its standard input, then one JSON command a line."""

import json
import os
import resource
import signal
import sys
import threading
import time
from collections import Counter
from importlib import import_module

from tests.storms import plain
from tokenlatch import (
    ClientCredentials,
    FileStore,
    MemoryStore,
    Provider,
    RefreshPolicy,
    RefreshToken,
    TokenSource,
    _senders,
)
from tokenlatch.errors import AuthError


class SoftTimeLimit(Exception):  # noqa: N818 - the name that Celery's users know
    """What a task queue raises in the main thread by a signal."""


def sender(settings):
    """Return the plain sender, or the library's own."""
    if settings.get("real_sender"):
        return None
    if "sender" in settings:
        return getattr(_senders, settings["sender"])()
    return _senders.RequestsSender(total=settings["total"]) if "total" in settings else plain.send


class Worker:
    """Does what the commands say, each with a method of that name."""

    def __init__(self, settings):
        self.busy = False
        provider = Provider(settings["token_url"], refresh_retry_grace=settings.get("grace", 0.0))
        client = {"client_id": "app", "client_secret": "app-secret"}
        if settings.get("repeatable"):
            grant = ClientCredentials(provider, **client)
        else:
            grant = RefreshToken(provider, **client, refresh_token=settings.get("first"))
        self.source = TokenSource(
            grant,
            store=FileStore(settings["path"]) if settings.get("path") else MemoryStore(),
            policy=RefreshPolicy(**settings.get("policy", {})),
            sender=sender(settings),
        )
        self.threads, self.results, self.pipes = [], [], []
        signal.signal(signal.SIGINT, self.interrupt(KeyboardInterrupt))
        signal.signal(signal.SIGUSR1, self.interrupt(SoftTimeLimit))
        if settings.get("exits_on_term"):
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    def interrupt(self, kind):
        """Return a signal handler that raises while a command is done, and only then."""

        def handler(*_):
            if self.busy:
                raise kind

        return handler

    def outcome(self, act):
        """Return what comes of an act, as JSON can say it."""
        begin = time.monotonic()
        try:
            said = {"access_token": act().access_token}
        except AuthError as error:
            said = {"error": type(error).__name__, "message": str(error)}
            said["retry_after"] = getattr(error, "retry_after", None)
        return {**said, "took": time.monotonic() - begin}

    def token(self, rejected=None):
        """Ask for a token."""
        return self.outcome(lambda: self.source.token(rejected))

    def refresh(self):
        """Refresh whatever the token is worth."""
        return self.outcome(self.source.refresh)

    def begin(self):
        """Ask for a token in another thread."""
        thread = threading.Thread(target=lambda: self.results.append(self.token()))
        self.threads.append(thread)
        thread.start()
        return {}

    def end(self):
        """Wait for the threads of `begin`."""
        for thread in self.threads:
            thread.join()
        return {"results": self.results}

    def fork(self, children=1):
        """Fork children that ask for a token; a child that hangs is killed by its alarm."""
        for _ in range(children):
            reading, writing = os.pipe()
            if os.fork() == 0:
                signal.alarm(15)
                os.write(writing, json.dumps(self.token()).encode())
                os._exit(0)
            os.close(writing)
            self.pipes.append(reading)
        return {}

    def children(self):
        """Wait for the children and return what they got."""
        said = [os.read(pipe, 65536) for pipe in self.pipes]
        for _ in self.pipes:
            os.wait()
        return {"results": [json.loads(each) if each else None for each in said]}

    def until_token(self, pace):
        """Ask again and again until there is a token; say when it came, and which errors came before it."""
        errors = Counter()
        while True:
            said = self.token()
            if "error" not in said:
                return {**said, "errors": errors, "at": time.time()}
            errors[said["error"]] += 1
            time.sleep(pace)  # the pace of a caller, who cannot know when the server is well again

    def peak_memory(self):
        """Return how much memory this process has ever used; the client's import is not to be blamed."""
        for library in ("requests", "httpx", "httpx2"):
            import_module(library)
        return {"bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}

    def serve(self):
        """Do the commands one by one."""
        for line in sys.stdin:
            command = json.loads(line)
            try:
                try:
                    self.busy = True
                    said = getattr(self, command.pop("do"))(**command)
                finally:
                    self.busy = False
            except (KeyboardInterrupt, SoftTimeLimit) as interruption:
                said = {"interrupted": type(interruption).__name__}
            say(said)


def say(said):
    """Answer."""
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def main():
    """Take the settings, and serve."""
    worker = Worker(json.loads(sys.stdin.readline()))
    say({"ready": os.getpid()})
    worker.serve()


if __name__ == "__main__":
    main()
