"""The listening socket: one thread for quick answers, and one more for each request that may wait.

Law: knows nothing of OAuth, and does no pipelining, because no client here does. A thread per connection was tried
first: with 96 clients some waited more than a second for their turn at the interpreter, and a benchmark would have
blamed tokenlatch for it.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING

from tokenlatch.testing._http import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenlatch.testing._http import Request, Response

_BACKLOG = 1024


class Listener:
    """Serves connections on 127.0.0.1 until it is closed."""

    def __init__(
        self,
        port: int,
        handle: Callable[[Request], Response],
        is_quick: Callable[[Request], bool],
        closing: threading.Event,
    ) -> None:
        """Bind the port (0 takes a free one); `start` serves.

        Args:
            port: on 127.0.0.1.
            handle: answers a request, in a thread of its own unless it `is_quick`.
            is_quick: tells whether `handle` will return at once and never raise.
            closing: set when everything that waits has to end.

        Raises:
            OSError: the port is taken.
        """
        self._listening = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
        self.port: int = self._listening.getsockname()[1]
        self._handle = handle
        self._is_quick = is_quick
        self._closing = closing
        self._selector = selectors.DefaultSelector()
        self._bell, self._door = socket.socketpair()
        self._handed_back: deque[Connection] = deque()
        self._lock = threading.Lock()
        self._open: set[Connection] = set()
        self._workers: set[threading.Thread] = set()
        self._loop = threading.Thread(target=self._run, name="oauth-server", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._door, selectors.EVENT_READ)
        self._loop.start()

    def close(self, timeout: float) -> None:
        """End every connection and wait for every thread, at most `timeout` seconds each.

        Raises:
            RuntimeError: a thread does not end; a hook of the test is still running in it.
        """
        self._closing.set()
        self._bell.send(b"!")
        self._loop.join(timeout)
        with self._lock:
            workers = list(self._workers)
            for connection in self._open:
                _shut(connection.socket)
        for worker in workers:
            worker.join(timeout)
        with self._lock:
            for connection in self._open:
                connection.socket.close()
        for each in (self._selector, self._listening, self._bell, self._door):
            each.close()
        if any(worker.is_alive() for worker in workers):
            raise RuntimeError(
                "a request is still being answered: is a hook waiting for something?"
            )

    def _run(self) -> None:
        while not self._closing.is_set():
            for key, _ in self._selector.select():
                if key.fileobj is self._listening:
                    self._accept()
                elif key.fileobj is self._door:
                    self._door.recv(4096)
                    while self._handed_back:
                        self._watch(self._handed_back.popleft())
                else:
                    self._receive(key.data)
        _shut(self._listening)

    def _accept(self) -> None:
        sock, _ = self._listening.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock, self._closing)
        with self._lock:
            self._open.add(connection)
        self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)

    def _receive(self, connection: Connection) -> None:
        """Read what is there; answer at once if that is a whole quick request, else leave it to a thread."""
        try:
            connection.fill()
            request = connection.read() if connection.has_request() else None
            if request and self._is_quick(request):
                if connection.write(request, self._handle(request)):
                    return
                raise ConnectionAbortedError
        except (OSError, ValueError):
            self._selector.unregister(connection.socket)
            self._hang_up(connection)
            return
        if request or connection.has_head():
            self._selector.unregister(connection.socket)
            worker = threading.Thread(
                target=self._work, args=[connection, request], name="oauth-request", daemon=True
            )
            with self._lock:
                self._workers.add(worker)
            worker.start()

    def _work(self, connection: Connection, request: Request | None) -> None:
        again = False
        try:
            with contextlib.suppress(OSError, ValueError):
                request = request or connection.read()
            if request:
                response = self._handle(request)
                with contextlib.suppress(OSError):
                    again = connection.write(request, response)
        finally:
            if again and not self._closing.is_set():
                self._handed_back.append(connection)
                self._bell.send(b"!")
            else:
                self._hang_up(connection)
            with self._lock:
                self._workers.discard(threading.current_thread())

    def _hang_up(self, connection: Connection) -> None:
        with self._lock:
            self._open.discard(connection)
        _shut(connection.socket)
        connection.socket.close()


def _shut(sock: socket.socket) -> None:
    """End the connection itself: close() alone would leave it open as long as a forked child has a copy."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
