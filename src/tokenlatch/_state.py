"""What is remembered about one grant: tokens, generation, intent, failure, identity; and its JSON form.

Law: pure and frozen; nothing here reads a clock or a file, and no secret is in any repr.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass, field, fields, replace
from typing import Any, Self, TypeVar

from tokenlatch.errors import ConfigurationError, StoreError

FORMAT = 1


class Secret(str):
    """A text that its repr, and so a traceback with locals or a crash report, does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show that there is a value, not the value."""
        return "'***'"


class SecretBytes(bytes):
    """The same for bytes, such as the content of a token file."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show that there is a value, not the value."""
        return "b'***'"


def fingerprint(secret: str | None) -> str | None:
    """Return a short digest that recognises a secret without telling it; None for None."""
    return secret and hashlib.sha256(secret.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class TokenSet:
    """An access token and what came with it (RFC 6749 section 5.1).

    Example:
        >>> TokenSet("2YotnFZFEjr1zCsicMWpAA", expires_at=1767225600.0)
        TokenSet(access_token='***', token_type='Bearer', expires_at=1767225600.0)

    Attributes:
        access_token: The token that requests carry.
        token_type: As the provider named it; requests carry the provider's form all the same.
        expires_at: When the access token ends, seconds since the epoch; None: unknown or never.
        refresh_token: The token that gets the next set, or None.
        refresh_expires_at: When the refresh token ends, seconds since the epoch, or None.
        scope: Space-separated scope, or None when the provider named none.
        issued_at: When the answer was asked for, seconds since the epoch, or None.
        extra: The answer's other fields, such as ``id_token``.

    Raises:
        ConfigurationError: A token is empty or has characters no header can carry, or an instant is
            no number.
    """

    access_token: str
    _: KW_ONLY
    token_type: str = "Bearer"  # noqa: S105 - the name of a type, not a password
    expires_at: float | None = None
    refresh_token: str | None = None
    refresh_expires_at: float | None = None
    scope: str | None = None
    issued_at: float | None = None
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check and wrap the tokens."""
        for name in ("access_token", "refresh_token"):
            value = getattr(self, name)
            if value is None and name == "refresh_token":
                continue
            plain = isinstance(value, str) and value.isascii() and value.isprintable()
            if not plain or value.split() != [value]:
                problem = "is no text, empty, or has characters that no header can carry"
                message = f"The {name} {problem}: pass the provider's value unchanged."
                raise ConfigurationError(message)
            object.__setattr__(self, name, Secret(value))
        for name in ("expires_at", "refresh_expires_at", "issued_at"):
            if not _is_instant(getattr(self, name)):
                message = f"{name} is no number of seconds since the epoch: pass one, or None."
                raise ConfigurationError(message)
        extra = {str(k): Secret(v) if isinstance(v, str) else v for k, v in self.extra.items()}
        object.__setattr__(self, "extra", extra)

    def __repr__(self) -> str:
        shown = [f"access_token={self.access_token!r}"]
        for name in (
            "token_type",
            "expires_at",
            "refresh_token",
            "refresh_expires_at",
            "scope",
            "issued_at",
        ):
            value = getattr(self, name)
            if value is not None:
                shown.append(f"{name}={value!r}")
        if self.extra:
            shown.append(f"extra=<{', '.join(sorted(self.extra))}>")
        return f"TokenSet({', '.join(shown)})"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose tokens a state holds; a state written for another identity is refused."""

    token_url: str
    client_id: str
    grant: str
    scope: str | None = None
    resource: str | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """A process, told apart from a later one with the same number by its start."""

    pid: int
    host: str
    started: str | None = None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@dataclass(frozen=True, slots=True)
class Intent:
    """The mark of a refresh that began: under the lock, it means that its holder died.

    Attributes:
        at: When it began, seconds since the epoch.
        holder: The process that began it.
        fingerprint: Which refresh token it was about to spend.
        doubtful: The holder lived, but the answer was lost: the token may have been spent.
        since: When the first unfinished refresh with this token began, if that was earlier.
    """

    at: float
    holder: Holder
    fingerprint: str | None = None
    doubtful: bool = False
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed refresh, remembered for all processes.

    Attributes:
        kind: The name of the error class to raise.
        message: Its message.
        at: When it happened, seconds since the epoch.
        retry_at: When the next attempt may start; None: never for this refresh token.
        attempts: How many attempts failed in a row.
        fingerprint: The refresh token it is about.
    """

    kind: str
    message: str
    at: float
    retry_at: float | None
    attempts: int = 1
    fingerprint: str | None = None
    error: str | None = None
    description: str | None = None
    uri: str | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """Everything the workers share about one grant.

    Attributes:
        identity: Whose grant it is.
        generation: Grows by one with every new token set, and never goes back.
        tokens: The current token set, or None before the first.
        intent: A refresh under way, or one that died.
        failure: The last failure, or None after a success.
        unproven: A refusal caused this token set, and no API has accepted it yet.
        unknown: Fields of the file that this version does not know; kept when it is rewritten.
    """

    identity: Identity
    generation: int = 0
    tokens: TokenSet | None = None
    intent: Intent | None = None
    failure: Failure | None = None
    unproven: bool = False
    unknown: Mapping[str, object] = field(default_factory=dict, hash=False, repr=False)

    def having(self, **changes: object) -> Self:
        """Return a copy with these fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]  # replace checks the names

    def succeeded_by(self, tokens: TokenSet, *, unproven: bool = False) -> Self:
        """Return the next generation: these tokens, no intent, no failure."""
        return self.having(
            generation=self.generation + 1,
            tokens=tokens,
            intent=None,
            failure=None,
            unproven=unproven,
        )


def to_json(state: State) -> SecretBytes:
    """Return the state as JSON with its format number and a checksum.

    Whatever a ``Custom`` login put into ``extra`` goes in, as text if need be: a token in hand must
    not be lost over it.
    """
    known = asdict(state)
    del known["unknown"]
    body = {**state.unknown, "format": FORMAT, **known}
    body["checksum"] = _checksum(body)
    return SecretBytes(json.dumps(body, indent=1, default=str).encode() + b"\n")


def from_json(text: bytes) -> State:
    """Read a state.

    Raises:
        StoreError: A newer tokenlatch wrote it, or it is encrypted; the message continues after
            the file's name.
        ValueError: It is damaged; the message says how, and shows nothing of the content.
    """
    # Nothing is raised inside an except block: the error's context would hold frames with tokens.
    body = _object(text)
    if body is None:
        raise ValueError("is empty" if not text.strip(b"\0 \n") else "is not a JSON object")
    if "sealed" in body:
        raise StoreError("is encrypted: give the FileStore the encryption= that wrote it")
    version = body.pop("format", None)
    if isinstance(version, int) and version > FORMAT:
        message = f"has format {version}, written by a newer tokenlatch; this one knows {FORMAT}: upgrade it"
        raise StoreError(message)
    state = _state(body) if version == FORMAT else None
    if state is None:
        raise ValueError(
            "has missing or malformed fields" if version == FORMAT else "has no known format number"
        )
    return state


def is_whole(text: bytes) -> bool:
    """Tell whether this JSON carries the right checksum, so was written to its end."""
    body = _object(text)
    return body is not None and body.pop("checksum", None) == _checksum(body)


_NAMES = {each.name for each in fields(State)} - {"unknown"}


def _object(text: bytes) -> dict[str, object] | None:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _state(body: dict[str, Any]) -> State | None:
    body.pop("checksum", None)
    known = {name: body.pop(name) for name in _NAMES & body.keys()}
    try:
        return State(
            identity=Identity(**known["identity"]),
            generation=_whole(known["generation"]),
            tokens=known.get("tokens") and TokenSet(**known["tokens"]),
            intent=known.get("intent") and _intent(known["intent"]),
            failure=known.get("failure") and _failure(known["failure"]),
            unproven=bool(known.get("unproven")),
            unknown=body,
        )
    except (AttributeError, KeyError, TypeError, ValueError, ConfigurationError):
        return None


def _intent(raw: dict[str, Any]) -> Intent:
    intent = Intent(holder=Holder(**raw.pop("holder")), **raw)
    return _timed(intent, intent.at, intent.since or 0.0)


def _failure(raw: dict[str, Any]) -> Failure:
    failure = Failure(**raw)
    return _timed(failure, failure.at, failure.retry_at or 0.0)


_T = TypeVar("_T")


def _timed(record: _T, *instants: object) -> _T:
    if None in instants or not all(map(_is_instant, instants)):
        raise ValueError("instant")
    return record


def _is_instant(value: object) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return not math.isnan(value)  # else every comparison with the clock would be false
    return value is None


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("generation")


def _checksum(body: Mapping[str, object]) -> str:
    text = json.dumps(body, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
