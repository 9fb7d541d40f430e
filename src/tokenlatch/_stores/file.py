"""The state in a locked file, shared by all processes of one machine.

Law: the file is the truth. It is only ever replaced whole, under a lock beside it that is never
deleted; what cannot be read is never overwritten without keeping it aside.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol

from tokenlatch._env import runtime_directory
from tokenlatch._state import State, from_json, is_whole, to_json
from tokenlatch._stores import _disk
from tokenlatch._stores._counter import Counter
from tokenlatch._stores._filesystem import network_kind
from tokenlatch.errors import ConfigurationError, LockTimeout, StoreConflict, StoreError

if TYPE_CHECKING:
    from filelock import FileLock

ROOM: Final = 8192
"""Bytes reserved for an answer; twice the current state if that is more."""

FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.050
"""Seconds between two tries for the lock."""


class Encryption(Protocol):
    """Seals the file's content; ``open`` raises StoreError when the key or a byte is wrong."""

    def seal(self, plain: bytes) -> bytes: ...
    def open(self, sealed: bytes) -> bytes: ...


class FileStore:
    """Keeps the state in a file that all processes of this machine share.

    Beside the file lie ``.lock`` (never delete it), ``.counter`` (a hint) and, during a refresh,
    ``.next``.

    Example:
        >>> FileStore("/var/lib/acme/token.json")
        FileStore('/var/lib/acme/token.json')

    Args:
        path: The file; ``~`` is expanded, symbolic links are resolved once. A missing directory is
            made with mode 0700.
        encryption: Seals the content, or None for plain JSON with mode 0600.
        allow_open: Accept a file or directory that others may read or write, or own.
        allow_network: Accept a network file system, where locks may not exclude other machines.

    Raises:
        ConfigurationError: The path is empty or a directory.
    """

    shared = True
    """Other processes see this state."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        encryption: Encryption | None = None,
        allow_open: bool = False,
        allow_network: bool = False,
    ) -> None:
        text = os.fspath(path)
        if not text or text.endswith(("/", os.sep)) or os.path.isdir(os.path.expanduser(text)):
            raise ConfigurationError(
                f"FileStore({text!r}): pass the path of a file, not a directory."
            )
        # Two spellings must not mean two locks; and a later chdir must not move the file.
        self.path = os.path.realpath(os.path.expanduser(text))
        self.allow_open = allow_open
        self.allow_network = allow_network
        self.encryption = encryption
        self._begin()

    def _begin(self) -> None:
        # Here, not in the refresh thread: a fork in the middle of an import deadlocks the child.
        import_module("filelock")
        self._seen: _disk.Signature | None = None
        self._counter = Counter(self.path + ".counter")
        self.announced = self._counter.announced
        """Tells of a change in a fraction of a microsecond; may miss one, so ``changed`` is asked too."""

    def __repr__(self) -> str:
        return f"FileStore({self.path!r})"

    def __getstate__(self) -> dict[str, object]:
        """Keep the settings; leave handles and memories behind."""
        names = ("path", "encryption", "allow_open", "allow_network")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, settings: dict[str, object]) -> None:
        self.__dict__.update(settings)
        self._begin()

    def load(self) -> State | None:
        """Return the committed state without the lock, or None when there is no file.

        Raises:
            StoreError: The file is damaged, foreign, open to others or unreadable.
        """
        try:
            return self._read()
        except ValueError:
            time.sleep(0.020)  # a foreign writer that does not replace atomically may be at it
        try:
            return self._read()
        except ValueError as problem:
            raise self._damaged(problem) from None

    def changed(self) -> bool:
        """Tell whether the file may differ from what ``load`` read last: a counter, then one stat."""
        if self.announced():
            return True
        try:
            different = _disk.signature(os.stat(self.path)) != self._seen
        except OSError:
            different = self._seen is not None
        if different:
            self._counter.forget()  # it missed this change, or was replaced: map it anew
        return different

    def close(self) -> None:
        """Give the handles back; the store can be used again."""
        self._counter.forget()
        self._seen = None

    @contextmanager
    def transaction(self, timeout: float) -> Iterator["FileTransaction"]:
        """Hold the lock.

        Raises:
            LockTimeout: Another holder has it.
            StoreError: The place cannot be locked, or is on a network file system.
        """
        directory = os.path.dirname(self.path)
        _disk.private_directory(directory, allow_open=self.allow_open)
        kind = None if self.allow_network else network_kind(directory)
        if kind:
            message = (
                f"{directory} is on a network file system ({kind}), where locks may "
                "not hold: use a local directory, or allow_network=True if only one machine uses it."
            )
            raise StoreError(message)
        lock = self._lock(timeout)
        try:
            transaction = FileTransaction(self)
            try:
                yield transaction
            finally:
                transaction.close()
        finally:
            lock.release()

    def _lock(self, timeout: float) -> "FileLock":
        from filelock import FileLock, Timeout

        path = self.path + ".lock"
        # A lock object made before a fork is dead in the child: a fresh one each time.
        lock = FileLock(path, mode=_disk.PRIVATE_FILE, fallback_to_soft=False, thread_local=False)
        begin, pause = time.monotonic(), FIRST_PAUSE
        while True:
            try:
                lock.acquire(blocking=False)
            except Timeout:  # is an OSError: caught first
                waited = time.monotonic() - begin
                if waited >= timeout:
                    break
            except (OSError, NotImplementedError) as problem:
                cause = problem if isinstance(problem, OSError) else OSError(str(problem))
                raise _disk.failure(path, "lock", cause) from problem
            else:
                return lock
            time.sleep(min(pause, timeout - waited))
            pause = min(pause * 1.5, LONGEST_PAUSE)
        raise self._taken(path, waited)

    def _taken(self, path: str, waited: float) -> LockTimeout:
        holder = None
        with suppress(StoreError, ValueError):
            state, _ = self._peek()
            if state and state.intent:
                holder = (
                    f"{state.intent.holder}, {max(0.0, time.time() - state.intent.at):.1f} s ago"
                )
        message = (
            f"The lock {path} stayed taken for {waited:.1f} s (holder: {holder or 'unknown'}): "
            "wait for it, or end it if it hangs."
        )
        error = LockTimeout(message)
        error.waited, error.holder = waited, holder
        return error

    def _read(self) -> State | None:
        self._counter.look()
        state, self._seen = self._peek()
        return state

    def _peek(self) -> tuple[State | None, _disk.Signature | None]:
        """Read without saying so to ``changed``: who peeks need not take the state over."""
        found = _disk.read_private(self.path, allow_open=self.allow_open)
        return (self._decode(found[0]), found[1]) if found else (None, None)

    def _decode(self, content: bytes) -> State:
        plain = self.encryption.open(content) if self.encryption else content
        try:
            return from_json(plain)
        except StoreError as problem:
            raise StoreError(f"{self.path} {problem}.") from None

    def _encode(self, state: State) -> bytes:
        plain = to_json(state)
        return self.encryption.seal(plain) if self.encryption else plain

    def _damaged(self, problem: ValueError) -> StoreError:
        message = (
            f"The token file {self.path} {problem}. It is left as it is: "
            "restore it, or remove it and log in again."
        )
        return StoreError(message)

    def _spill_path(self) -> str | None:
        directory = runtime_directory()
        name = hashlib.sha256(self.path.encode()).hexdigest()[:16]
        return os.path.join(directory, f"tokenlatch-{name}.json") if directory else None


class FileTransaction:
    """The file under the lock: see ``tokenlatch._stores.Transaction``."""

    def __init__(self, store: FileStore) -> None:
        self._store = store
        self._next = store.path + ".next"
        self._descriptor: int | None = None
        self._damage: StoreError | None = None
        self._state: State | None = None
        try:
            self._state, _ = store._peek()
        except ValueError as problem:
            self._damage = store._damaged(problem)
        self._roll_forward()

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
        size = len(self._store._encode(self._state)) if self._state else 0
        self._descriptor = self._descriptor or _disk.create_private(self._next)
        _disk.allocate(self._descriptor, self._next, max(ROOM, 2 * size))

    def commit(self, state: State) -> None:
        """Write, sync, replace, sync the directory.

        Raises:
            StoreConflict: The file is no longer the one that this transaction read.
            StoreError: It cannot be written; the file is as it was.
        """
        self._keep_damaged_aside()
        self._compare()
        content = self._store._encode(state)
        self._descriptor = self._descriptor or _disk.create_private(self._next)
        try:
            _disk.write_all(self._descriptor, content)
            os.fsync(self._descriptor)
            if os.name == "nt":  # an open file cannot be moved there
                self._close_next()
            _disk.replace(self._next, self._store.path)
        except OSError as problem:
            raise _disk.failure(self._store.path, "save the tokens to", problem) from problem
        self._close_next()
        self._accept(state)

    def spill(self, state: State) -> str | None:
        """Save a state that the file does not take to the runtime directory; return where, or None."""
        path = self._store._spill_path()
        if path is None:
            return None
        try:
            descriptor = _disk.create_private(path)
            try:
                _disk.write_all(descriptor, self._store._encode(state))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except (OSError, StoreError):
            return None
        return path

    def close(self) -> None:
        """Leave no litter."""
        if self._descriptor is not None:
            self._close_next()
            with suppress(OSError):
                os.unlink(self._next)

    def _roll_forward(self) -> None:
        """Finish what a dead holder had written whole but not moved, or had to put elsewhere."""
        for path in (self._next, self._store._spill_path()):
            if path is None or not os.path.lexists(path):
                continue
            successor = self._successor(path)
            if successor and path == self._next:
                _disk.sync(path)
                _disk.replace(path, self._store.path)  # never rewritten: it is the only copy
                self._accept(successor)
            elif successor:
                self.commit(successor)
            with suppress(OSError):
                os.unlink(path)

    def _accept(self, state: State) -> None:
        fresh = self._state is None or state.generation != self._state.generation
        self._state = state
        if fresh:
            self._store._counter.count()

    def _successor(self, path: str) -> State | None:
        try:
            found = _disk.read_private(path)
            if found is None or self._damage:
                return None
            encryption = self._store.encryption
            plain = encryption.open(found[0]) if encryption else found[0]
            successor = from_json(plain) if is_whole(plain) else None
        except (StoreError, ValueError):
            return None
        if successor is None or self._state is None:
            return None
        mine = successor.identity == self._state.identity
        return successor if mine and successor.generation == self._state.generation + 1 else None

    def _compare(self) -> None:
        try:
            there, _ = self._store._peek()
        except ValueError:
            there = None
        if there != self._state:
            message = f"{self._store.path} changed although it was locked: the newer state stands."
            raise StoreConflict(message)

    def _keep_damaged_aside(self) -> None:
        if self._damage is None:
            return
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        try:
            os.replace(self._store.path, f"{self._store.path}.damaged-{stamp}")
        except OSError as problem:
            raise _disk.failure(self._store.path, "keep aside", problem) from problem
        self._damage = None

    def _close_next(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
