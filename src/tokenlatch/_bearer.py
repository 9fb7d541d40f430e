"""What every door has: the source, the origins that may get its token, and the header's text.

Law: knows no HTTP client; the token goes to the origins named and nowhere else.
"""

from collections import deque
from typing import ClassVar, Literal, Self, TypeAlias

from tokenlatch._attach import Manner, manner_of
from tokenlatch._origins import Named, Origins, shown
from tokenlatch._source import TokenSource
from tokenlatch._state import Secret, TokenSet
from tokenlatch.errors import ConfigurationError, ForeignOriginError
from tokenlatch.providers import Attach

Foreign: TypeAlias = Literal["raise", "anonymous"]


class Bearer:
    """Attaches ``Authorization: Bearer`` (RFC 6750 section 2.1) to requests to the named origins.

    Args:
        source: Where the token comes from; one source may feed many clients.
        origins: ``"https://api.example.com"``, several such, or ``ANY_HTTPS``.
        foreign: What happens to a request elsewhere: ``"raise"`` a ``ForeignOriginError``, or let it
            go ``"anonymous"``, without a token.
        attach: Where the token goes; default: the provider's place, usually this header.

    Raises:
        ConfigurationError: No origin, or one that cannot be meant.
    """

    _with_manner: ClassVar[type["Bearer"] | None] = None

    def __new__(
        cls,
        source: object = None,
        *_: object,
        attach: Attach | None = None,
        **__: object,
    ) -> Self:
        """Choose once how tokens are attached, so that the usual way has nothing to ask later."""
        if not isinstance(source, TokenSource) or manner_of(source.grant, attach) is None:
            return object.__new__(cls)
        other = cls.__dict__.get("_with_manner")
        if other is None and not issubclass(cls, cls._with_manner or Bearer):
            message = f"{cls.__name__} attaches a Bearer header, and {source!r} wants another way."
            raise ConfigurationError(message)
        return object.__new__(other or cls)  # type: ignore[no-any-return]  # a subclass

    def __init__(
        self,
        source: TokenSource,
        origins: Named,
        *,
        foreign: Foreign = "raise",
        attach: Attach | None = None,
    ) -> None:
        if not isinstance(source, TokenSource):
            raise ConfigurationError(
                f"BearerAuth needs a TokenSource first, not a {type(source).__name__}."
            )
        if foreign not in {"raise", "anonymous"}:
            raise ConfigurationError(f"foreign={foreign!r}: use 'raise' or 'anonymous'.")
        self._source = source
        self._origins = Origins(origins)
        self._foreign = foreign
        self._attach = attach
        self._forget()

    @property
    def _by(self) -> Manner:
        """How tokens are attached, where that is not the usual way."""
        manner = manner_of(self._source.grant, self._attach)
        if manner is None:
            raise ConfigurationError(f"{self!r} attaches its token in the usual way.")
        return manner

    def _forget(self) -> None:
        self._tokens: TokenSet | None = None
        self._header = Secret()
        self._headers: deque[Secret] = deque(maxlen=8)
        self._unproven = False

    def __repr__(self) -> str:
        return f"{type(self).__module__}.BearerAuth({self._source!r}, {self._origins})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return self._source, self._origins, self._foreign, self._attach

    def __getstate__(self) -> dict[str, object]:
        """Keep the settings, never a token."""
        names = ("_source", "_origins", "_foreign", "_attach")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, settings: dict[str, object]) -> None:
        self.__dict__.update(settings)
        self._forget()

    def _render(self, tokens: TokenSet) -> Secret:
        """Return the header for these tokens; made once for each token set."""
        if tokens is not self._tokens:
            header = Secret(f"Bearer {tokens.access_token}")
            self._headers.append(header)
            self._unproven = self._source.unproven  # asked here, not at each answer
            # The header first: whoever sees these tokens must find their own.
            self._header, self._tokens = header, tokens
            return header
        return self._header

    def _accepted(self, tokens: TokenSet) -> None:
        self._source.accepted(tokens.access_token)
        self._unproven = self._source.unproven

    def _refuse(self, url: str) -> ForeignOriginError | None:
        """Return the error for a URL elsewhere, or None when it may go without a token."""
        if self._foreign == "anonymous":
            return None
        message = (
            f"{shown(url)} is not of {self._origins}, so it gets no token: "
            "name its origin, or set foreign='anonymous'."
        )
        return ForeignOriginError(message)
