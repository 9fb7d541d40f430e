"""msal with msal-extensions' PersistedTokenCache: acquire_token_silent before each request.

msal insists on an https authority, so its HTTP client (which it lets one replace) is pointed at the server here. Its
margin is fixed: 5 minutes.
"""

import base64
import json
import time
from types import SimpleNamespace

from benchmarks.peers.base import Contestant

AUTHORITY = "https://login.microsoftonline.com/benchmark"
WHO = base64.urlsafe_b64encode(b'{"uid": "user", "utid": "benchmark"}').decode()


class Wire:
    """Answers the discovery itself, and sends token requests to the server."""

    def __init__(self, place):
        import requests

        self.place, self.session = place, requests.Session()

    def get(self, url, **_):
        found = {
            "authorization_endpoint": AUTHORITY + "/authorize",
            "token_endpoint": AUTHORITY + "/token",
            "issuer": AUTHORITY + "/v2.0",
        }
        return SimpleNamespace(status_code=200, text=json.dumps(found), headers={})

    def post(self, url, data=None, **_):
        # msal adds scopes of its own, which the server's grant does not have.
        data = {name: value for name, value in (data or {}).items() if name != "scope"}
        answer = self.session.post(self.place.token_url, data, timeout=30)
        said = answer.json() | ({"client_info": WHO} if answer.ok else {})
        return SimpleNamespace(status_code=answer.status_code, text=json.dumps(said), headers={})

    def close(self):
        pass


class Msal(Contestant):
    doors = ("requests",)
    margin = 300.0

    def app(self, place):
        import msal
        from msal_extensions import FilePersistence, PersistedTokenCache

        return msal.ConfidentialClientApplication(
            place.client_id,
            client_credential=place.client_secret,
            authority=AUTHORITY,
            instance_discovery=False,
            token_cache=PersistedTokenCache(FilePersistence(place.path("msal.bin"))),
            http_client=Wire(place),
        )

    def prepare(self, place):
        app = self.app(place)
        answer = {
            "access_token": place.access_token,
            "refresh_token": place.refresh_token,
            "expires_in": int(place.expires_at - time.time()),
            "token_type": "Bearer",
            "client_info": WHO,
        }
        app.token_cache.add(
            {
                "client_id": place.client_id,
                "scope": ["api"],
                "token_endpoint": AUTHORITY + "/token",
                "environment": "login.microsoftonline.com",
                "response": answer,
                "data": {},
                "grant_type": "refresh_token",
            }
        )

    def auth(self, door, place):
        from requests.auth import AuthBase

        app = self.app(place)
        account = app.get_accounts()[0]

        class Silent(AuthBase):
            def __call__(self, request):
                answer = app.acquire_token_silent_with_error(["api"], account=account)
                if "access_token" not in answer:
                    raise RuntimeError(answer.get("error"))
                request.headers["Authorization"] = "Bearer " + answer["access_token"]
                return request

        return Silent()
