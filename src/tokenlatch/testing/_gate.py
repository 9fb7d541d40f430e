"""A gate in front of (or behind) the commit, so that tests force races with events instead of hoping for them.

Law: one condition variable, no clock.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Place: TypeAlias = Literal["before", "after"]


class Gate:
    """Counts the requests inside, and keeps them there while it is shut."""

    def __init__(self) -> None:
        """Begin open and empty."""
        self._changed = threading.Condition()
        self._inside = 0
        self._shut: Place | None = None

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be counted."""
        with self._changed:
            self._inside += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1

    def shut(self, place: Place) -> None:
        """Keep requests that come to this place, until `open`."""
        with self._changed:
            self._shut = place

    def open(self) -> None:
        """Let all go on."""
        with self._changed:
            self._shut = None
            self._changed.notify_all()

    def wait(self, place: Place) -> None:
        """Stay here while the gate is shut at this place."""
        with self._changed:
            self._changed.wait_for(lambda: self._shut != place)

    def arrived(self, count: int, timeout: float) -> None:
        """Wait until `count` requests are inside at once.

        Raises:
            TimeoutError: fewer came within `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._inside >= count, timeout):
                message = f"{self._inside} of {count} token requests arrived within {timeout} s"
                raise TimeoutError(message)
