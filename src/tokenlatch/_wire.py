"""What goes over the wire: a token request, its answer, and what the answer means.

Law: pure; errors are returned, not raised, so that no traceback holds a frame with a secret in it.
"""

import json
import re
import zlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl, quote_plus, urlencode

from tokenlatch._state import Secret, TokenSet
from tokenlatch.errors import (
    AuthError,
    ConfigurationError,
    ProviderError,
    ReauthorizationRequired,
    UnreadableAnswerError,
)

LARGEST_ANSWER: Final = 1 << 20
"""Bytes of an answer that are read, counted after decompression."""

FOREVER: Final = 100 * 366 * 86400.0
"""Seconds from which on a lifetime means "for ever"."""

ErrorClass: TypeAlias = Literal["grant_dead", "maybe_dead", "config", "retry"]

ERROR_CLASSES: Final[Mapping[str, ErrorClass]] = {
    # RFC 6749 section 5.2
    "invalid_grant": "grant_dead",
    "invalid_client": "config",
    "unauthorized_client": "config",
    "unsupported_grant_type": "config",
    "invalid_scope": "config",
    "invalid_request": "maybe_dead",  # some servers say it of a dead refresh token
    "invalid_target": "config",  # RFC 8707 section 2
    # RFC 6749 section 4.1.2.1, sent by token endpoints too
    "server_error": "retry",
    "temporarily_unavailable": "retry",
    "slow_down": "retry",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to a token endpoint.

    Attributes:
        url: Where to.
        form: The body's fields, to be sent form-encoded.
        headers: Further headers.
        method: The HTTP method.
    """

    url: str
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: str = "POST"

    def body(self) -> bytes:
        """Return the form as application/x-www-form-urlencoded (RFC 6749 appendix B)."""
        return urlencode(self.form).encode()

    def all_headers(self) -> dict[str, str]:
        """Return every header to send."""
        return {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/x-www-form-urlencoded",
            **self.headers,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status, headers with lower-case names, and the raw body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


def basic(client_id: str, client_secret: str) -> Secret:
    """Return the Authorization header of a client, form-encoded first (RFC 6749 section 2.3.1)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return Secret(f"Basic {b64encode(pair.encode()).decode()}")


def read_tokens(
    answer: Answer,
    now: float,
    old: TokenSet | None = None,
    classes: Mapping[str, ErrorClass] = ERROR_CLASSES,
) -> TokenSet | AuthError:
    """Return the tokens in an answer, or the error that it stands for.

    Args:
        answer: What the token endpoint said.
        now: When the request was sent, seconds since the epoch.
        old: The token set before; what the answer leaves out is kept (RFC 6749 section 6).
        classes: What the provider's error codes mean.
    """
    fields = read_fields(answer)
    error = read_error(answer, fields, now, classes)
    if error:
        return error
    fields = fields or {}  # never empty here: read_error has seen an access token
    try:
        return TokenSet(
            fields["access_token"],  # type: ignore[arg-type]  # TokenSet checks it
            token_type=_text(fields.get("token_type")) or "Bearer",
            expires_at=_instant(fields.get("expires_in"), now),
            refresh_token=_text(fields.get("refresh_token"))
            or (old.refresh_token if old else None),
            refresh_expires_at=_deadline(fields, now, old),
            scope=_scope(fields.get("scope")) or (old.scope if old else None),
            issued_at=now,
            extra={name: fields[name] for name in fields.keys() - _KNOWN},
        )
    except ConfigurationError as problem:
        text = problem.message
    return UnreadableAnswerError(
        f"The token endpoint's answer is unusable. {text}", status=answer.status
    )


def read_fields(answer: Answer) -> dict[str, object] | None:
    """Return the answer's fields, from JSON or a form whatever its type says; None when unreadable."""
    body = _decoded(answer)
    if body is None:
        return None
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("latin-1")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if fields is None and "<" not in text and "=" in text:
        fields = dict(parse_qsl(text.strip()))
    return fields if isinstance(fields, dict) else None


def read_error(
    answer: Answer,
    fields: Mapping[str, object] | None,
    now: float,
    classes: Mapping[str, ErrorClass] = ERROR_CLASSES,
) -> AuthError | None:
    """Return the error that an answer stands for, or None when it brings an access token."""
    status = answer.status
    code, description, uri = _error_fields(fields or {})
    if fields is not None and not code and 200 <= status < 300 and fields.get("access_token"):
        return None
    said = ": ".join(part for part in (code, description) if part) or "no error code"
    sick = status in {408, 425, 429} or status >= 500
    kind = classes.get(code or "") or ("retry" if sick else "unknown" if code else "unreadable")
    mime = answer.headers.get("content-type") or "no content type"
    what = f"HTTP {status}, {mime}, {len(answer.body)} bytes"
    error_class, message = _MEANING[kind]
    error = error_class(
        message.format(said=said, status=status, what=what),
        error=code,
        description=description,
        uri=uri,
        status=status,
    )
    if isinstance(error, ProviderError):
        error.retry_after = retry_after(answer, now)
    return error


def retry_after(answer: Answer, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for (RFC 9110 section 10.2.3), or None."""
    value = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)


def is_refusal(status: int, challenge: str | None) -> bool:
    """Tell whether an API's answer means that the access token is bad (RFC 6750 section 3.1).

    A challenge without an error is taken as ``invalid_token``; any other error, such as
    ``insufficient_scope``, is not about the token's life.
    """
    if status != 401:
        return False
    errors = [
        value or token
        for name, value, token in _PARAMETER.findall(challenge or "")
        if name.lower() == "error"
    ]
    return not errors or "invalid_token" in errors


def utc(instant: float) -> str:
    """Return an instant as people read it, in UTC."""
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


_MEANING: Final[Mapping[str, tuple[type[AuthError], str]]] = {
    "grant_dead": (
        ReauthorizationRequired,
        "The provider refused the grant ({said}): log in again.",
    ),
    "maybe_dead": (
        ReauthorizationRequired,
        "The provider refused the request ({said}): log in again, or check the client's settings.",
    ),
    "config": (
        ConfigurationError,
        "The provider refused the client ({said}): check client id, secret, client_auth and scope.",
    ),
    "retry": (
        ProviderError,
        "The provider failed with HTTP {status} ({said}): it is asked again later.",
    ),
    "unknown": (
        ProviderError,
        "The provider answered an error it does not explain, HTTP {status} ({said}).",
    ),
    "unreadable": (
        UnreadableAnswerError,
        "The token endpoint's answer is no token answer ({what}): check its URL.",
    ),
}

_PARAMETER: Final = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_KNOWN: Final = {
    "access_token",
    "token_type",
    "expires_in",
    "refresh_token",
    "scope",
    "refresh_expires_in",
    "refresh_token_expires_in",
}


def _decoded(answer: Answer) -> bytes | None:
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if len(answer.body) > LARGEST_ANSWER:
        return None
    if encoding in {"identity", ""}:
        return answer.body
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        return None
    try:  # 32: take gzip and zlib headers alike
        body = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(answer.body, LARGEST_ANSWER + 1)
    except zlib.error:
        return None
    return body if len(body) <= LARGEST_ANSWER else None


def _error_fields(fields: Mapping[str, object]) -> tuple[str | None, str | None, str | None]:
    error = fields.get("error")
    description = _text(fields.get("error_description"))
    if isinstance(error, dict):  # {"error": {"code": ..., "message": ...}}
        description = description or _text(error.get("message"))
        error = error.get("code") or error.get("type") or error.get("status") or "unnamed"
    return _clean(_text(error)), _clean(description), _clean(_text(fields.get("error_uri")))


def _clean(text: str | None) -> str | None:
    return text and "".join(letter if letter.isprintable() else " " for letter in text)[:200]


def _text(value: object) -> str | None:
    if isinstance(value, bool) or value is None:
        return None
    return (
        value if isinstance(value, str) else str(value) if isinstance(value, int | float) else None
    )


def _scope(value: object) -> str | None:
    return " ".join(map(str, value)) if isinstance(value, list) else _text(value)


def _instant(seconds: object, now: float) -> float | None:
    """Return the end of a lifetime; None when it is missing, not positive, or for ever."""
    try:
        life = float(_text(seconds) or "nan")
    except ValueError:
        return None
    return now + life if 0 < life < FOREVER else None


def _deadline(fields: Mapping[str, object], now: float, old: TokenSet | None) -> float | None:
    life = fields.get("refresh_token_expires_in", fields.get("refresh_expires_in"))
    if life is None and old and not fields.get("refresh_token"):
        return old.refresh_expires_at  # the same refresh token keeps its deadline
    return _instant(life, now)
