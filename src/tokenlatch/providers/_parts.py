"""Parts of a record: where calls carry the token, how APIs refuse one, and the page where a person logs in."""

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

from tokenlatch._frozen import KW_ONLY, Frozen, field
from tokenlatch.errors import ConfigurationError

Place: TypeAlias = Literal["header", "query", "form", "json", "signed"]
Pkce: TypeAlias = Literal["always", "offered", "never"]


class Attach(Frozen):
    """Where an API request carries the access token (RFC 6750 section 2, and what others invented).

    Attributes:
        place: A ``header``, a ``query`` parameter, a ``form`` field, a field of a ``json`` object, or a
            form field that is ``signed`` with all others (SOP).
        name: Name of the header, parameter or field.
        prefix: What stands before the token, such as ``"Bearer "``.
        companions: Further parameters in the same place: their name -> name in ``TokenSet.extra``
            (WeChat: ``{"openid": "openid"}``).
    """

    place: Place = "header"
    name: str = "Authorization"
    prefix: str = ""
    companions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.place not in get_args(Place):
            words = ", ".join(get_args(Place))
            raise ConfigurationError(f"Attach(place={self.place!r}): use one of {words}.")
        if not self.name:
            raise ConfigurationError(f"Attach(name={self.name!r}): name the {self.place}.")


BEARER = Attach(prefix="Bearer ")


class Rejection(Frozen):
    """How an API says that the access token is bad. Any of these is enough.

    Attributes:
        statuses: HTTP statuses (RFC 6750 section 3.1).
        header: A header and its values that say so, whatever the status (Huawei: ``NSP_STATUS``).
        body: A path in a JSON answer and its values that say so, whatever the status (SOP:
            ``sub_code``). Only JSON of up to 1 MiB that is not being streamed is looked at.
    """

    statuses: tuple[int, ...] = (401,)
    header: tuple[str, tuple[str, ...]] | None = None
    body: tuple[tuple[str, ...], tuple[str, ...]] | None = None

    def __post_init__(self) -> None:
        """Refuse texts where tuples are meant: their letters would be looked for."""
        if not isinstance(self.statuses, tuple):
            raise ConfigurationError("Rejection(statuses=...): give a tuple, such as (401,).")
        if self.header and not isinstance(self.header[1], tuple):
            raise ConfigurationError("Rejection(header=...): give (name, (value, ...)).")
        if self.body and not all(isinstance(each, tuple) for each in self.body):
            raise ConfigurationError("Rejection(body=...): give ((path, ...), (value, ...)).")


BY_STATUS = Rejection()


class Authorize(Frozen):
    """The page where a person logs in and consents (RFC 6749 section 4.1.1).

    Attributes:
        url: The authorization endpoint.
        names: RFC 6749's parameter names -> the provider's; None: not to be sent.
        extra: Further parameters (Huawei: ``access_type=offline``).
        fragment: What the URL must end in, after ``#`` (WeChat: ``wechat_redirect``).
        code_param: The redirect's parameter with the code (DingTalk: ``authCode``).
        state: Whether the provider gives ``state`` back. If not, it travels inside ``redirect_uri`` (SOP).
        pkce: RFC 7636 with S256: ``always``, when ``offered`` only if asked for, or ``never``.
    """

    url: str
    _: KW_ONLY
    names: Mapping[str, str | None] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    fragment: str = ""
    code_param: str = "code"
    state: bool = True
    pkce: Pkce = "always"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if not self.url.startswith(("https://", "http://")):
            raise ConfigurationError(f"authorize: {self.url!r} is no absolute http(s) URL.")
        if self.pkce not in get_args(Pkce):
            words = ", ".join(get_args(Pkce))
            raise ConfigurationError(f"Authorize(pkce={self.pkce!r}): use one of {words}.")
