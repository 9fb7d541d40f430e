"""google-auth: AuthorizedSession over user credentials; it has no store.

Its margin is fixed: 3 minutes 45 seconds.
"""

import datetime

from benchmarks.peers.base import Session


class Google(Session):
    doors = ("requests",)
    margin = 225.0
    notices = ("expiry", "401")

    def client(self, door, place, transport):
        from google.auth.transport.requests import AuthorizedSession
        from google.oauth2.credentials import Credentials

        expiry = datetime.datetime.fromtimestamp(place.expires_at, datetime.UTC).replace(tzinfo=None)
        credentials = Credentials(
            place.access_token,
            refresh_token=place.refresh_token,
            token_uri=place.token_url,
            client_id=place.client_id,
            client_secret=place.client_secret,
            expiry=expiry,
        )
        return AuthorizedSession(credentials)
