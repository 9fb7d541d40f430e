"""The errors of tokenlatch, sorted by who must act.

    AuthError                      never raised itself
    |-- ReauthorizationRequired    a person must log in again
    |-- ConfigurationError         the developer must change code or settings
    |   `-- ForeignOriginError     a request elsewhere than the named origins
    |-- ProviderError              wait, then try again: .retry_after
    |   `-- UnreadableAnswerError  the provider answered nonsense
    |-- TransportError             the network failed; __cause__ is the client's own error
    `-- StoreError                 this machine must be mended
        |-- StoreConflict          the state moved on under a transaction
        `-- LockTimeout            also a TimeoutError: .waited, .holder

Law: every error pickles, a message says what happened and then what to do, and no secret is in it.
"""

from typing import Self, TypeVar

__all__ = [
    "AuthError",
    "ConfigurationError",
    "ForeignOriginError",
    "LockTimeout",
    "ProviderError",
    "ReauthorizationRequired",
    "StoreConflict",
    "StoreError",
    "TransportError",
    "UnreadableAnswerError",
]


class AuthError(Exception):
    """What every error of tokenlatch derives from; never raised itself.

    Attributes:
        error: The provider's error code (RFC 6749 section 5.2), as text, or None.
        description: The provider's ``error_description``, cleaned and cut, or None.
        uri: The provider's ``error_uri``, or None.
        status: The HTTP status of the answer, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        error: str | None = None,
        description: str | None = None,
        uri: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error = error
        self.description = description
        self.uri = uri
        self.status = status

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.message, self._fields())

    def _fields(self) -> dict[str, object]:
        # What a client library hangs on an exception (request, response) holds secrets: left out.
        # TimeoutError's own attributes are not in __dict__ and carry nothing of ours.
        return {
            name: value
            for name, value in self.__dict__.items()
            if isinstance(value, str | int | float | bool | None)
        }

    def copy(self) -> Self:
        """Return an equal error of its own, so that every waiter raises another object."""
        return _with_cause(_restore(type(self), self.message, self._fields()), self)


class ReauthorizationRequired(AuthError):
    """The grant is gone (refused, revoked, past its deadline): a person must log in again."""


class ConfigurationError(AuthError):
    """Code or settings are wrong: client, URL, scope, store or combination of options."""


class ForeignOriginError(ConfigurationError):
    """A request goes to an origin that was not named, so it gets no token."""


class ProviderError(AuthError):
    """The authorization server failed; try again later.

    Attributes:
        retry_after: Seconds until the next attempt makes sense, or None when unknown.
    """

    retry_after: float | None = None


class UnreadableAnswerError(ProviderError):
    """The provider's answer is no token answer and no error answer either."""


class TransportError(AuthError):
    """The token endpoint could not be reached, or its answer was lost.

    Attributes:
        retry_after: Seconds until the next attempt makes sense, or None when unknown.
        sent: False when the request certainly never arrived, so that nothing was spent.
    """

    retry_after: float | None = None
    sent: bool = True


class StoreError(AuthError):
    """The state cannot be read or kept: full disk, permissions, damaged or foreign file."""


class StoreConflict(StoreError):
    """Another holder committed in between; its state stands and ours was not written."""


class LockTimeout(StoreError, TimeoutError):
    """The lock of the store stayed taken for too long.

    Attributes:
        waited: Seconds spent waiting.
        holder: What is known of the holder (process, host, since when), or None.
    """

    waited: float = 0.0
    holder: str | None = None


_E = TypeVar("_E", bound=AuthError)


def _restore(kind: type[_E], message: str, fields: dict[str, object]) -> _E:
    error = kind(message)
    error.__dict__.update(fields)
    return error


def _with_cause(twin: _E, error: AuthError) -> _E:
    twin.__cause__ = error.__cause__
    twin.__suppress_context__ = True
    for note in getattr(error, "__notes__", ()):
        twin.add_note(note)
    return twin


def as_also(error: AuthError, base: type[Exception]) -> AuthError:
    """Return this error as one that is also a client library's own, such as ``RequestException``.

    API clients map their library's errors to theirs; so they map ours.
    """
    kind = type(error)
    both = _also.get((kind, base))
    if both is None:
        body = {"__reduce__": _reduce_also, "__doc__": kind.__doc__, "__module__": kind.__module__}
        both = _also[kind, base] = type(kind.__name__, (kind, base), body)
    twin = _restore(both, error.message, error._fields())
    # OSError.__init__ calls nobody else's: a LockTimeout would have no request and no response.
    base.__init__(twin, error.message)
    return _with_cause(twin, error)


_also: dict[tuple[type[AuthError], type[Exception]], type[AuthError]] = {}


def _reduce_also(error: AuthError) -> tuple[object, ...]:
    kind, base = type(error).__bases__
    return _restore_also, (kind, base, error.message, error._fields())


def _restore_also(
    kind: type[AuthError], base: type[Exception], message: str, fields: dict[str, object]
) -> AuthError:
    return as_also(_restore(kind, message, fields), base)
