"""Sina Cloud's OpenAPI, simulated.

Law: [S] document.applinzi.com/openapi/access-token.html, with its line; [I] inferred from bshaffer/oauth2-server-php
(TokenController, RefreshToken, AuthorizationCode, ResourceController), whose texts the documented answers are.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tokenlatch.testing._http import Response
from tokenlatch.testing._simulator import Issued, Simulator, as_json, hexadecimal, redirect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenlatch.testing._http import Request

WEEK, DAY = 604800.0, 86400.0


class _Refused(Exception):  # noqa: N818 - an answer, not a failure
    """The request gets an RFC 6749 error, with HTTP 400 [I]."""


class SinaCloudServer(Simulator):
    """Sina Cloud's OAuth service and an API, on 127.0.0.1.

    Attributes:
        may_refresh: Whether the client has the right to refresh, which is applied for separately [S 5].
        is_creator: Whether the person at the authorization page created the API [S 23].
        callback: The callback page "set in the system" [S 21].
        clients: Client id -> secret.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Open the books; `start` opens the door."""
        super().__init__(clock)
        self.may_refresh = True
        self.is_creator = True
        self.callback = "http://death.sinaapp.com/sae_callback.php"  # [S 29]
        self.clients = {"CLIENT_ID": "CLIENT_SECRET"}
        self._codes: dict[str, Issued] = {}
        self._access: dict[str, Issued] = {}
        self._refresh: dict[str, Issued] = {}
        self._paths = {
            "/oauth2/authorize": self._authorize,
            "/oauth2/access_token": self._token,
            "/api": self._api,
        }

    @property
    def authorize_url(self) -> str:
        """The authorization page [S 13]."""
        return f"{self.url}/oauth2/authorize"

    @property
    def token_url(self) -> str:
        """The token endpoint [S 37]."""
        return f"{self.url}/oauth2/access_token"

    def expire_access(self) -> None:
        """End every access token now."""
        with self._lock:
            for each in self._access.values():
                each.expires_at = self.now()

    def _authorize(self, request: Request) -> Response:
        query = request.query
        if query.get("response_type") != "code" or query.get("client_id") not in self.clients:
            return as_json(400, {"error": "invalid_client"})
        if not self.is_creator:
            return Response(200, {}, b"This API can only be invoked by the creator.")  # [S 23]
        code = hexadecimal(40)  # [S 29]
        self._codes[code] = Issued(
            query["client_id"], self.now() + 30.0
        )  # [I] the library's default
        answer = {"code": code} | ({"state": query["state"]} if "state" in query else {})
        return redirect(f"{self.callback}?{urlencode(answer)}")

    def _token(self, request: Request) -> Response:
        if request.method != "POST":  # [S 41]
            return as_json(405, {"error": "invalid_request"})
        try:
            return as_json(200, self._granted(request.form))
        except _Refused as refusal:
            error, description = refusal.args
            return as_json(
                400, {"error": error, "error_description": description}
            )  # [S 115] the shape

    def _granted(self, form: dict[str, str]) -> dict[str, object]:
        if self.clients.get(form.get("client_id", "")) != form.get("client_secret"):
            raise _Refused("invalid_client", "The client credentials are invalid")
        match form.get("grant_type"):
            case "authorization_code":
                return self._redeem(form)
            case "refresh_token":
                return self._renew(form)
            case _:
                raise _Refused("unsupported_grant_type", "Grant type not supported")

    def _redeem(self, form: dict[str, str]) -> dict[str, object]:
        found = self._codes.pop(form.get("code", ""), None)
        if found is None or found.client_id != form["client_id"]:
            message = "Authorization code doesn't exist or is invalid for the client"
            raise _Refused("invalid_grant", message)
        if self.now() >= found.expires_at:
            raise _Refused("invalid_grant", "The authorization code has expired")
        return self._issue(found.client_id)

    def _renew(self, form: dict[str, str]) -> dict[str, object]:
        if not self.may_refresh:  # [S 115], word for word
            message = "The grant type is unauthorized for this client_id"
            raise _Refused("unauthorized_client", message)
        found = self._refresh.get(form.get("refresh_token", ""))
        if found is None or found.client_id != form["client_id"]:
            raise _Refused("invalid_grant", "Invalid refresh token")
        if self.now() >= found.expires_at:
            raise _Refused("invalid_grant", "Refresh token has expired")
        answer = self._issue(found.client_id)
        del self._refresh[form["refresh_token"]]  # [S 109] once; [I] the old access token lives on
        return answer

    def _issue(self, client_id: str) -> dict[str, object]:
        access, refresh = hexadecimal(40), hexadecimal(40)
        self._access[access] = Issued(client_id, self.now() + WEEK)
        self._refresh[refresh] = Issued(client_id, self.now() + WEEK + DAY)  # [S 75]
        return {  # [S 55], in this order
            "access_token": access,
            "expires_in": 604800,
            "token_type": "Bearer",
            "scope": None,
            "refresh_token": refresh,
        }

    def _api(self, request: Request) -> Response:
        """Answer an API call; how it carries the token is inferred [I]: one method only."""
        scheme, _, header = (request.authorization or "").partition(" ")
        ways = [
            token
            for token in (
                header if scheme == "Bearer" else None,
                request.query.get("access_token"),
                request.form.get("access_token"),
            )
            if token
        ]
        if len(ways) > 1:
            return as_json(400, {"error": "invalid_request"})
        found = self._access.get(ways[0]) if ways else None
        if found is None or self.now() >= found.expires_at:
            why = "has expired" if found else "provided is invalid"
            challenge = f'Bearer realm="Service", error="invalid_token", error_description="The access token {why}"'
            return Response(401, {"WWW-Authenticate": challenge})
        return as_json(200, {"ok": True})
