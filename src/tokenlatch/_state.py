"""What is remembered about one grant: tokens, generation, intent, failure, identity.

Law: pure and frozen; nothing here reads a clock or a file, and no secret is in any repr.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Self

from tokenlatch._frozen import KW_ONLY, Frozen, field
from tokenlatch.errors import ConfigurationError


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


def is_instant(value: object) -> bool:
    """Tell whether this can be seconds since the epoch, or None."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return not math.isnan(value)  # else every comparison with the clock would be false
    return value is None


class TokenSet(Frozen):
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
        extra: The answer's other fields, such as ``id_token``; not to be changed, others have the same.

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
    extra: Mapping[str, object] = field(default_factory=dict)

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
            if not is_instant(getattr(self, name)):
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


class Identity(Frozen):
    """Whose tokens a state holds; a state written for another identity is refused."""

    token_url: str
    client_id: str
    grant: str
    scope: str | None = None
    resource: str | None = None


class Holder(Frozen):
    """A process, told apart from a later one with the same number by its start."""

    pid: int
    host: str
    started: str | None = None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Intent(Frozen):
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


class Failure(Frozen):
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


class State(Frozen):
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
    unknown: Mapping[str, object] = field(default_factory=dict, repr=False)

    def succeeded_by(self, tokens: TokenSet, *, unproven: bool = False) -> Self:
        """Return the next generation: these tokens, no intent, no failure."""
        return self.having(
            generation=self.generation + 1,
            tokens=tokens,
            intent=None,
            failure=None,
            unproven=unproven,
        )

    def supersedes(self, there: "State", read: "State | None") -> bool:
        """Tell whether this new token may replace ``there`` although ``read`` was expected.

        It may if the two differ by notes only (intent, failure, acceptance): a holder that the lock
        did not keep out must not cost us the token that the provider has just given.
        """
        if read is None or self.generation <= read.generation:
            return False
        notes = {"intent": None, "failure": None, "unproven": False}
        return there.having(**notes) == read.having(**notes)
