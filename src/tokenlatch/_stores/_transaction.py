"""A token file under its lock: what a dead holder left is finished, and the next state goes in whole.

Law: nothing is unlinked or overwritten before it is known to be superseded.
"""

import errno
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from tokenlatch._format import from_json, is_whole, to_json
from tokenlatch._state import State
from tokenlatch._stores import _disk
from tokenlatch.errors import StoreConflict, StoreError

if TYPE_CHECKING:
    from tokenlatch._stores.file import FileStore

ROOM: Final = 32768
"""Bytes reserved for an answer; twice the current state if that is more."""


class FileTransaction:
    """The file under the lock: see ``tokenlatch._stores.Transaction``."""

    def __init__(self, store: "FileStore") -> None:
        self._store = store
        self._next = store.path + ".next"
        self._descriptor: int | None = None
        self._size = 0
        self._holds_token = False  # NAME.next holds a whole new token that could not be moved
        self._spilled: str | None = None
        self._damage: StoreError | None = None
        self._state: State | None = None

    def __enter__(self) -> Self:
        there, seen = self._store.peek()
        self._size = seen[2] if seen else 0
        if isinstance(there, StoreError):
            self._damage = there  # then what lies beside it is the only hope, and left alone
            return self
        self._state = there
        try:
            self._roll_forward()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            self._close_next()
            if not self._holds_token:
                with suppress(OSError):
                    os.unlink(self._next)

    @property
    def state(self) -> State | None:
        """What the file holds.

        Raises:
            StoreError: The file is damaged; a commit would keep it aside.
        """
        if self._damage:
            raise self._damage.copy()
        return self._state

    def reserve(self) -> None:
        """Claim the disk space of the next commit.

        Raises:
            StoreError: There is none.
        """
        _disk.allocate(self._open_next(), self._next, max(ROOM, 2 * self._size))

    def commit(self, state: State) -> None:
        """Write, sync, replace, sync the directory.

        Raises:
            StoreConflict: The file is no longer the one that this transaction read.
            StoreError: It cannot be written; the file is as it was.
        """
        plain = to_json(state)
        state = from_json(plain)  # as everybody else will read it
        self._compare(state)
        if self._damage:
            self._keep_damaged_aside()
        content = self._store.seal(plain)
        self.write(content, state)
        self._store._know(content, state)
        if self._spilled:
            with suppress(OSError):
                os.unlink(self._spilled)
            self._spilled = None

    def write(self, content: bytes, state: State) -> None:
        """Replace the file with this content, which stands for this state.

        Raises:
            StoreError: It cannot be written, or it is, but may not survive a power cut.
        """
        path, descriptor = self._store.path, self._open_next()
        self._holds_token = False
        try:
            _disk.write_all(descriptor, content)
            os.fsync(descriptor)
            self._size = len(content)
            self._holds_token = self._state is None or state.generation > self._state.generation
            if os.name == "nt":  # an open file cannot be moved there
                self._close_next()
            elif not os.path.samestat(os.fstat(descriptor), os.lstat(self._next)):
                raise FileNotFoundError(errno.ENOENT, "another file lies in its place")
            _disk.replace(self._next, path)
            self._close_next()
            self._accept(state)
            _disk.sync_directory(os.path.dirname(path))
        except OSError as problem:
            if isinstance(problem, FileNotFoundError):
                # A holder that the lock did not keep out took NAME.next for litter: make a new one.
                self._close_next()
            raise _disk.failure(path, "save the tokens to", problem) from problem

    def spill(self, state: State) -> str | None:
        """Save a state that the file does not take to the runtime directory; return where, or None."""
        path = self._store.spill_path
        if path is None:
            return None
        try:
            descriptor = _disk.create_private(path)
            try:
                _disk.write_all(descriptor, self._store.seal(to_json(state)))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except (OSError, StoreError):
            return None
        self._spilled = path
        return path

    def _roll_forward(self) -> None:
        """Finish what a dead holder had written whole but not moved, or had to put elsewhere."""
        for path in (self._next, self._store.spill_path):
            if path is None or not os.path.lexists(path):
                continue
            successor = self._successor(path)
            if successor and path == self._next:
                self._adopt_next(successor)
            elif successor:
                self.commit(successor)
            with suppress(OSError):
                os.unlink(path)

    def _adopt_next(self, successor: State) -> None:
        path = self._store.path
        try:
            _disk.sync(self._next)
            _disk.replace(self._next, path)  # never rewritten: it is the only copy
            self._accept(successor)
            _disk.sync_directory(os.path.dirname(path))
        except OSError as problem:
            raise _disk.failure(path, "save the tokens to", problem) from problem

    def _successor(self, path: str) -> State | None:
        """Return the whole state in this file, if it is the next one; what else lies there is litter."""
        try:
            found = _disk.read_private(path, allow_open=self._store.allow_open)
            # The zeros after it were reserved, and not cut off yet when its writer died.
            plain = self._store.unseal(found[0].rstrip(b"\0")) if found else b""
            successor = from_json(plain) if is_whole(plain) else None
        except (StoreError, ValueError):
            return None
        if successor is None:
            return None
        if self._state is None:  # the file was removed: the newest that is left counts
            return successor if successor.generation else None
        mine = successor.identity == self._state.identity
        return successor if mine and successor.generation == self._state.generation + 1 else None

    def _compare(self, state: State) -> None:
        """Make sure that nothing newer than what this transaction read would be overwritten.

        A file that vanished meanwhile holds nothing newer; nor does one in which a holder that the
        lock did not keep out has only noted its intent or failure, if we bring a new token.
        """
        there, _ = self._store.peek()
        if there is None or there == self._state or self._damage:
            return
        newer = state.generation > (self._state.generation if self._state else 0)
        if isinstance(there, StoreError):
            if not newer:
                raise there
            self._damage = there
        elif not state.supersedes(there, self._state):
            message = f"{self._store.path} changed although it was locked: the newer state stands."
            raise StoreConflict(message)

    def _keep_damaged_aside(self) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        nanoseconds = time.time_ns() % 10**9  # two in one second are two files
        try:
            os.replace(self._store.path, f"{self._store.path}.damaged-{stamp}.{nanoseconds:09}Z")
        except OSError as problem:
            raise _disk.failure(self._store.path, "keep aside", problem) from problem
        if self._store.spill_path:
            with suppress(OSError):  # generations begin anew: it would look like the next one
                os.unlink(self._store.spill_path)
        self._damage = None

    def _accept(self, state: State) -> None:
        fresh = self._state is None or state.generation != self._state.generation
        self._state = state
        self._holds_token = False
        if fresh:
            self._store._counter.count()

    def _open_next(self) -> int:
        if self._descriptor is None:
            self._descriptor = _disk.create_private(self._next)
            if self._store.allow_open:
                _disk.succeed(self._descriptor, self._store.path)
        return self._descriptor

    def _close_next(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
