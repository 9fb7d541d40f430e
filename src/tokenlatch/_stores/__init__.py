"""Where the state of a grant lives, and the law that every store obeys.

The law of a store:

- ``load`` returns the last committed state, whole, without waiting for the lock.
- ``transaction`` excludes every other transaction on the same state, in all threads and processes
  that share it, until it is left or its process dies.
- ``commit`` is all or nothing, durable when it returns, and only happens if the generation is still
  the one that the transaction read or committed last; else it raises ``StoreConflict``.
- After a successful ``reserve`` the next ``commit`` does not fail for want of space.
- Nothing is ever guessed: what cannot be read raises ``StoreError`` and stays as it is.
"""

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from tokenlatch._state import State

__all__ = ["TokenStore", "Transaction"]


class Transaction(Protocol):
    """Exclusive access to one state.

    Attributes:
        state: What was read under the lock; ``state.intent`` means that the last holder died.
    """

    @property
    def state(self) -> State | None: ...

    def reserve(self) -> None:
        """Make sure that the next commit will fit.

        Raises:
            StoreError: It will not.
        """

    def commit(self, state: State) -> None:
        """Replace the state, durably and at once.

        Raises:
            StoreConflict: Another one committed in between; nothing was written.
            StoreError: It cannot be written; the old state stands.
        """


@runtime_checkable
class TokenStore(Protocol):
    """Keeps the state of one grant for all its workers."""

    def load(self) -> State | None:
        """Return the committed state, or None when there is none yet.

        Raises:
            StoreError: It cannot be read, or is not ours to read.
        """

    def changed(self) -> bool:
        """Tell whether the state may differ from the one that ``load`` returned last; cheap, no lock."""

    def transaction(self, timeout: float) -> AbstractContextManager[Transaction]:
        """Wait up to ``timeout`` seconds for exclusive access; 0: one try.

        Raises:
            LockTimeout: Another holder has it.
            StoreError: It cannot be locked or read.
        """
