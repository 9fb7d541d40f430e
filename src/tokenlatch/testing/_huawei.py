"""Huawei ID, simulated.

Law: [S] "Web应用怎样获取Access Token", with its line; [D] developer.huawei.com, account-server-error-code,
account-api-obtain-refresh-token and -revoke-token; [C] JustAuth; [I] inferred.
"""

from __future__ import annotations

import re
import secrets
import time
from base64 import b64encode, urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from tokenlatch.testing._http import Response
from tokenlatch.testing._simulator import Issued, Simulator, as_json, redirect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenlatch.testing._http import Request

HOUR, MINUTE, DAY = 3600.0, 60.0, 86400.0
_FORMAT = re.compile(r"^[0-9a-zA-Z=/\\+]+$")  # [D] of codes and refresh tokens
_RATE, _WINDOW = 1000, 5 * MINUTE  # [D] client_credentials


class _Refused(Exception):  # noqa: N818 - an answer, not a failure
    """The request gets error and sub_error, both integers [D]."""

    def __init__(self, error: int, sub_error: int, description: str) -> None:
        super().__init__(error, sub_error, description)
        self.body = {
            "sub_error": sub_error,
            "error_description": description,
            "error": error,
        }


class HuaweiServer(Simulator):
    """Huawei ID's OAuth service, and two APIs that take its tokens, on 127.0.0.1.

    Example:
        >>> from tokenlatch.providers import HUAWEI
        >>> with HuaweiServer() as huawei:
        ...     page = HUAWEI.authorize.having(url=huawei.authorize_url)
        ...     provider = HUAWEI.having(token_url=huawei.token_url, authorize=page)

    Attributes:
        consents: Whether the person agrees at the authorization page.
        clients: APP ID -> secret.
        callbacks: The redirect_uris that are registered.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Open the books; `start` opens the door."""
        super().__init__(clock)
        self.consents = True
        self.clients = {"107408391": "caa9b93ef209"}
        self.callbacks = {"https://www.thirdwebdemo.com/redirect_url"}
        self._codes: dict[str, Issued] = {}
        self._challenges: dict[str, str] = {}
        self._access: dict[str, Issued] = {}
        self._refresh: dict[str, Issued] = {}
        self._app_calls: list[float] = []
        self._paths = {
            "/oauth2/v3/authorize": self._authorize,
            "/oauth2/v3/token": self._token,
            "/oauth2/v3/revoke": self._revoke,
            "/rest.php": self._old_api,
            "/v1/profile": self._new_api,
        }

    @property
    def authorize_url(self) -> str:
        """The authorization page [S 21]."""
        return f"{self.url}/oauth2/v3/authorize"

    @property
    def token_url(self) -> str:
        """The token endpoint [S 83]."""
        return f"{self.url}/oauth2/v3/token"

    @property
    def revoke_url(self) -> str:
        """The revocation endpoint [D]."""
        return f"{self.url}/oauth2/v3/revoke"

    def revoke_all(self) -> None:
        """Let the person change the password: every token is revoked [D]."""
        with self._lock:
            for each in (*self._access.values(), *self._refresh.values()):
                each.revoked = True

    def expire_access(self) -> None:
        """End every access token now."""
        with self._lock:
            for each in self._access.values():
                each.expires_at = self.now()

    def _authorize(self, request: Request) -> Response:
        query = request.query
        uri = query.get("redirect_uri", "")
        if query.get("client_id") not in self.clients or uri not in self.callbacks:
            return Response(400, {}, b"invalid client_id or redirect_uri")
        if not self.consents:  # [S 56]: behind a #
            return redirect(f"{uri}#error=1107&error_description=access+denied")
        # [S 89]: long, and full of letters that a second decoding would destroy.
        code = b64encode(secrets.token_bytes(212)).decode()
        self._codes[code] = Issued(
            query["client_id"],
            self.now() + 5 * MINUTE,  # [S 63]
            redirect_uri=uri,
            offline=query.get("access_type") == "offline",  # [S 23], [D]
            scope=query.get("scope"),
        )
        if "code_challenge" in query:
            self._challenges[code] = query["code_challenge"]  # [C]
        state = f"&{urlencode({'state': query['state']})}" if "state" in query else ""  # [D]
        return redirect(f"{uri}?code={quote(code, safe='')}{state}")  # [S 50]

    def _token(self, request: Request) -> Response:
        if request.method != "POST":
            return Response(405)
        if "x-www-form-urlencoded" not in request.headers.get("content-type", ""):
            return as_json(400, {"error": 1102, "sub_error": 20181})  # [D] "may make it fail"
        try:
            return self._granted(request.form)
        except _Refused as refusal:
            return as_json(400, refusal.body)  # [D] HTTP 400

    def _granted(self, form: dict[str, str]) -> Response:
        self._check_client(form)
        match form.get("grant_type", ""):
            case "authorization_code":
                return as_json(200, self._redeem(form))
            case "refresh_token":
                return as_json(200, self._renew(form))
            case "client_credentials":
                return self._for_app(form)
            case "":
                raise _Refused(1102, 20181, "grant_type is empty")
            case _:
                raise _Refused(1101, 20182, "invalid grant_type")

    def _check_client(self, form: dict[str, str]) -> None:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        if not re.fullmatch(r"[0-9]{1,64}", client_id):
            raise _Refused(1101, 20002, "invalid client_id")
        if client_id not in self.clients:
            raise _Refused(1203, 12303, "client_id does not exist")
        if not secret:
            raise _Refused(1101, 20085, "client_secret is empty")
        if secret != self.clients[client_id]:
            raise _Refused(1101, 12304, "invalid client_secret")

    def _redeem(self, form: dict[str, str]) -> dict[str, object]:
        code = form.get("code", "")
        if not _FORMAT.match(code):
            raise _Refused(1101, 20152, "invalid code")
        found = self._codes.get(code)
        if found is None:
            raise _Refused(1103, 20153, "invalid code")
        if found.client_id != form["client_id"]:
            raise _Refused(1101, 20154, "code of another client_id")
        if found.used:
            raise _Refused(1101, 20156, "code has been used")  # [S 63]
        if self.now() >= found.expires_at:
            raise _Refused(1101, 20155, "code expired")
        if form.get("redirect_uri") != found.redirect_uri:
            raise _Refused(1101, 20023, "invalid redirect_uri")
        wanted = self._challenges.get(code)
        if wanted and wanted != _challenge(form.get("code_verifier", "")):
            raise _Refused(1101, 20152, "invalid code_verifier")  # [I] the number
        found.used = True
        grant = self._next_grant()
        answer = self._new_access(found.client_id, grant, found.scope)
        if found.offline:
            token = f"DgECAL{b64encode(secrets.token_bytes(66)).decode()}"
            self._refresh[token] = Issued(
                found.client_id, self.now() + 180 * DAY, grant, scope=found.scope
            )
            answer["refresh_token"] = token
        return answer

    def _renew(self, form: dict[str, str]) -> dict[str, object]:
        token = form.get("refresh_token", "")
        if not token:
            raise _Refused(1102, 20191, "refresh_token is empty")
        if not _FORMAT.match(token):
            raise _Refused(1101, 20192, "invalid refresh_token")
        found = self._refresh.get(token)
        if found is None:
            raise _Refused(1203, 31202, "refresh_token cannot be parsed")
        if found.client_id != form["client_id"]:
            raise _Refused(1101, 20154, "refresh_token of another client_id")
        if found.revoked:
            raise _Refused(1203, 31204, "token revoked")
        if self.now() >= found.expires_at:
            raise _Refused(1203, 11205, "refresh_token expired")
        return self._new_access(found.client_id, found.grant, found.scope)  # [D] no refresh token

    def _for_app(self, form: dict[str, str]) -> Response:
        self._app_calls = [at for at in self._app_calls if at > self.now() - _WINDOW]
        if len(self._app_calls) >= _RATE:
            return Response(503)  # [D] system flow control
        self._app_calls.append(self.now())
        answer = self._new_access(form["client_id"], 0, None)
        return as_json(
            200, {name: answer[name] for name in ("access_token", "expires_in", "token_type")}
        )

    def _new_access(self, client_id: str, grant: int, scope: str | None) -> dict[str, object]:
        token = f"DgEAAN{b64encode(secrets.token_bytes(66)).decode()}"
        self._access[token] = Issued(client_id, self.now() + HOUR, grant)
        answer: dict[str, object] = {"access_token": token, "expires_in": 3600}  # [S 94]
        if scope:
            answer["scope"] = scope
            if "openid" in scope.split():
                answer["id_token"] = "eyJraWQiOiIxIn0.e30.c2ln"
        return answer | {"token_type": "Bearer"}

    def _revoke(self, request: Request) -> Response:
        token = request.form.get("token", "")
        found = self._access.get(token) or self._refresh.get(token)
        if found is None or found.revoked:
            return as_json(
                400, {"sub_error": 31204, "error_description": "token revoked", "error": 1203}
            )
        for each in (*self._access.values(), *self._refresh.values()):
            each.revoked = each.revoked or (each.grant == found.grant)  # [D] the two are a pair
        return as_json(200, {})

    def _new_api(self, request: Request) -> Response:
        token = (request.authorization or "").removeprefix("Bearer ")
        return as_json(200, {"ok": True}) if not self._verdict(token) else Response(401)

    def _old_api(self, request: Request) -> Response:
        """Answer as rest.php: HTTP 200 in any case, the verdict in NSP_STATUS [D]."""
        verdict = self._verdict(request.form.get("access_token", ""))
        if verdict:
            return as_json(200, {"error": "session timeout"}, {"NSP_STATUS": verdict})
        return as_json(200, {"displayName": "demo"})

    def _verdict(self, token: str) -> str | None:
        found = self._access.get(token)
        if found is None:
            return "102"
        return "31204" if found.revoked else "6" if self.now() >= found.expires_at else None


def _challenge(verifier: str) -> str:
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
