"""One refresh under way in this process, and the ways to wait for it.

Law: the work runs in a thread of its own; whoever waits may be cancelled, the work may not.
"""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from tokenlatch._state import TokenSet
from tokenlatch.errors import AuthError


class Flight:
    """A refresh that any number of threads and tasks may wait for.

    Args:
        rejected: The access token whose refusal caused it, or None.
        forced: Refresh although the token is good.
        patient: Wait for the lock; else leave at once when another worker has it.
    """

    __slots__ = ("_future", "_landings", "_thread", "forced", "patient", "rejected")

    def __init__(self, rejected: str | None, *, forced: bool = False, patient: bool = True) -> None:
        self.rejected = rejected
        self.forced = forced
        self.patient = patient
        self._thread: int | None = None
        self._landings: dict[object, Any] = {}
        self._future: Future[TokenSet | None] = Future()
        self._future.set_running_or_notify_cancel()  # else cancelling one waiter cancels it for all

    @property
    def landed(self) -> bool:
        """Whether there is a result."""
        return self._future.done()

    @property
    def begun(self) -> bool:
        """Whether its work runs, or ran."""
        return self._thread is not None

    @property
    def is_mine(self) -> bool:
        """Whether the calling code runs inside this flight."""
        return self._thread == threading.get_ident() and not self.landed

    def start(self, work: Callable[["Flight"], TokenSet | None]) -> None:
        """Run ``work`` in a thread that interpreter exit waits for; inline where none can be had."""
        thread = threading.Thread(
            target=self._run, args=(work,), name="tokenlatch-refresh", daemon=False
        )
        try:
            thread.start()
        except RuntimeError:
            self._run(work)

    def land(self, tokens: TokenSet | None) -> None:
        """Let the waiters go on with this; the first landing counts."""
        with suppress(InvalidStateError):
            self._future.set_result(tokens)

    def wait(self) -> TokenSet | None:
        """Block until it landed; None: nothing was decided, look again.

        Raises:
            AuthError: The refresh failed.
        """
        error = (
            self._future.exception()
        )  # never Thread.join(): Ctrl-C would abandon the thread before 3.13
        if isinstance(error, AuthError):
            raise error.copy()
        return self._future.result()

    async def arrive(self) -> TokenSet | None:
        """Await the landing in a task of asyncio or trio.

        Raises:
            AuthError: The refresh failed.
        """
        if not self.landed:
            trio = sys.modules.get("trio")
            if trio is not None and trio.lowlevel.in_trio_task():
                token = trio.lowlevel.current_trio_token()
                await self._landing(token, token.run_sync_soon, trio.Event).wait()
            else:
                import asyncio

                loop = asyncio.get_running_loop()
                await self._landing(loop, loop.call_soon_threadsafe, asyncio.Event).wait()
        return self.wait()

    def _landing(self, loop: object, post: Callable[..., object], make: Callable[[], Any]) -> Any:  # noqa: ANN401 - an event of asyncio or trio
        """Return the one event of this loop: the landing wakes each loop once, however many tasks wait."""
        if loop not in self._landings:
            landed = make()

            def wake(_: object) -> None:
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    post(landed.set)

            self._future.add_done_callback(wake)
            self._landings[loop] = landed
        return self._landings[loop]

    def _run(self, work: Callable[["Flight"], TokenSet | None]) -> None:
        self._thread = threading.get_ident()
        try:
            self.land(work(self))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the waiters must learn of it
            if not self.landed:
                self._future.set_exception(error)
