"""Where a contestant works: the server's URLs, a client, a grant to begin with, and a folder to share it in."""

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Place:
    token_url: str
    api_url: str
    client_id: str
    client_secret: str
    folder: str
    access_token: str
    refresh_token: str
    expires_at: float
    redis_url: str = ""

    @property
    def expires_in(self):
        return max(1, round(self.expires_at - time.time()))

    @property
    def origin(self):
        return self.api_url.removesuffix("/api")

    @property
    def client(self):
        return self.client_id, self.client_secret

    def path(self, name):
        return str(Path(self.folder) / name)

    def with_grant(self, answer, folder):
        """Return the same place with another grant, as the token endpoint's answer tells it."""
        return replace(
            self,
            folder=str(folder),
            access_token=answer["access_token"],
            refresh_token=answer["refresh_token"],
            expires_at=time.time() + answer["expires_in"],
        )

    def to_json(self):
        return json.dumps(asdict(self))


def offline(folder, life=36000.0):
    """Return a place for what needs no server: nobody listens there."""
    return Place(
        token_url="http://127.0.0.1:9/token",
        api_url="http://127.0.0.1:9/api",
        client_id="app",
        client_secret="app-secret",
        folder=str(folder),
        access_token="at-" + "x" * 40,
        refresh_token="rt-" + "y" * 40,
        expires_at=time.time() + life,
    )
