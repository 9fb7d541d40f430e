"""A login on another device (RFC 8628): a code for a person to type, and the asking until that is done.

Law: pure; who waits between two questions is not decided here.
"""

from typing import Final

from tokenlatch._asking import client_ask, read_answer, token_ask
from tokenlatch._frozen import Frozen, field
from tokenlatch._grants import RefreshToken, Send
from tokenlatch._shape import instant, text
from tokenlatch._state import Secret, TokenSet
from tokenlatch._wire import read_error, read_fields
from tokenlatch.errors import (
    AuthError,
    ConfigurationError,
    ProviderError,
    ReauthorizationRequired,
    TransportError,
    UnreadableAnswerError,
)

DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL: Final = 5.0
"""Seconds between two questions when the server names none, and what slow_down adds (RFC 8628 section 3.5)."""


class DevicePrompt(Frozen):
    """What a person needs to log in elsewhere.

    Attributes:
        user_code: To be typed.
        verification_uri: The page to open.
        verification_uri_complete: The same with the code in it, for a QR code, or None.
        expires_at: When the code ends, seconds since the epoch, or None.
        interval: Seconds to wait between two questions.
        device_code: What we ask with.
    """

    user_code: str
    verification_uri: str
    verification_uri_complete: str | None = None
    expires_at: float | None = None
    interval: float = INTERVAL
    device_code: str = field(default="", repr=False)


class DeviceCode(RefreshToken):
    """A user's grant from a login on another device, kept alive by its refresh token.

    ``source.log_in(lambda prompt: print(prompt.verification_uri, prompt.user_code))`` does it all.

    Example:
        >>> idp = Provider("https://idp.example/token", device_url="https://idp.example/device")
        >>> TokenSource(DeviceCode(idp, client_id="cli"), store=FileStore("~/.cache/acme/cli.json"))
        TokenSource(DeviceCode('https://idp.example/token', client_id='cli'), FileStore('...'))

    The arguments are those of ``RefreshToken``.
    """

    _asks_scope = False  # a refresh that names none gets what was granted

    def begin(self, send: Send, now: float) -> DevicePrompt | AuthError:
        """Ask for a code: one call of ``send``."""
        url = self.provider.device_url
        if url is None:
            return ConfigurationError(f"{self.provider!r} has no device_url.")
        fields = dict(self.params)
        if self.scope:
            fields["scope"] = self.provider.scope_join.join(self.scope.split())
        answer = send(client_ask(self.provider, self.client, url, fields, now))
        said = read_fields(answer)
        code, user_code = (text((said or {}).get(name)) for name in ("device_code", "user_code"))
        # Google says verification_url.
        where = text((said or {}).get("verification_uri") or (said or {}).get("verification_url"))
        if said is None or not code or not user_code or not where:
            return read_error(answer, said, now, self.provider) or UnreadableAnswerError(
                "The device endpoint's answer has no code.", status=answer.status
            )
        interval = instant(said.get("interval"), 0.0)
        return DevicePrompt(
            user_code=user_code,
            verification_uri=where,
            verification_uri_complete=text(said.get("verification_uri_complete")),
            expires_at=instant(said.get("expires_in"), now),
            interval=INTERVAL if interval is None else interval,
            device_code=Secret(code),
        )

    def ask(
        self, prompt: DevicePrompt, send: Send, now: float
    ) -> TokenSet | DevicePrompt | AuthError:
        """Ask whether the person is done; a prompt back means: not yet, ask again after its interval."""
        if prompt.expires_at is not None and now >= prompt.expires_at:
            return ReauthorizationRequired("The code was not used in time: log in again.")
        fields = {"device_code": prompt.device_code, **self.params}
        try:
            answer = self._sent(
                lambda: token_ask(self.provider, self.client, DEVICE_CODE, fields, now), send, now
            )
        except TransportError:
            return prompt.having(interval=prompt.interval * 2)  # RFC 8628 section 3.5
        result = read_answer(self.provider, self.client, answer, now, None)
        return _heard(prompt, result) if isinstance(result, AuthError) else result


def _heard(prompt: DevicePrompt, error: AuthError) -> DevicePrompt | AuthError:
    """Return the prompt to go on with, or the error that ends the login (RFC 8628 section 3.5)."""
    match error.error:
        case "authorization_pending":
            return prompt
        case "slow_down":
            return prompt.having(interval=prompt.interval + INTERVAL)
        case "access_denied" | "expired_token" as code:
            why = "The person said no" if code == "access_denied" else "The code has ended"
            return ReauthorizationRequired(f"{why} ({code}): log in again.", error=code)
        case None if isinstance(error, ProviderError) and (error.status or 0) >= 500:
            return prompt.having(interval=prompt.interval * 2)
        case _:
            return error
