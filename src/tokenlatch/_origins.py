"""Which requests may carry the token: the origins named, and no others.

Law: pure; a doubt means no token. An origin is scheme, host and port (RFC 6454 section 4).
"""

import re
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

from tokenlatch.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_PORTS = {"https": 443, "http": 80}


class _AnyHttps(Enum):
    """The wish to send the token to every https origin."""

    ANY_HTTPS = "any https origin"

    def __repr__(self) -> str:
        return self.name


ANY_HTTPS: Final = _AnyHttps.ANY_HTTPS
"""Allow every https origin (and loopback): for a client that talks to many hosts of one owner."""

# Ways to write a name beyond ASCII differ between parsers: it has one form only, with xn--.
_NAME: Final = re.compile(r"[a-z0-9._:-]+")
_LOOPBACK: Final = re.compile(r"127(\.[0-9]{1,3}){3}")
_USER: Final = re.compile(r"//[^/?#]*@")

Named: TypeAlias = "str | Iterable[str] | _AnyHttps"
Origin: TypeAlias = tuple[str, str, int]


class Origins:
    """A set of allowed origins.

    Args:
        named: One origin such as ``"https://api.example.com"``, several, or ``ANY_HTTPS``.

    Raises:
        ConfigurationError: No origin, a path in an origin, or plain http to another machine.
    """

    __slots__ = ("_allowed", "any_https", "parts", "prefixes")

    def __init__(self, named: Named) -> None:
        self.any_https = named is ANY_HTTPS
        texts = (
            ()
            if isinstance(named, _AnyHttps)
            else (named,)
            if isinstance(named, str)
            else tuple(named)
        )
        if not texts and not self.any_https:
            message = "No origin named: pass the API's origin, such as 'https://api.example.com'."
            raise ConfigurationError(message)
        self._allowed = frozenset(_checked(text) for text in texts)
        self.prefixes = tuple(_prefix(origin) for origin in sorted(self._allowed))
        """The usual spellings; a URL that starts with one is allowed without parsing it."""

        self.parts = frozenset(part for origin in self._allowed for part in _parts(origin))
        """The same for a URL that is parsed already: scheme, "" for no user, host, and port or None."""

    def __contains__(self, url: str) -> bool:
        """Tell whether a request to this absolute URL may carry the token."""
        return url.startswith(self.prefixes) or self._allows(origin_of(url))

    def _allows(self, origin: Origin | None) -> bool:
        if origin is None:
            return False
        return origin in self._allowed or (self.any_https and is_confidential(origin))

    def __repr__(self) -> str:
        return (
            repr(ANY_HTTPS) if self.any_https else ", ".join(p.rstrip("/") for p in self.prefixes)
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origins) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


def origin_of(url: str) -> Origin | None:
    """Return the origin of an absolute http(s) URL; None when there is a doubt."""
    # Parsers disagree on backslashes and control characters: such a URL has no origin for us.
    if "\\" in url or any(letter <= " " for letter in url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or port == 0 or not _NAME.fullmatch(parts.hostname or ""):
        return None
    return parts.scheme, parts.hostname or "", port or DEFAULT_PORTS[parts.scheme]


def shown(url: str) -> str:
    """Return a URL as messages may show it: without password, query and fragment."""
    return _USER.sub("//***@", re.split("[?#]", url, maxsplit=1)[0])


def is_confidential(origin: Origin) -> bool:
    """Tell whether nobody reads along: https, or http that does not leave this machine."""
    scheme, host, _ = origin
    return scheme == "https" or host in {"localhost", "::1"} or _is_loopback_v4(host)


def _is_loopback_v4(host: str) -> bool:
    return bool(_LOOPBACK.fullmatch(host)) and all(int(part) < 256 for part in host.split("."))


def require_confidential(url: str, what: str) -> Origin:
    """Return the origin of a URL that a secret may travel to.

    Raises:
        ConfigurationError: It is no absolute URL, has a user or password in it, or is plain http
            to another machine (RFC 6749 section 3.2, RFC 6750 section 5.3).
    """
    origin, safe = origin_of(url), _USER.sub("//***@", url)
    if safe != url:  # every repr and message that has the URL would show it
        problem = "has a user or password in it: leave it out"
    elif origin is None:
        problem = "is no absolute http(s) URL of an ASCII name: write it out"
    elif not is_confidential(origin):
        problem = "is plain http, open to all on its way: use https"
    else:
        return origin
    raise ConfigurationError(f"The {what} {safe!r} {problem}.")


def _checked(text: str) -> Origin:
    origin = require_confidential(text, "origin")
    parts = urlsplit(text)
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        message = f"The origin {text!r} has more than scheme, host and port: leave the rest out."
        raise ConfigurationError(message)
    return origin


def _prefix(origin: Origin) -> str:
    scheme, host, port = origin
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}/" if port == DEFAULT_PORTS[scheme] else f"{scheme}://{host}:{port}/"


def _parts(origin: Origin) -> set[tuple[str, str, str, int | None]]:
    scheme, host, port = origin
    return {(scheme, "", host, None if port == DEFAULT_PORTS[scheme] else port)}
