"""requests_auth and httpx-auth: twins by one author, whose resource owner password grant can refresh.

Their class-wide token cache is filled by hand with the shared grant, as a login would.
"""

from benchmarks.peers.base import Contestant


class Memory(Contestant):
    def __init__(self, name):
        super().__init__(name)
        self.doors = ("requests",) if name.startswith("requests") else ("httpx", "httpx-async")

    def cache(self, module, place):
        return module.TokenMemoryCache()

    def wake(self):
        self.module.OAuth2.token_cache = self.tokens  # one for all auth objects of a process

    def auth(self, door, place):
        if door == "requests":
            import requests_auth as module
            from requests_auth._oauth2 import tokens as caches
        else:
            import httpx_auth as module
            from httpx_auth._oauth2 import tokens as caches

        auth = module.OAuth2ResourceOwnerPasswordCredentials(
            place.token_url,
            username="user",
            password="password",
            early_expiry=0.001,
            **{"session_auth" if door == "requests" else "client_auth": place.client},
        )
        self.module, self.tokens = module, self.cache(caches, place)
        self.wake()
        cache = self.tokens
        if auth.state not in cache.tokens:
            cache._add_token(auth.state, place.access_token, place.expires_at, place.refresh_token)
        return auth


class File(Memory):
    """With the file cache that their documentation offers for sharing tokens."""

    def cache(self, module, place):
        return module.JsonTokenFileCache(place.path(self.name + ".json"))

    def prepare(self, place):
        self.auth(self.doors[0], place)
