"""A gateway that takes one signed form for everything: SOP, and what is built like Alipay's.

Law: pure; the clock's reading comes in as ``now``. What is signed is what is sent, down to the letter.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, get_args

from tokenlatch._frozen import Frozen, field
from tokenlatch._signing import SignType, canonical, check_public_key, members, sign, verify
from tokenlatch._state import Secret
from tokenlatch.errors import ConfigurationError

_DAY: Final = 86400.0
_STAMP: Final = "%Y-%m-%d %H:%M:%S"
_NAMES: Final = {
    *("app_id", "method", "format", "charset", "sign_type", "sign"),
    *("timestamp", "version", "app_auth_token", "biz_content"),
}
_ENVELOPES: Final = ("error_response", "result", "data")


class Gateway(Frozen):
    """What every request to the gateway carries, and how its answers are signed.

    Attributes:
        token_method: The method that answers with tokens.
        version: The ``version`` of requests that name none.
        utc_offset: Seconds by which the gateway's clock is ahead of UTC: it reads timestamps in its own
            zone, and refuses those older than 5 minutes (SOP: Asia/Shanghai).
        sign_type: ``RSA2`` or ``RSA``.
        platform_key: The gateway's public key. With it, answers must be signed.
        names: The usual parameter names (``app_id``, ``method``, ``format``, ``charset``,
            ``sign_type``, ``sign``, ``timestamp``, ``version``, ``app_auth_token``, ``biz_content``) ->
            the operator's.

    Raises:
        ConfigurationError: A field cannot be meant, or the platform key cannot be used.
    """

    token_method: str = "open.auth.token.app"  # noqa: S105 - a method's name
    version: str = "1.0"
    utc_offset: float = 8 * 3600.0
    sign_type: SignType = "RSA2"
    platform_key: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant: later it would cost an answer with tokens in it."""
        if self.sign_type not in get_args(SignType):
            raise ConfigurationError(f"Gateway(sign_type={self.sign_type!r}): use 'RSA2' or 'RSA'.")
        if not abs(self.utc_offset) < _DAY:
            message = f"Gateway(utc_offset={self.utc_offset!r}): give seconds, less than a day."
            raise ConfigurationError(message)
        strange = set(self.names) - _NAMES
        if strange:
            message = (
                f"Gateway(names=...): {strange.pop()!r} is none of {', '.join(sorted(_NAMES))}."
            )
            raise ConfigurationError(message)
        if self.platform_key is not None:
            check_public_key(self.platform_key)

    def name(self, usual: str) -> str:
        """Return the operator's name of a parameter."""
        return self.names.get(usual, usual)

    def form(
        self,
        params: Mapping[str, str],
        *,
        app_id: str,
        private_key: str,
        now: float,
        token: str | None = None,
    ) -> dict[str, str]:
        """Return the whole form: these parameters, the system's, the token, and the signature over all.

        Args:
            params: The request's own: ``method``, ``biz_content``, perhaps ``version``. An old signature,
                timestamp or token among them is replaced.
            app_id: The developer's AppId.
            private_key: The developer's private key.
            now: Seconds since the epoch.
            token: The user's token, on business calls.

        Raises:
            ConfigurationError: The key cannot be used.
        """
        system = {
            "app_id": app_id,
            "method": params.get(self.name("method"), ""),
            "format": "json",
            "charset": "UTF-8",
            "sign_type": self.sign_type,
            "timestamp": self.stamp(now),
            "version": params.get(self.name("version")) or self.version,
            "app_auth_token": token or "",
        }
        whole = {self.name(usual): value for usual, value in system.items()}
        whole |= {name: value for name, value in params.items() if name not in whole}
        whole.pop(self.name("sign"), None)
        # The gateway signs empty values too, its SDKs leave them out: so none is ever sent.
        whole = {name: value for name, value in whole.items() if value}
        text = Secret(canonical(whole, self.name("sign")))
        return whole | {self.name("sign"): sign(text, private_key, self.sign_type)}

    def token_form(
        self, fields: Mapping[str, str], *, app_id: str, private_key: str, now: float
    ) -> dict[str, str]:
        """Return the form that asks for tokens: the fields go into ``biz_content`` as JSON.

        Raises:
            ConfigurationError: The key cannot be used.
        """
        business = Secret(json.dumps(fields, separators=(",", ":"), ensure_ascii=False))
        params = {
            self.name("method"): self.token_method,
            self.name("biz_content"): business,
        }
        return self.form(params, app_id=app_id, private_key=private_key, now=now)

    def stamp(self, now: float) -> str:
        """Return an instant as the gateway's clock shows it."""
        zone = timezone(timedelta(seconds=self.utc_offset)) if self.utc_offset else UTC
        return datetime.fromtimestamp(now, zone).strftime(_STAMP)

    def doubt(self, raw: str, method: str | None = None) -> str | None:
        """Return why an answer cannot be believed; None: its signature is good, or none is required.

        Args:
            raw: The answer's text as it came.
            method: The method that was called, whose name the answer's envelope bears.

        """
        if self.platform_key is None:
            return None
        try:
            found = members(raw)
            signature = json.loads(found.pop(self.name("sign"), '""'))
        except (ValueError, RecursionError):
            return "is no JSON object"
        envelope = self._envelope(found, method)
        if envelope is None or not signature or not isinstance(signature, str):
            return "is not signed"
        return (
            None
            if verify(found[envelope], signature, self.platform_key, self.sign_type)
            else "has a wrong signature"
        )

    def signed_part(self, raw: str, method: str | None = None) -> str:
        """Return what the signature of an undoubted answer covers: anybody may have added the rest."""
        found = members(raw)
        envelope = self._envelope(found, method)
        return f"{{{json.dumps(envelope)}:{found[envelope]}}}" if envelope else "{}"

    def _envelope(self, found: Mapping[str, str], method: str | None) -> str | None:
        usual = f"{(method or self.token_method).replace('.', '_')}_response"
        return next((name for name in (usual, *_ENVELOPES) if name in found), None)
