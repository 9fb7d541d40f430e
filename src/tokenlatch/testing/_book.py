"""The book of grants: what an authorization server has to remember about the tokens it gave out.

Law: pure. No clock, socket, thread or lock; the caller brings `now` (seconds) and lets one thread in at a time.
Sources: RFC 6749 sections 5 and 6, RFC 7009, RFC 7662; reuse detection as in RFC 9700 section 4.14.2.
"""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Payload: TypeAlias = dict[str, Any]


class Refused(Exception):  # noqa: N818 - an answer to the client, not a failure of the book
    """The request gets an error answer (RFC 6749 section 5.2)."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        """Keep the error word, one sentence for people, and the HTTP status."""
        super().__init__(error, description, status)
        self.error, self.description, self.status = error, description, status


@dataclass(slots=True, eq=False)
class Grant:
    """One permission given once: the family of all tokens that came from it."""

    client_id: str
    scope: str | None
    revoked: bool = False
    access_tokens: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Token:
    """What the book knows of one token; `expires_at` is in seconds since the epoch."""

    grant: Grant
    expires_at: float


@dataclass(slots=True, eq=False)
class Access(Token):
    """An access token; its scope may be narrower than its grant's."""

    scope: str | None


@dataclass(slots=True, eq=False)
class Refresh(Token):
    """A refresh token, and once it is spent, when and for which access and refresh token."""

    spent_at: float | None = None
    successor: tuple[str, str] | None = None


@dataclass(kw_only=True, slots=True, eq=False)
class GrantBook:
    """All grants of one server, and the rules they live by. Rules may be changed at any time.

    Attributes:
        access_lifetime: seconds an access token lives.
        refresh_lifetime: seconds a refresh token lives; None is for ever.
        rotate: a refresh token works once and is replaced.
        reuse_detection: a spent refresh token revokes its whole family when it is seen again.
        grace: seconds in which the last spent refresh token is answered with the same new tokens again.
        kill_old_access: a refresh kills the family's older access tokens.
        tally: how often what happened, by the names of `Counts`.
    """

    access_lifetime: float = 3600.0
    refresh_lifetime: float | None = None
    rotate: bool = True
    reuse_detection: bool = True
    grace: float = 0.0
    kill_old_access: bool = False
    tally: Counter[str] = field(default_factory=Counter)
    _access: dict[str, Access] = field(default_factory=dict)
    _refresh: dict[str, Refresh] = field(default_factory=dict)

    def issue(
        self, client_id: str, now: float, scope: str | None = None, *, refreshable: bool = True
    ) -> Payload:
        """Open a new grant and return its first tokens."""
        grant = Grant(client_id, scope)
        refresh_token = self._new_refresh(grant, now) if refreshable else None
        return self._payload(self._new_access(grant, now, scope), refresh_token, now)

    def refresh(
        self,
        token: str,
        client_id: str,
        now: float,
        scope: str | None = None,
        *,
        rotate: bool | None = None,
    ) -> Payload:
        """Spend a refresh token (RFC 6749 section 6). `rotate` overrules the book's rule for this one time.

        Raises:
            Refused: unknown, foreign, expired, revoked or spent token; more scope than was granted.
        """
        page = self._refresh.get(token)
        if page is None or page.grant.client_id != client_id:
            raise Refused("invalid_grant", "this refresh token was never issued to this client")
        if page.spent_at is not None:
            return self._spent_again(page, page.spent_at, now)
        if page.grant.revoked:
            raise Refused("invalid_grant", "this grant was revoked")
        if now >= page.expires_at:
            raise Refused("invalid_grant", "this refresh token has expired")
        if not set((scope or "").split()) <= set((page.grant.scope or "").split()):
            raise Refused("invalid_scope", "a refresh cannot widen the scope")
        if self.kill_old_access:
            self._drop_access(page.grant)
        access_token = self._new_access(page.grant, now, scope or page.grant.scope)
        refresh_token = token
        if self.rotate if rotate is None else rotate:
            refresh_token = self._new_refresh(page.grant, now)
            page.spent_at, page.successor = now, (access_token, refresh_token)
        self.tally["refreshes"] += 1
        return self._payload(access_token, refresh_token, now)

    def is_live(self, access_token: str, now: float) -> bool:
        """Tell whether an API has to accept this access token."""
        page = self._access.get(access_token)
        return page is not None and not page.grant.revoked and now < page.expires_at

    def revoke(self, token: str, client_id: str) -> None:
        """Revoke a token (RFC 7009): an access token alone, a refresh token with its family; others are ignored."""
        if (page := self._refresh.get(token)) is not None and page.grant.client_id == client_id:
            self._revoke_grant(page.grant)
        elif (
            access := self._access.get(token)
        ) is not None and access.grant.client_id == client_id:
            del self._access[token]
            self.tally["revocations"] += 1

    def introspect(self, token: str, now: float) -> Payload:
        """Describe a token (RFC 7662 section 2.2)."""
        page: Token | None = self._access.get(token) or self._refresh.get(token)
        spent = isinstance(page, Refresh) and page.spent_at is not None
        if page is None or page.grant.revoked or spent or now >= page.expires_at:
            return {"active": False}
        scope = page.scope if isinstance(page, Access) else page.grant.scope
        answer: Payload = {"active": True, "client_id": page.grant.client_id, "scope": scope or ""}
        if page.expires_at < float("inf"):
            answer["exp"] = int(page.expires_at)
        return answer | ({"token_type": "Bearer"} if isinstance(page, Access) else {})

    def expire_all(self, now: float) -> None:
        """Let every access token end now; the refresh tokens live on."""
        for page in self._access.values():
            page.expires_at = min(page.expires_at, now)

    def revoke_all(self) -> None:
        """End every grant."""
        for page in [*self._access.values(), *self._refresh.values()]:
            self._revoke_grant(page.grant)

    def _spent_again(self, page: Refresh, spent_at: float, now: float) -> Payload:
        """Answer a spent refresh token: the same new tokens within the grace, else a refusal and its consequences."""
        if page.successor and not page.grant.revoked and now < spent_at + self.grace:
            access_token, refresh_token = page.successor
            # Only the last spent token has a grace: once the successor was used, the client must have received it.
            if self._refresh[refresh_token].spent_at is None and access_token in self._access:
                return self._payload(access_token, refresh_token, now)
        self.tally["replays"] += 1
        if self.reuse_detection:
            self._revoke_grant(page.grant)
        raise Refused("invalid_grant", "this refresh token was used before")

    def _revoke_grant(self, grant: Grant) -> None:
        if not grant.revoked:
            grant.revoked = True
            self.tally["revocations"] += 1

    def _drop_access(self, grant: Grant) -> None:
        for token in grant.access_tokens:
            self._access.pop(token, None)
        grant.access_tokens.clear()

    def _new_access(self, grant: Grant, now: float, scope: str | None) -> str:
        token = "at-" + secrets.token_urlsafe(24)
        self._access[token] = Access(grant, now + self.access_lifetime, scope)
        grant.access_tokens.append(token)
        return token

    def _new_refresh(self, grant: Grant, now: float) -> str:
        token = "rt-" + secrets.token_urlsafe(24)
        lifetime = float("inf") if self.refresh_lifetime is None else self.refresh_lifetime
        self._refresh[token] = Refresh(grant, now + lifetime)
        return token

    def _payload(self, access_token: str, refresh_token: str | None, now: float) -> Payload:
        page = self._access[access_token]
        left = max(0.0, page.expires_at - now)
        whole = float(self.access_lifetime).is_integer()
        payload: Payload = {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": round(left) if whole else round(left, 3),
        }
        if refresh_token is not None:
            payload["refresh_token"] = refresh_token
        if page.scope is not None:
            payload["scope"] = page.scope
        return payload
