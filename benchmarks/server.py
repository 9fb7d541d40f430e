"""The authorization server of ``tokenlatch.testing`` in a process of its own, and its switches over HTTP."""

import contextlib
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from benchmarks.place import Place


class Server:
    """A server process; it ends with the ``with`` block, and so does every file beside it."""

    def __init__(self, **rules):
        self._rules = rules
        self._folders = 0

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        self._root = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-"))
        )
        words = [
            word
            for name, value in self._rules.items()
            for word in (f"--{name.replace('_', '-')}", str(value))
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "tokenlatch.testing", *words], stdout=subprocess.PIPE, text=True
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        self._ready = json.loads(process.stdout.readline().removeprefix("READY "))
        return self

    def __exit__(self, *_):
        self._stack.close()

    def switch(self, name, **arguments):
        """Throw one switch: see ``tokenlatch.testing._control``."""
        request = urllib.request.Request(
            self._ready["control_url"] + name, json.dumps(arguments).encode()
        )
        with _direct.open(request) as answer:
            return json.load(answer)

    def place(self, life=3600.0):
        """Return a new grant in a new folder; its access token lives ``life`` seconds."""
        self.switch("set", access_lifetime=life)
        self._folders += 1
        folder = self._root / str(self._folders)
        folder.mkdir()
        ready = self._ready
        blank = Place(
            ready["token_url"],
            ready["api_url"],
            ready["client_id"],
            ready["client_secret"],
            "",
            "",
            "",
            0.0,
        )
        return blank.with_grant(self.switch("issue"), folder)


_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
