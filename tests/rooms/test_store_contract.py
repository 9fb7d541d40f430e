"""The law of a store, run on the stores of the house; RedisStore has its own test file."""

import secrets

import pytest

from tokenlatch import AESGCM, FileStore, MemoryStore
from tokenlatch.stores import to_json
from tokenlatch.testing.store_contract import StoreContract


class TestMemoryStore(StoreContract):
    """For one process."""

    def make_store(self):
        """There is never a second one on the same state."""
        return MemoryStore()

    def write_behind_the_lock(self, store, state):
        """As nobody does, but the law is the law."""
        store._state = state


class TestFileStore(StoreContract):
    """For all processes of one machine."""

    encryption = None

    @pytest.fixture(autouse=True)
    def place(self, tmp_path):
        """One file for each test."""
        self.path = tmp_path / "token.json"

    def make_store(self):
        """Another store, the same file."""
        return FileStore(self.path, encryption=self.encryption)

    def write_behind_the_lock(self, store, state):
        """As a tool does that restores a file."""
        self.path.write_bytes(store.seal(to_json(state)))


class TestEncryptedFileStore(TestFileStore):
    """The same, sealed."""

    encryption = AESGCM(secrets.token_bytes(32))
