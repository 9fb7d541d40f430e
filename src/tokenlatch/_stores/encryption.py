"""Encryption of a token file at rest: AES-GCM, with a key that lies elsewhere.

Law: a wrong key or a changed byte is an error that touches nothing. The key is asked for at its
first use and shown in no repr; cryptography and keyring are imported then, too.
"""

import json
import os
import re
from base64 import b64decode, b64encode, urlsafe_b64decode
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from tokenlatch._env import Env
from tokenlatch._frozen import Frozen
from tokenlatch._state import SecretBytes
from tokenlatch._stores import _disk
from tokenlatch.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import aead

Key: TypeAlias = str | bytes | Callable[[], str | bytes]

FORMAT: Final = "AES-GCM 1"
"""Authenticated with the content, so that no other format's can be taken for it."""

NONCE_SIZE: Final = 12
"""Random bytes for each write: one key is good for 2**32 of them (NIST SP 800-38D section 8.3)."""


class AESGCM:
    """Seals a token file: ``FileStore(path, encryption=AESGCM(key))``.

    All processes that share the file need the same key. A file that exists already is refused until
    ``FileStore(path).reseal(AESGCM(key))`` has converted it, once.

    Example:
        >>> AESGCM.from_env("ACME_TOKEN_KEY")
        AESGCM(Env(name='ACME_TOKEN_KEY'))

    Args:
        key: 32 random bytes, such as ``secrets.token_bytes(32)`` (16 and 24 do, too), or their
            base64 or hexadecimal text: it travels in a pickle. Or a callable that returns one; it
            is asked once in each process.

    Raises:
        ConfigurationError: It is no key.
    """

    def __init__(self, key: Key) -> None:
        self._key = key if callable(key) else _decoded(key)
        if self._key is None:
            raise ConfigurationError(f"The key given is none: {_RIGHT}.")
        self._cipher: aead.AESGCM | None = None

    @classmethod
    def from_env(cls, name: str) -> Self:
        """Take the key from an environment variable: base64 or hexadecimal text."""
        return cls(Env(name))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, allow_open: bool = False) -> Self:
        """Take the key from a file: 32 bytes, or their base64 or hexadecimal text.

        Args:
            path: A private file, checked as the token file is.
            allow_open: Accept a file that others may read or own, such as a container's secret.
        """
        return cls(KeyFile(os.path.realpath(os.path.expanduser(path)), allow_open))

    @classmethod
    def from_keyring(cls, service: str, name: str) -> Self:
        """Take the key from the system's keyring: base64 or hexadecimal text."""
        return cls(KeyringEntry(service, name))

    def __repr__(self) -> str:
        return f"AESGCM({self._key!r})" if callable(self._key) else "AESGCM(...)"

    def __getstate__(self) -> dict[str, object]:
        """Keep what was given: the key itself, or where it lies."""
        return {"_key": self._key, "_cipher": None}

    def seal(self, plain: bytes) -> bytes:
        """Return the file's content.

        Raises:
            ConfigurationError: There is no key, or no cryptography.
        """
        nonce = os.urandom(NONCE_SIZE)
        return _written(nonce, self._ready().encrypt(nonce, plain, FORMAT.encode()))

    def open(self, sealed: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            StoreError: It is not sealed, sealed with another key, or damaged.
            ConfigurationError: There is no key, or no cryptography.
        """
        cipher, parts = self._ready(), _parts(sealed)
        if parts:
            from cryptography.exceptions import InvalidTag

            with suppress(InvalidTag):
                return SecretBytes(cipher.decrypt(*parts, FORMAT.encode()))
        raise StoreError(_unreadable(sealed))

    def _ready(self) -> "aead.AESGCM":
        if self._cipher is None:
            try:
                from cryptography.hazmat.primitives.ciphers import aead
            except ImportError:
                problem = "Encryption needs cryptography: pip install 'tokenlatch[encryption]'."
                raise ConfigurationError(problem) from None
            key = _decoded(self._key()) if callable(self._key) else self._key
            if key is None:
                raise ConfigurationError(f"The key that {self._key!r} returned is none: {_RIGHT}.")
            self._cipher = aead.AESGCM(key)
        return self._cipher


_RIGHT: Final = "pass 32 random bytes, as they are, in base64 or in hexadecimal"


class KeyFile(Frozen):
    """A key in a file, read when it is needed."""

    path: str
    allow_open: bool = False

    def __call__(self) -> bytes:
        """Return the file's content.

        Raises:
            ConfigurationError: There is no such file.
            StoreError: It is open to others, foreign or unreadable.
        """
        found = _disk.read_private(self.path, allow_open=self.allow_open)
        if found is None:
            raise ConfigurationError(
                f"There is no key file {self.path}: make one, for this user alone."
            )
        return found[0]


class KeyringEntry(Frozen):
    """A key in the system's keyring, read when it is needed."""

    service: str
    name: str

    def __call__(self) -> str:
        """Return the entry.

        Raises:
            ConfigurationError: There is no such entry, no keyring, or no library for it.
        """
        try:
            import keyring
        except ImportError:
            message = "A key in the keyring needs keyring: pip install 'tokenlatch[keyring]'."
            raise ConfigurationError(message) from None
        try:
            entry = keyring.get_password(self.service, self.name)
        except keyring.errors.KeyringError as problem:
            raise ConfigurationError(f"The keyring cannot be asked: {problem}") from problem
        if not entry:
            message = f"The keyring has no {self.name!r} of {self.service!r}: put the key there."
            raise ConfigurationError(message)
        return entry


def _decoded(key: str | bytes) -> SecretBytes | None:
    """Return the bytes of a key; None: it is none. Raises nothing, for its frame holds the key."""
    if isinstance(key, bytes) and len(key) in {16, 24, 32}:
        return SecretBytes(key)
    text = (key.decode("latin-1") if isinstance(key, bytes) else str(key)).strip()
    if re.fullmatch("[0-9A-Fa-f]{64}", text):
        return SecretBytes(bytes.fromhex(text))
    if re.fullmatch("[-_+/0-9A-Za-z]{43}=?", text):
        return SecretBytes(urlsafe_b64decode(text.translate(_URL_SAFE)[:43] + "="))
    return None


_URL_SAFE: Final = str.maketrans("+/", "-_")


def _written(nonce: bytes, box: bytes) -> bytes:
    body = {
        "sealed": FORMAT,
        "nonce": b64encode(nonce).decode(),
        "content": b64encode(box).decode(),
    }
    return json.dumps(body, indent=1).encode() + b"\n"


def _parts(sealed: bytes) -> tuple[bytes, bytes] | None:
    """Return nonce and box; None: this is not what ``_written`` writes, to the last byte."""
    try:
        body = json.loads(sealed)
        nonce, box = b64decode(body["nonce"]), b64decode(body["content"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (nonce, box) if _written(nonce, box) == sealed else None


def _unreadable(content: bytes) -> str:
    if b'"sealed"' not in content and b'"format"' in content:
        return (
            "is not encrypted: FileStore(path).reseal(encryption) encrypts it, once; "
            "if it should be, find out who wrote it"
        )
    return (
        "is sealed with another key, or damaged; it is left as it is: "
        "use the key that wrote it, or remove the file and log in again"
    )
