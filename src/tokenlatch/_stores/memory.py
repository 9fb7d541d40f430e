"""The state of one process, for threads and tasks.

Law: nothing leaves the process; a copy of a rotating grant would be a second spender.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tokenlatch._process import in_child
from tokenlatch._state import State
from tokenlatch.errors import LockTimeout, StoreConflict


class MemoryStore:
    """Keeps the state in memory: for one process, and gone when it ends.

    Example:
        >>> MemoryStore()
        MemoryStore()
    """

    shared = False
    """Other processes do not see this state."""

    def __init__(self) -> None:
        self._state: State | None = None
        self._seen: State | None = None
        self._unlock()
        in_child(self, MemoryStore._unlock)  # there, nobody is left who could let go of it

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return "MemoryStore()"

    def __getstate__(self) -> dict[str, object]:
        """Leave the tokens and the lock behind."""
        return {}

    def __setstate__(self, _: dict[str, object]) -> None:
        """Begin empty."""
        MemoryStore.__init__(self)

    def load(self) -> State | None:
        """Return the state, or None before the first commit."""
        self._seen = self._state
        return self._state

    def changed(self) -> bool:
        """Tell whether ``load`` would return another state."""
        return self._state is not self._seen

    @contextmanager
    def transaction(self, timeout: float) -> Iterator["_MemoryTransaction"]:
        """Hold the state for oneself.

        Raises:
            LockTimeout: Another thread holds it.
        """
        if (
            not self._lock.acquire(timeout=timeout)
            if timeout
            else not self._lock.acquire(blocking=False)
        ):
            error = LockTimeout("Another thread is refreshing.")
            error.waited = timeout
            raise error
        try:
            yield _MemoryTransaction(self)
        finally:
            self._lock.release()


class _MemoryTransaction:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.state = store._state

    def reserve(self) -> None:
        """Do nothing: memory is there."""

    def commit(self, state: State) -> None:
        if self._store._state is not self.state:
            raise StoreConflict("The state in memory changed under a transaction.")
        self._store._state = self.state = state
