"""requests-oauthlib: OAuth2Session with auto_refresh_url and token_updater; it has no store."""

import os

from benchmarks.peers.base import Session

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the server is plain http on loopback


class RequestsOAuthlib(Session):
    doors = ("requests",)

    def client(self, door, place, transport):
        from requests_oauthlib import OAuth2Session

        token = {
            "access_token": place.access_token,
            "refresh_token": place.refresh_token,
            "token_type": "Bearer",
            "expires_at": place.expires_at,
        }
        session = OAuth2Session(
            place.client_id,
            token=token,
            auto_refresh_url=place.token_url,
            auto_refresh_kwargs={"client_id": place.client_id, "client_secret": place.client_secret},
            token_updater=lambda new: None,
        )
        session.trust_env = True
        return session
