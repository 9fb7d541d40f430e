"""tokenlatch with its defaults."""

from importlib import import_module

from benchmarks.peers.base import Contestant
from tokenlatch import FileStore, MemoryStore, RefreshToken, TokenSet, TokenSource


class Tokenlatch(Contestant):
    doors = ("requests", "httpx", "httpx-async", "httpx2", "httpx2-async")
    notices = ("expiry", "401")

    def store(self, place):
        return FileStore(place.path("tokenlatch.json"))

    def source(self, place):
        grant = RefreshToken(place.token_url, client_id=place.client_id, client_secret=place.client_secret)
        return TokenSource(grant, store=self.store(place))

    def prepare(self, place):
        self.source(place).seed(tokens_of(place))

    def auth(self, door, place):
        return self.door(door, self.source(place), place)

    def door(self, door, source, place):
        module = import_module(f"tokenlatch.{door.removesuffix('-async')}")
        return module.BearerAuth(source, place.origin)


class InMemory(Tokenlatch):
    """For one process."""

    def store(self, place):
        return MemoryStore()

    def prepare(self, place):
        pass

    def auth(self, door, place):
        source = self.source(place)
        source.seed(tokens_of(place))
        return self.door(door, source, place)


class InRedis(Tokenlatch):
    def store(self, place):
        from tokenlatch import RedisStore

        return RedisStore(place.redis_url, place.folder)


def tokens_of(place):
    return TokenSet(place.access_token, expires_at=place.expires_at, refresh_token=place.refresh_token)
