"""What goes over the wire: a token request, its answer, and what the answer means.

Law: pure; errors are returned, not raised, so that no traceback holds a frame with a secret in it.
"""

import json
import re
import zlib
from base64 import b64encode
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import parse_qsl, quote_plus, urlencode

from tokenlatch._frozen import Frozen, field
from tokenlatch._meaning import ERROR_CLASSES, MEANING, ErrorClass
from tokenlatch._shape import RFC6749, AnswerShape, text
from tokenlatch._state import Secret, TokenSet
from tokenlatch.errors import (
    AuthError,
    ConfigurationError,
    ProviderError,
    UnreadableAnswerError,
)

__all__ = [
    "ERROR_CLASSES",
    "LARGEST_ANSWER",
    "Answer",
    "Ask",
    "ErrorClass",
    "basic",
    "is_refusal",
    "read_error",
    "read_fields",
    "read_tokens",
    "retry_after",
    "utc",
]

LARGEST_ANSWER: Final = 1 << 20
"""Bytes of an answer that are read, counted after decompression."""


class Ask(Frozen):
    """One request to a token endpoint.

    Attributes:
        url: Where to.
        form: The body's fields.
        headers: Further headers.
        method: The HTTP method.
        as_json: The body is a JSON object, not a form.
    """

    url: str
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: str = "POST"
    as_json: bool = False

    def __repr__(self) -> str:
        url = self.url.partition("?")[0]  # some providers want the secret behind it
        return f"Ask(url={url!r}, method={self.method!r}, as_json={self.as_json})"

    def body(self) -> bytes:
        """Return the fields as application/x-www-form-urlencoded (RFC 6749 appendix B), or as JSON."""
        if self.as_json:
            return json.dumps(self.form).encode()
        return urlencode(self.form).encode()

    def all_headers(self) -> dict[str, str]:
        """Return every header to send."""
        mime = "application/json" if self.as_json else "application/x-www-form-urlencoded"
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self.method != "GET":
            headers["Content-Type"] = mime
        return {**headers, **self.headers}


class Answer(Frozen):
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
    shape: AnswerShape = RFC6749,
    *,
    spent: str | None = None,
    secrets: Collection[str] = (),
) -> TokenSet | AuthError:
    """Return the tokens in an answer, or the error that it stands for.

    Args:
        answer: What the token endpoint said.
        now: When the request was sent, seconds since the epoch.
        old: The token set before; what the answer leaves out is kept (RFC 6749 section 6).
        shape: How the provider answers.
        spent: The refresh token that was sent: an answer without a new one leaves it in use.
        secrets: What else was sent that an error must not repeat.
    """
    fields = read_fields(answer, shape.strip_prefix)
    known = (spent, *((old.access_token, old.refresh_token) if old else ()), *secrets)
    error = read_error(answer, fields, now, shape, [each for each in known if each])
    if error:
        return error
    node = shape.node(fields or {})  # never empty here: read_error has seen an access token
    if shape.rotation == "prolonged" and old:
        return old.having(issued_at=now, expires_at=shape.expiry(node, now))
    expires_at = shape.expiry(node, now)
    kept = spent or (old.refresh_token if old else None)
    try:
        return TokenSet(
            shape.value(node, "access_token"),  # type: ignore[arg-type]  # TokenSet checks it
            token_type=text(shape.value(node, "token_type")) or "Bearer",
            expires_at=expires_at,
            refresh_token=text(shape.value(node, "refresh_token"))
            or (None if shape.rotation == "required" else kept),
            refresh_expires_at=shape.deadline(node, now, old, expires_at),
            scope=_scope(shape.value(node, "scope")) or (old.scope if old else None),
            issued_at=now,
            extra=shape.others(node, old),
        )
    except ConfigurationError as problem:
        message = problem.message
    return UnreadableAnswerError(
        f"The token endpoint's answer is unusable. {message}", status=answer.status
    )


def read_fields(answer: Answer, prefix: str = "") -> dict[str, object] | None:
    """Return the answer's fields, from JSON or a form whatever its type says; None when unreadable."""
    body = _decoded(answer)
    if body is None:
        return None
    try:
        said = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        said = body.decode("latin-1")
    said = said.removeprefix(prefix)
    try:
        fields = json.loads(said, parse_constant=_nothing)
    except (ValueError, RecursionError):
        fields = None
    if fields is None and "<" not in said and "=" in said:
        fields = dict(parse_qsl(said.strip()))
    return fields if isinstance(fields, dict) else None


def read_error(
    answer: Answer,
    fields: Mapping[str, object] | None,
    now: float,
    shape: AnswerShape = RFC6749,
    secrets: Collection[str] = (),
) -> AuthError | None:
    """Return the error that an answer stands for, or None when it brings an access token.

    Some providers repeat what they were sent: ``secrets`` are taken out of what they say.
    """
    status, node = answer.status, shape.node(fields or {})
    code, description, uri = (clean(said, secrets) for said in shape.refusal(node))
    brought = shape.rotation == "prolonged" or shape.value(node, "access_token")
    if fields is not None and not code and 200 <= status < 300 and brought:
        return None
    said = ": ".join(part for part in (code, description) if part) or "no error code"
    sick = status in {408, 425, 429} or status >= 500
    kind = shape.kind(code) or ("retry" if sick else "unknown" if code else "unreadable")
    mime = clean(answer.headers.get("content-type")) or "no content type"
    what = f"HTTP {status}, {mime}, {len(answer.body)} bytes"
    error_class, message = MEANING[kind]
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
        if name.lower() == "error" and (value or token)
    ]
    return not errors or "invalid_token" in errors


def utc(instant: float) -> str:
    """Return an instant as people read it, in UTC."""
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def clean(said: str | None, secrets: Collection[str] = ()) -> str | None:
    """Return what somebody else said as messages may show it: printable, cut, without these secrets."""
    for secret in secrets:
        said = said and said.replace(secret, "***")  # before the cut, which may leave half of it
    return said and "".join(letter if letter.isprintable() else " " for letter in said)[:200]


_PARAMETER: Final = re.compile(r'(?<![\w-])([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


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


def _nothing(_: str) -> None:
    """Read NaN and Infinity as null: JSON has neither, and a NaN differs from itself."""


def _scope(value: object) -> str | None:
    return " ".join(map(str, value)) if isinstance(value, list) else text(value)
