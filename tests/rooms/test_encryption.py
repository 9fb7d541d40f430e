"""Encryption at rest: where a key may come from, and that it shows nowhere. What happens to files is row 74's."""

import base64
import errno
import os
import pickle
import secrets
import subprocess
import sys

import pytest

from tokenlatch import AESGCM, FileStore, TokenSet
from tokenlatch._stores import _disk
from tokenlatch._stores._transaction import FileTransaction
from tokenlatch.errors import ConfigurationError, StoreError
from tokenlatch.stores import Identity, State

pytest.importorskip("cryptography", reason="pip install 'tokenlatch[encryption]'")

KEY = secrets.token_bytes(32)
TEXTS = {
    "hexadecimal": KEY.hex(),
    "capitals": KEY.hex().upper(),
    "base64": base64.b64encode(KEY).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(KEY).decode(),
    "without padding": base64.urlsafe_b64encode(KEY).decode().rstrip("="),
    "with a line end": f"{KEY.hex()}\n",
}
STATE = State(Identity("u", "c", "g"), 1, TokenSet("sentinel"))


def opens(cipher):
    """Tell whether a cipher opens what KEY sealed, and the other way round."""
    sealed = AESGCM(KEY).seal(b"plain")
    return cipher.open(sealed) == AESGCM(KEY).open(cipher.seal(b"plain")) == b"plain"


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_key_in_every_writing(text, monkeypatch, tmp_path):
    """As text, in a variable, in a file: the same key."""
    monkeypatch.setenv("ACME_KEY", text)
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    ciphers = [AESGCM(text), AESGCM(lambda: text), AESGCM.from_env("ACME_KEY")]
    assert all(map(opens, [*ciphers, AESGCM.from_file(path)]))


def test_a_key_as_bytes(tmp_path):
    """Given, or in a file as they are."""
    path = tmp_path / "key"
    path.write_bytes(KEY)
    path.chmod(0o600)
    assert opens(AESGCM(KEY))
    assert opens(AESGCM.from_file(path))
    for size in (16, 24):
        key = secrets.token_bytes(size)
        assert AESGCM(key).open(AESGCM(key).seal(b"plain")) == b"plain"


@pytest.mark.parametrize("key", [b"", b"short", b"x" * 33, "", "password", "zz" * 32, "A" * 42])
def test_what_is_no_key(key):
    """A password is none: it would be guessed. The error does not repeat it."""
    with pytest.raises(ConfigurationError, match="32 random bytes") as caught:
        AESGCM(key)
    assert not key or str(key) not in str(caught.value)
    with pytest.raises(ConfigurationError, match="32 random bytes"):
        AESGCM(lambda: key).seal(b"")


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_a_key_file_that_others_may_read(tmp_path):
    """It is refused as a token file is, unless it is allowed, as a container's secret needs."""
    path = tmp_path / "key"
    path.write_bytes(KEY)
    path.chmod(0o644)
    with pytest.raises(StoreError, match="chmod 600"):
        AESGCM.from_file(path).seal(b"")
    assert opens(AESGCM.from_file(path, allow_open=True))


def test_a_key_in_the_keyring():
    """Its place is kept, not its value; no entry and no keyring are said."""
    keyring = pytest.importorskip("keyring", reason="pip install 'tokenlatch[keyring]'")

    class Backend(keyring.backend.KeyringBackend):
        priority = 1
        asked = 0

        def get_password(self, service, username):
            Backend.asked += 1
            return TEXTS["base64"] if (service, username) == ("acme", "key") else None

        def set_password(self, *_):
            raise NotImplementedError

        def delete_password(self, *_):
            raise NotImplementedError

    before = keyring.get_keyring()
    try:
        keyring.set_keyring(Backend())
        cipher = AESGCM.from_keyring("acme", "key")
        assert opens(cipher)
        assert Backend.asked == 1  # once in a process: asking takes long
        with pytest.raises(ConfigurationError, match="no 'other' of 'acme'"):
            AESGCM.from_keyring("acme", "other").seal(b"")
        keyring.set_keyring(keyring.backends.fail.Keyring())
        with pytest.raises(ConfigurationError, match="keyring cannot be asked"):
            AESGCM.from_keyring("acme", "key").seal(b"")
    finally:
        keyring.set_keyring(before)


def test_where_a_key_travels(monkeypatch, tmp_path):
    """A pickle takes along the place of a key, or the key that was given; a repr only the place."""
    monkeypatch.setenv("ACME_KEY", KEY.hex())
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "key").chmod(0o600)
    places = [
        AESGCM.from_env("ACME_KEY"),
        AESGCM.from_file(tmp_path / "key"),
        AESGCM.from_keyring("a", "b"),
    ]
    for cipher in (*places[:2], AESGCM(KEY)):
        assert opens(cipher)
        assert opens(pickle.loads(pickle.dumps(cipher)))
    for cipher in places:
        pickled = pickle.dumps(FileStore(tmp_path / "t", encryption=cipher))
        assert KEY not in pickled
        assert KEY.hex().encode() not in pickled
    assert KEY in pickle.dumps(AESGCM(KEY))
    shown = "".join(f"{each!r} {each} {vars(each)}" for each in (*places, AESGCM(KEY)))
    assert "ACME_KEY" in shown
    assert KEY.hex() not in shown
    assert repr(KEY)[2:-1] not in shown


def test_what_is_sealed_is_told_apart(tmp_path):
    """The name and number of the format are bound to the content."""
    sealed = AESGCM(KEY).seal(b"plain")
    with pytest.raises(StoreError):
        AESGCM(KEY).open(sealed.replace(b"AES-GCM 1", b"AES-GCM 2"))
    store = FileStore(tmp_path / "dir" / "t", encryption=AESGCM(KEY))
    with store.transaction(1) as transaction:
        transaction.commit(STATE)
    assert b"sentinel" not in (tmp_path / "dir" / "t").read_bytes()
    assert store.load() == STATE


@pytest.mark.parametrize(
    ("library", "act"),
    [
        ("cryptography", "tokenlatch.AESGCM(b'k' * 32).seal(b'')"),
        ("cryptography", "tokenlatch.AESGCM(b'k' * 32).open(b'')"),
        ("keyring", "tokenlatch.AESGCM.from_keyring('a', 'b').seal(b'')"),
    ],
)
def test_a_library_that_is_not_installed(library, act):
    """The error names what to install; the import of tokenlatch needs neither."""
    script = f"import sys; sys.modules[{library!r}] = None; import tokenlatch; {act}"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ConfigurationError" in done.stderr.splitlines()[-1]
    assert "pip install 'tokenlatch[" in done.stderr.splitlines()[-1]


def test_what_a_cipher_of_ones_own_raises_is_no_damage(tmp_path):
    """Whatever it raises comes out as it is: the file may be whole, and the key wrong."""

    class Strange:
        def seal(self, plain):
            return plain[::-1]

        def open(self, _):
            raise ValueError("wrong key")

    store = FileStore(tmp_path / "t.json", encryption=Strange())
    with store.transaction(1) as transaction:
        transaction.commit(STATE)
    before = (tmp_path / "t.json").read_bytes()
    store.close()  # what it wrote itself it knows
    with pytest.raises(ValueError, match="wrong key"):
        store.load()
    with pytest.raises(ValueError, match="wrong key"), store.transaction(1):
        pass
    assert (tmp_path / "t.json").read_bytes() == before


def test_a_reseal_that_fails_at_the_last_step(tmp_path, monkeypatch):
    """The file is sealed, the store does not know it: it says so, and writes nothing plain over it."""
    store = FileStore(tmp_path / "t.json")
    with store.transaction(1) as transaction:
        transaction.commit(STATE)
    with monkeypatch.context() as patch:
        patch.setattr(_disk, "sync_directory", ill)
        with pytest.raises(StoreError, match="save the tokens"):
            store.reseal(AESGCM(KEY))
    with pytest.raises(StoreError, match="is encrypted"), store.transaction(1):
        pass
    assert b"sentinel" not in (tmp_path / "t.json").read_bytes()
    assert FileStore(tmp_path / "t.json", encryption=AESGCM(KEY)).load() == STATE


def test_a_reseal_that_is_interrupted_after_it_wrote(tmp_path, monkeypatch):
    """Ctrl-C before the store took the new key: it does not believe that it knows what is sealed."""
    store, write = FileStore(tmp_path / "t.json"), FileTransaction.write

    def interrupted(self, *args):
        write(self, *args)
        raise KeyboardInterrupt

    with store.transaction(1) as transaction:
        transaction.commit(STATE)
    with monkeypatch.context() as patch:
        patch.setattr(FileTransaction, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.reseal(AESGCM(KEY))
    with pytest.raises(StoreError, match="is encrypted"), store.transaction(1):
        pass
    assert FileStore(tmp_path / "t.json", encryption=AESGCM(KEY)).load() == STATE


def test_what_is_known_is_known_under_one_key(tmp_path):
    """A store that is given another key opens the same bytes anew, and says that the key is wrong."""
    store = FileStore(tmp_path / "t.json", encryption=AESGCM(KEY))
    with store.transaction(1) as transaction:
        transaction.commit(STATE)
    assert store.load() == STATE
    store.encryption = AESGCM(secrets.token_bytes(32))
    with pytest.raises(StoreError):
        store.load()


def ill(path):
    """Fail as a disk does."""
    raise OSError(errno.EIO, os.strerror(errno.EIO), path)
