"""An SOP gateway, simulated: SOP 4, or with `five` the answers of SOP 5.

Law: [S] doc/docs/files/10097_应用授权.md; [C] the source of SOP 4.1 (yanjingyun/SOP 8515bb57): SopSignature,
OAuth2ServiceImpl, BaseExecutorAdapter, ErrorEnum; [I] inferred. It needs the library cryptography.
"""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tokenlatch.testing._http import Response
from tokenlatch.testing._simulator import Issued, Simulator, hexadecimal, redirect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenlatch.testing._http import Request

FOREVER = float("inf")
_LATE = 300.0  # [C] seconds
TOKEN_METHOD = "open.auth.token.app"
_REQUIRED = {  # [C] parameter -> what is said when it is missing
    "app_id": "isv.missing-app-id",
    "method": "isv.missing-method",
    "sign_type": "isv.missing-signature-type",
    "sign": "isv.missing-signature",
    "timestamp": "isv.missing-timestamp",
    "version": "isv.missing-version",
}


class _Refused(Exception):  # noqa: N818 - an answer, not a failure
    """The request gets code and sub_code, with HTTP 200 [C]."""


class SopServer(Simulator):
    """A gateway with the token service and one method that needs a token (`story.get`), on 127.0.0.1.

    Args:
        app_public_key: The developer's public key: SubjectPublicKeyInfo, bare base64.
        platform_private_key: The gateway's own key, PKCS#8 in bare base64; without it answers are not signed.
        app_id: The developer's AppId.
        utc_offset: Seconds by which the gateway's clock is ahead of UTC.
        access_lifetime: Seconds that tokens live; -1 is for ever.
        five: Answer as SOP 5.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        app_public_key: str,
        platform_private_key: str | None = None,
        *,
        app_id: str = "2019032617262200001",
        utc_offset: float = 8 * 3600.0,
        access_lifetime: int = -1,
        five: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the books; `start` opens the door."""
        super().__init__(clock)
        self.app_id, self.utc_offset, self.five = app_id, utc_offset, five
        self.access_lifetime = access_lifetime
        self._public, self._platform = app_public_key, platform_private_key
        self._codes: dict[str, Issued] = {}
        self._access: dict[str, Issued] = {}
        self._refresh: dict[str, Issued] = {}
        self._paths = {"/oauth2/appToAppAuth": self._authorize, "/": self._gateway}

    @property
    def authorize_url(self) -> str:
        """The page where a person consents [S]."""
        return f"{self.url}/oauth2/appToAppAuth"

    @property
    def gateway_url(self) -> str:
        """The gateway [C]."""
        return f"{self.url}/"

    def expire_access(self) -> None:
        """End every access token now."""
        with self._lock:
            for each in self._access.values():
                each.expires_at = self.now()

    def _authorize(self, request: Request) -> Response:
        query = request.query  # [C] nothing but these two survives the login form: no state
        uri = query["redirect_uri"]
        if query.get("app_id") != self.app_id:
            return redirect(f"{uri}?error=invalid_client&error_description=app_id")
        code = hexadecimal(32)
        self._codes[code] = Issued(self.app_id, self.now() + 86400.0)  # [S] 24 hours
        joint = "&" if "?" in uri else "?"
        return redirect(f"{uri}{joint}{urlencode({'app_id': self.app_id, 'code': code})}")  # [S]

    def _gateway(self, request: Request) -> Response:
        params = request.form if request.method == "POST" else request.query
        method = params.get("method", "")
        try:
            self._check(params)
            node = self._called(method, params)
        except _Refused as refusal:
            code, sub_code = refusal.args
            return self._respond(
                method, {"code": code, "msg": "refused", "sub_code": sub_code, "sub_msg": "refused"}
            )
        # [C] the token service never throws: the gateway wraps its errors as a success, too.
        return self._respond(method, {"code": "10000", "msg": "Success", **node})

    def _called(self, method: str, params: dict[str, str]) -> dict[str, object]:
        if method == TOKEN_METHOD:
            return self._tokens(json.loads(params.get("biz_content", "{}")))
        if method == "story.get":
            return self._story(params)
        raise _Refused("40002", "isv.invalid-method")

    def _check(self, params: dict[str, str]) -> None:
        for name, sub_code in _REQUIRED.items():
            if not params.get(name):
                raise _Refused("40001", sub_code)
        if params["app_id"] != self.app_id:
            raise _Refused("40002", "isv.invalid-app-id")
        # [C] the gateway keeps empty values in the text, its SDKs leave them out.
        text = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "sign")
        if not _is_signed(text, params["sign"], params["sign_type"], self._public):
            raise _Refused("40002", "isv.invalid-signature")
        try:
            stamp = datetime.strptime(params["timestamp"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        except ValueError:
            raise _Refused("40002", "isv.invalid-timestamp") from None
        sent = (stamp - timedelta(seconds=self.utc_offset)).timestamp()
        if self.now() - sent > _LATE:  # [C] one-sided: the future passes
            raise _Refused("40002", "isv.invalid-timestamp")

    def _tokens(self, business: dict[str, Any]) -> dict[str, object]:
        """Answer as OAuth2ServiceImpl.accessToken [C]."""
        match business.get("grant_type"):
            case "authorization_code":
                found = self._codes.pop(business.get("code", ""), None)
                if found is None or self.now() >= found.expires_at:
                    return _oltu("invalid_request", "invalid code")
                return self._issue()
            case "refresh_token" if not business.get("refresh_token"):
                return _oltu("expired_token", "expired token")
            case "refresh_token":
                old = self._refresh.pop(business["refresh_token"], None)  # [C] deleted at once
                if old is None:
                    return _oltu("invalid_token", "invalid token")
                for each in self._access.values():
                    each.expires_at = min(each.expires_at, self.now() + 600)  # [S] ten minutes
                return self._issue()
            case _:
                return _oltu("invalid_grant", "invalid grant")

    def _issue(self) -> dict[str, object]:
        access, refresh, life = hexadecimal(32), hexadecimal(32), self.access_lifetime
        end = FOREVER if life < 0 else self.now() + life
        self._access[access] = Issued(self.app_id, end)
        self._refresh[refresh] = Issued(self.app_id, FOREVER)
        return {  # [S], in this order
            "app_auth_token": access,
            "app_refresh_token": refresh,
            "expires_in": life,
            "re_expires_in": life * 3,  # [C] OAuth2Config
            "user_id": "1",
        }

    def _story(self, params: dict[str, str]) -> dict[str, object]:
        found = self._access.get(params.get("app_auth_token", ""))
        if found is None:
            raise _Refused("20001", "aop.invalid-app-auth-token")
        if self.now() >= found.expires_at:
            raise _Refused("20001", "aop.app-auth-token-time-out")
        return {"id": 1, "name": "sign", "sign": "a business field of that name"}

    def _respond(self, method: str, node: dict[str, object]) -> Response:
        if self.five:  # [C] success is "0", sub_code is there and empty
            data = {name: value for name, value in node.items() if name not in _HEAD}
            head = {name: node.get(name, "") for name in _HEAD}
            head["code"] = "0" if head["code"] == "10000" else head["code"]
            return _text(json.dumps({**head, "data": data or None}, separators=(",", ":")))
        name = f"{method.replace('.', '_')}_response" if method else "error_response"
        raw = json.dumps(node, separators=(",", ":"), ensure_ascii=False)
        if self._platform is None:
            return _text(f'{{"{name}":{raw}}}')
        # [C] over the very text of the node
        return _text(f'{{"{name}":{raw},"sign":"{_sign(raw, self._platform)}"}}')


_HEAD = ("code", "msg", "sub_code", "sub_msg")


def _text(body: str) -> Response:
    """Return an answer: HTTP 200 whatever it says [C GatewayExceptionHandler]."""
    return Response(200, {"Content-Type": "application/json;charset=UTF-8"}, body.encode())


def _oltu(error: str, description: str) -> dict[str, object]:
    return {"error": error, "error_description": description, "expires_in": -1, "re_expires_in": -1}


def _is_signed(text: str, signature: str, sign_type: str, key: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    public: Any = serialization.load_der_public_key(base64.b64decode(key))
    digest = hashes.SHA256() if sign_type == "RSA2" else hashes.SHA1()  # noqa: S303 - SOP's RSA
    try:
        public.verify(base64.b64decode(signature), text.encode(), PKCS1v15(), digest)
    except (InvalidSignature, ValueError):
        return False
    return True


def _sign(text: str, key: str) -> str:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    private: Any = serialization.load_der_private_key(base64.b64decode(key), password=None)
    return base64.b64encode(private.sign(text.encode(), PKCS1v15(), hashes.SHA256())).decode()
