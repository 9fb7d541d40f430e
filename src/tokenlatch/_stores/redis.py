"""The state in Redis, shared by workers on several hosts.

Law: the lock keeps others waiting, and compare-and-swap keeps the state right: a holder that lost its
lease can no longer overwrite what another one began.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from tokenlatch._format import from_json, to_json
from tokenlatch._state import State
from tokenlatch.errors import ConfigurationError, LockTimeout, StoreConflict, StoreError

if TYPE_CHECKING:
    from redis.lock import Lock

LEASE: Final = 30.0
"""Seconds after which a dead holder's lock falls; a live one renews it three times as often."""

# Whoever spends a refresh token commits an intent first. So as long as the state is byte for byte the
# one that was read, nobody else has begun, lease or no lease.
COMMIT: Final = """
local there = redis.call('GET', KEYS[1])
if (there or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class RedisStore:
    """Keeps the state in Redis, for workers on several hosts.

    How durable a commit is, is the server's setting: use ``appendonly yes`` and
    ``appendfsync always`` where a lost refresh token costs a login.

    Example:
        >>> RedisStore("redis://127.0.0.1:6379/0", "acme")
        RedisStore('acme')

    Args:
        url: The server, as redis-py takes it.
        key: The name of the grant; the state lies at ``tokenlatch:KEY``.

    Raises:
        ConfigurationError: redis-py is not installed, or the URL is none.
    """

    shared = True
    """Other processes see this state."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key
        self._begin()

    def _begin(self) -> None:
        try:
            from redis import Redis
        except ImportError:
            message = "RedisStore needs redis-py: pip install 'tokenlatch[redis]'."
            raise ConfigurationError(message) from None
        try:
            self._client = Redis.from_url(self._url)
        except ValueError:
            message = "RedisStore: the URL is none that redis-py takes, such as 'redis://host/0'."
            raise ConfigurationError(message) from None
        self._seen: bytes | None = None

    def __repr__(self) -> str:
        return f"RedisStore({self._key!r})"  # the URL may hold a password

    def __getstate__(self) -> dict[str, object]:
        """Keep the settings, not the connections."""
        return {"_url": self._url, "_key": self._key}

    def __setstate__(self, settings: dict[str, object]) -> None:
        self.__dict__.update(settings)
        self._begin()

    def load(self) -> State | None:
        """Return the committed state, or None when there is none.

        Raises:
            StoreError: The server cannot be asked, or the state is damaged.
        """
        self._seen = self._get()
        return self._decode(self._seen)

    def changed(self) -> bool:
        """Tell whether ``load`` would return another state: one round trip.

        Raises:
            StoreError: The server cannot be asked.
        """
        return self._get() != self._seen

    def close(self) -> None:
        """Give the connections back; the store can be used again."""
        self._client.close()

    @contextmanager
    def transaction(self, timeout: float) -> Iterator["RedisTransaction"]:
        """Hold the lock, renewed until it is left.

        Raises:
            LockTimeout: Another holder has it.
            StoreError: The server cannot be asked.
        """
        lock = self._lock(timeout)
        left = threading.Event()
        renewer = threading.Thread(target=_renew, args=(lock, left), daemon=True)
        renewer.start()
        try:
            yield RedisTransaction(self)
        finally:
            left.set()
            renewer.join()
            with suppress(Exception):  # it fell meanwhile, or falls by itself
                lock.release()

    def _lock(self, timeout: float) -> "Lock":
        lock: Lock = self._client.lock(
            f"tokenlatch:{self._key}:lock", timeout=LEASE, sleep=0.02, thread_local=False
        )
        with _errors():
            taken = lock.acquire(blocking=timeout > 0, blocking_timeout=timeout or None)
        if not taken:
            error = LockTimeout(
                f"The lock of {self!r} stayed taken for {timeout:.1f} s: wait for its holder."
            )
            error.waited = timeout
            raise error
        return lock

    def _get(self) -> bytes | None:
        with _errors():
            found: Any = self._client.get(f"tokenlatch:{self._key}")
        return bytes(found) if found is not None else None

    def _swap(self, old: bytes | None, new: bytes) -> bool:
        with _errors():
            return bool(self._client.eval(COMMIT, 1, f"tokenlatch:{self._key}", old or b"", new))

    def _decode(self, content: bytes | None) -> State | None:
        try:
            return from_json(content) if content else None
        except (ValueError, StoreError) as problem:
            text = str(problem)
        raise StoreError(f"The state of {self!r} {text}. It is left as it is: mend or remove it.")


class RedisTransaction:
    """The state under the lock: see ``tokenlatch._stores.Transaction``."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._content = store._get()

    @property
    def state(self) -> State | None:
        """What was read under the lock.

        Raises:
            StoreError: It is damaged.
        """
        return self._store._decode(self._content)

    def reserve(self) -> None:
        """Do nothing: the intent has just shown that the server takes writes."""

    def commit(self, state: State) -> None:
        """Write if nobody else has; a new token goes in over what others only noted meanwhile.

        A key that vanished meanwhile holds nothing newer.

        Raises:
            StoreConflict: Somebody has; nothing was written.
            StoreError: The server cannot be asked.
        """
        content = to_json(state)
        while not self._store._swap(self._content, content):
            there = self._store._get()
            newest = self._store._decode(there)
            if newest is not None and not state.supersedes(newest, self.state):
                raise StoreConflict(
                    f"{self._store!r} changed under a transaction: the newer state stands."
                )
            self._content = there
        self._content = content


@contextmanager
def _errors() -> Iterator[None]:
    """Make redis-py's errors ours, without their text: it may hold the URL."""
    from redis import RedisError

    try:
        yield
    except (RedisError, OSError) as problem:
        kind = type(problem).__name__
    else:
        return
    raise StoreError(f"Redis cannot be asked ({kind}): check that it runs and takes writes.")


def _renew(lock: "Lock", left: threading.Event) -> None:
    while not left.wait(LEASE / 3):
        with suppress(Exception):  # the next commit finds out
            lock.reacquire()
