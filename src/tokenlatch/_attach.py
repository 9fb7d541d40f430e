"""Where a provider's API requests carry the token, if not as RFC 6750 says, and how its APIs refuse one.

Law: pure, and knows no HTTP client; chosen once for each auth object, so that the usual way pays nothing for it.
"""

import json
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit, urlunsplit

from tokenlatch._asking import Client
from tokenlatch._dpop import WANTS_NONCE, Dpop
from tokenlatch._frozen import Frozen, field
from tokenlatch._shape import find, text
from tokenlatch._state import TokenSet
from tokenlatch._wire import is_refusal
from tokenlatch.errors import ConfigurationError, UnreadableAnswerError
from tokenlatch.providers import BEARER, Attach, Provider, Rejection

LARGEST_JUDGED: Final = 1 << 20
"""Bytes of an answer up to which its body is looked at for a refusal."""

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"


class Draft(Frozen):
    """A request as far as attaching a token changes it.

    Attributes:
        url: Its URL.
        body: Its body, where the token goes into it; else None.
        mime: Its content type, or "".
        headers: Headers to set.
        method: Its HTTP method.
    """

    url: str = field(repr=False)  # the token may be in it
    body: bytes | None = field(default=None, repr=False)
    mime: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: str = "GET"


class Manner(Frozen):
    """One provider's way; ``client`` signs where signing is needed, ``dpop`` proves where it is asked for."""

    attach: Attach
    rejected_when: Rejection
    provider: Provider
    client: Client | None = None
    dpop: Dpop | None = None

    @property
    def reads_body(self) -> bool:
        """Whether the request's body has to be at hand."""
        return self.attach.place in {"form", "json", "signed"}

    @property
    def judges_body(self) -> bool:
        """Whether the answer's body tells something."""
        return self.rejected_when.body is not None or self.wants_proof

    @property
    def wants_proof(self) -> bool:
        """Whether every answer has to be signed: then each is read, however long, and none may redirect."""
        gateway = self.provider.gateway
        return gateway is not None and gateway.platform_key is not None

    def dress(self, draft: Draft, tokens: TokenSet, now: float) -> Draft:
        """Return the request with the token, and signed anew where it is signed.

        Args:
            draft: The request as the caller wrote it.
            tokens: The token, and what goes with it.
            now: Seconds since the epoch, for a timestamp.

        Raises:
            ConfigurationError: The token would go into a form or an object, and the body is none.
        """
        place, name = self.attach.place, self.attach.name
        if self.dpop is not None:
            token = tokens.access_token
            proof = self.dpop.proof(draft.method, draft.url, now, token)
            return Draft(draft.url, headers={"Authorization": f"DPoP {token}", "DPoP": proof})
        companions = {
            theirs: text(tokens.extra.get(ours)) or ""
            for theirs, ours in self.attach.companions.items()
        }
        added = {name: f"{self.attach.prefix}{tokens.access_token}", **companions}
        if place == "header":
            return Draft(draft.url, draft.body, draft.mime, added)
        if place == "query":
            parts = urlsplit(draft.url)
            return Draft(urlunsplit(parts._replace(query=_with(parts.query, added))))
        if place in {"form", "json"} and draft.method in {"GET", "HEAD"}:  # RFC 6750 section 2.2
            message = (
                f"The token goes into a {place} body here, and a {draft.method} has none: use POST."
            )
            raise ConfigurationError(message)
        if place == "form":
            return _with_body(draft.url, _with(_form(draft), added), FORM)
        if place == "json":
            return _with_body(draft.url, json.dumps(_object(draft) | added), JSON)
        return self._sign(draft, _fields(draft), tokens.access_token, now)

    def wants_nonce(self, url: str, status: int, headers: Mapping[str, str]) -> bool:
        """Tell whether an API refused only because the proof had no good nonce (RFC 9449 section 9)."""
        if self.dpop is None:
            return False
        fresh = self.dpop.learn(url, {"dpop-nonce": headers.get("DPoP-Nonce", "")})
        return fresh and status == 401 and WANTS_NONCE in headers.get("WWW-Authenticate", "")

    def is_rejected(
        self,
        status: int,
        headers: Mapping[str, str],
        read: Callable[[], bytes | None],
        method: str | None = None,
    ) -> bool:
        """Tell whether an answer means that the access token is bad.

        Args:
            status: The answer's status.
            headers: Its headers, found whatever their case.
            read: Returns the body, or None when it is not to be looked at.
            method: The gateway's method that was called.

        Raises:
            UnreadableAnswerError: Its body says so, and is not signed as it has to be: whoever forges a
                refusal would make us spend a refresh token.
        """
        rule = self.rejected_when
        if status in rule.statuses:
            return status != 401 or is_refusal(401, headers.get("WWW-Authenticate"))
        if rule.header and headers.get(rule.header[0], "").strip() in rule.header[1]:
            return True
        if rule.body is None or not _says(read(), *rule.body):
            return False
        self.doubt(read, method)
        return True

    def doubt(self, read: Callable[[], bytes | None], method: str | None) -> None:
        """Refuse an answer of the gateway that is not signed as it has to be.

        Raises:
            UnreadableAnswerError: It is not.
        """
        gateway = self.provider.gateway
        body = read() if gateway and gateway.platform_key else None
        if gateway is None or body is None:
            return
        problem = gateway.doubt(body.decode("utf-8", "replace"), method)
        if problem:
            message = f"The gateway's answer {problem}: it is not believed. Check platform_key."
            raise UnreadableAnswerError(message)

    def method_of(self, draft: Draft) -> str | None:
        """Return the gateway's method that a request calls, or None."""
        gateway = self.provider.gateway
        if gateway is None or self.attach.place != "signed":
            return None
        return _fields(draft).get(gateway.name("method"))

    def _sign(self, draft: Draft, fields: dict[str, str], token: str, now: float) -> Draft:
        gateway, client = self.provider.gateway, self.client
        if gateway is None or client is None:
            message = (
                f"{self.provider!r} signs its requests: the source needs a grant with the key."
            )
            raise ConfigurationError(message)
        whole = gateway.form(
            fields, app_id=client.id, private_key=client.proof(), now=now, token=token
        )
        if draft.body or not urlsplit(draft.url).query:
            return _with_body(draft.url, urlencode(whole), FORM)
        return Draft(urlunsplit(urlsplit(draft.url)._replace(query=urlencode(whole))))


def manner_of(grant: object, attach: Attach | None) -> Manner | None:
    """Return the provider's way; None: the usual one, ``Authorization: Bearer`` and 401."""
    provider = getattr(grant, "provider", None)
    if not isinstance(provider, Provider):
        provider = None
    where = attach or (provider.attach if provider else BEARER)
    refused = provider.rejected_when if provider else Rejection()
    dpop = getattr(grant, "dpop", None)
    if where == BEARER and refused == Rejection() and dpop is None:
        return None
    if dpop is not None and where != BEARER:
        raise ConfigurationError("DPoP has a header of its own: leave attach out.")
    blank = provider or Provider("https://none.invalid/")
    return Manner(where, refused, blank, getattr(grant, "client", None), dpop)


def _form(draft: Draft) -> str:
    """Return the form in the body, as it is written."""
    if draft.body and draft.mime.partition(";")[0].strip().lower() != FORM:
        message = (
            f"The token goes into a form here, and the body is {draft.mime or 'of no type'}: "
            "send a form (data={...})."
        )
        raise ConfigurationError(message)
    return (draft.body or b"").decode("utf-8", "replace")


def _fields(draft: Draft) -> dict[str, str]:
    """Return the fields of a form, or of a query where there is no body."""
    pairs = parse_qsl(_form(draft) or urlsplit(draft.url).query, keep_blank_values=True)
    fields = dict(pairs)
    if len(fields) < len(pairs):
        message = "A signed form has each field once, and this one repeats a name: send one value."
        raise ConfigurationError(message)
    return fields


def _object(draft: Draft) -> dict[str, object]:
    """Return the JSON object in the body."""
    try:
        content = json.loads(draft.body or b"{}")
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        message = (
            "The token goes into a JSON object here, and the body is none: send one (json={...})."
        )
        raise ConfigurationError(message)
    return content


def _with_body(url: str, text: str, mime: str) -> Draft:
    body = text.encode()
    return Draft(url, body, mime, {"Content-Type": mime, "Content-Length": str(len(body))})


def _with(query: str, added: Mapping[str, str]) -> str:
    """Return a query or form with these fields; the others stay as the caller wrote them."""
    kept = [
        pair
        for pair in query.split("&")
        if pair and unquote_plus(pair.partition("=")[0]) not in added
    ]
    return "&".join([*kept, urlencode(added)])


def _says(body: bytes | None, paths: tuple[str, ...], values: tuple[str, ...]) -> bool:
    """Tell whether a JSON answer says one of these words, at its top or in one of its members."""
    try:
        answer = json.loads(body or b"null")
    except (ValueError, RecursionError):
        return False
    nodes = [answer, *answer.values()] if isinstance(answer, dict) else []
    return any(text(find(node, path)) in values for node in nodes for path in paths)
