"""requests-oauth2client: OAuth2AccessTokenAuth with a BearerToken that has a refresh token; it has no store."""

from benchmarks.peers.base import Contestant


class RequestsOAuth2Client(Contestant):
    doors = ("requests",)

    def auth(self, door, place):
        from requests_oauth2client import BearerToken, OAuth2AccessTokenAuth, OAuth2Client

        client = OAuth2Client(token_endpoint=place.token_url, auth=place.client, testing=True)
        token = BearerToken(
            access_token=place.access_token, expires_in=place.expires_in, refresh_token=place.refresh_token
        )
        return OAuth2AccessTokenAuth(client, token, leeway=0)
