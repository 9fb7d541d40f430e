"""Authlib: OAuth2Session for requests, OAuth2Client and AsyncOAuth2Client for httpx2; it has no store."""

from benchmarks.peers.base import Session


class Authlib(Session):
    doors = ("requests", "httpx2", "httpx2-async")

    def client(self, door, place, transport):
        settings = {
            "client_id": place.client_id,
            "client_secret": place.client_secret,
            "token_endpoint": place.token_url,
            "leeway": 0,
            "token": {
                "access_token": place.access_token,
                "refresh_token": place.refresh_token,
                "token_type": "Bearer",
                "expires_at": int(place.expires_at),
            },
        }
        if door == "requests":
            from authlib.integrations.requests_client import OAuth2Session

            return OAuth2Session(**settings)
        from authlib.integrations import httpx_client

        kind = httpx_client.AsyncOAuth2Client if door.endswith("-async") else httpx_client.OAuth2Client
        return kind(**settings, transport=transport, timeout=30)

    def auth(self, door, place):
        return self.client(door, place, None).token_auth if door == "requests" else None
