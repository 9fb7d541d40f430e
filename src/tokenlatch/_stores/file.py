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
from tokenlatch._format import from_json, to_json
from tokenlatch._state import SecretBytes, State
from tokenlatch._stores import _disk
from tokenlatch._stores._counter import Counter
from tokenlatch._stores._filesystem import network_kind
from tokenlatch._stores._transaction import FileTransaction
from tokenlatch.errors import ConfigurationError, LockTimeout, StoreError

if TYPE_CHECKING:
    from filelock import FileLock

FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.050
"""Seconds between two tries for the lock."""

RETRIES: Final = 5
"""Reads, 10 ms apart, before a file counts as damaged: a foreign writer may be at it, not atomically."""


class Encryption(Protocol):
    """Seals the file's content.

    ``open`` raises StoreError when the key or a byte is wrong; its message continues after the
    file's name.
    """

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
        self._known: tuple[bytes, Encryption | None, State] | None = None
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
        self._counter.look()
        state, seen = self.peek()
        if isinstance(state, StoreError):
            raise state
        self._seen = seen
        return state

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
        self._seen = self._known = None

    @contextmanager
    def transaction(self, timeout: float) -> Iterator[FileTransaction]:
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
        _disk.check_private(self.path, allow_open=self.allow_open)  # no lock beside a foreign file
        lock = self._lock(timeout)
        try:
            with FileTransaction(self) as transaction:
                yield transaction
        finally:
            lock.release()

    def _lock(self, timeout: float) -> "FileLock":
        from filelock import FileLock, Timeout

        path = self.path + ".lock"
        # A lock object made before a fork is dead in the child: a fresh one each time.
        mode = _disk.mode_like(self.path) if self.allow_open else _disk.PRIVATE_FILE
        lock = FileLock(path, mode=mode, fallback_to_soft=False, thread_local=False)
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
                if self.allow_open:
                    _disk.give_like(path, self.path)
                return lock
            time.sleep(min(pause, timeout - waited))
            pause = min(pause * 1.5, LONGEST_PAUSE)
        raise self._taken(path, waited)

    def _taken(self, path: str, waited: float) -> LockTimeout:
        holder = None
        with suppress(StoreError):
            state, _ = self.peek()
            if isinstance(state, State) and state.intent:
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

    def peek(self) -> tuple[State | StoreError | None, _disk.Signature | None]:
        """Read without saying so to ``changed``; damage is returned, so that it may be kept aside.

        Raises:
            StoreError: The file is foreign, open to others or unreadable: not ours to touch.
        """
        problem = ""
        for attempt in range(RETRIES):
            if attempt:  # sleeping for no time costs 60 microseconds
                time.sleep(0.010)
            found = _disk.read_private(self.path, allow_open=self.allow_open)
            if found is None:
                return None, None
            content, seen = found
            known = self._known  # taken once: other threads write it
            if known and known[0] == content and known[1] is self.encryption:
                return known[2], seen
            plain = self.unseal(content)
            try:
                state = self._parsed(plain)
            except ValueError as damage:
                problem = str(damage)
            else:
                self._know(content, state)
                return state, seen
        message = (
            f"The token file {self.path} {problem}. It is left as it is: "
            "look into it, then remove it and log in again."
        )
        return StoreError(message), None

    def seal(self, plain: bytes) -> SecretBytes:
        """Return the file's content for a state in JSON.

        Raises:
            StoreError: There is no key.
        """
        return SecretBytes(self.encryption.seal(plain) if self.encryption else plain)

    def unseal(self, content: bytes) -> SecretBytes:
        """Return the state in JSON that is in a file's content.

        Raises:
            StoreError: The key or a byte is wrong.
        """
        if self.encryption is None:
            return SecretBytes(content)
        try:
            return SecretBytes(self.encryption.open(content))
        except StoreError as problem:
            reason = problem.message
        raise StoreError(f"{self.path} {reason}.")

    def _know(self, content: bytes, state: State) -> None:
        """Note what a content stands for, so that it is not parsed again: a refresh looks at it four times."""
        self._known = content, self.encryption, state

    def _parsed(self, plain: bytes) -> State:
        try:
            return from_json(plain)
        except StoreError as problem:
            reason = problem.message
        raise StoreError(f"{self.path} {reason}.")

    def reseal(self, encryption: Encryption | None, *, timeout: float = 60.0) -> None:
        """Rewrite the file under its lock with another encryption, or plain with None.

        This store uses it from now on; all others that share the file must be given the same one.

        Args:
            encryption: What seals the file from now on.
            timeout: Seconds to wait for the lock.

        Raises:
            LockTimeout: Another holder has the lock.
            StoreError: The file cannot be read as it is, or not be written.
        """
        with self.transaction(timeout) as transaction:
            state = transaction.state
            if state is not None:
                plain = to_json(state)
                content = encryption.seal(plain) if encryption else plain
                transaction.write(SecretBytes(content), state)
            self.encryption = encryption

    @property
    def spill_path(self) -> str | None:
        """Where a state goes that the file does not take; None: there is no such place."""
        directory = runtime_directory()
        name = hashlib.sha256(self.path.encode()).hexdigest()[:16]
        return os.path.join(directory, f"tokenlatch-{name}.json") if directory else None
