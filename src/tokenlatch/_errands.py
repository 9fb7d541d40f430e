"""What a source does at the provider besides refreshing: redeem a code, revoke, introspect.

Law: what brings tokens happens under the lock, and only after it is known that they can be saved.
"""

import time
from collections.abc import Callable
from typing import TypeAlias

from tokenlatch._asking import Client, client_ask
from tokenlatch._dance import Dance
from tokenlatch._device import DeviceCode, DevicePrompt
from tokenlatch._grants import ClientGrant
from tokenlatch._senders import Sender
from tokenlatch._state import TokenSet
from tokenlatch._view import View
from tokenlatch._wire import Answer, Ask, read_error, read_fields
from tokenlatch.errors import (
    AuthError,
    ConfigurationError,
    ReauthorizationRequired,
    UnreadableAnswerError,
)
from tokenlatch.providers import Provider

Fetch: TypeAlias = Callable[[Sender, float], TokenSet | AuthError]


def log_in(view: View, dance: Dance, fetch: Fetch) -> TokenSet:
    """Get the first tokens of a new login, and save them as the grant's next generation.

    Args:
        view: The grant and its store.
        dance: Who reads the state, and has the sender.
        fetch: Asks the provider, with a sender and the seconds since the epoch.

    Raises:
        AuthError: The provider gave no tokens, or they cannot be saved.
    """
    with view.store.transaction(view.policy.patience) as transaction:
        state = dance.read(transaction, heal=True)
        transaction.reserve()  # a code works once: know first that there is room for the answer
        now = view.clock()
        tokens = fetch(dance.send, now)
        if isinstance(tokens, AuthError):
            raise tokens
        tokens = tokens if tokens.issued_at else tokens.having(issued_at=now)
        transaction.commit(state.succeeded_by(tokens))
        view.adopt(transaction.state)
    return tokens


def log_in_elsewhere(
    view: View,
    dance: Dance,
    grant: DeviceCode,
    show: Callable[[DevicePrompt], object],
    wait: Callable[[float], object] = time.sleep,
) -> TokenSet:
    """Let a person log in on another device, and return the tokens; nothing is locked meanwhile.

    Args:
        view: The grant and its clock.
        dance: Who has the sender.
        grant: The grant.
        show: Shows the code to the person.
        wait: Waits so many seconds.

    Raises:
        AuthError: The person said no, or was too late, or the provider gave no code.
    """
    send = dance.send
    prompt = grant.begin(send, view.clock())
    if isinstance(prompt, AuthError):
        raise prompt
    show(prompt)
    while True:
        wait(prompt.interval)
        answer = grant.ask(prompt, send, view.clock())
        if isinstance(answer, AuthError):
            raise answer
        if isinstance(answer, TokenSet):
            return answer
        prompt = answer


def revoke(view: View, dance: Dance) -> None:
    """End the grant at the provider, and forget its tokens (RFC 7009).

    Raises:
        ConfigurationError: The provider has no revocation endpoint.
        AuthError: It could not be done; the tokens are kept.
    """
    provider, client = _known(view)
    if provider.revoke_url is None:
        raise ConfigurationError(f"{provider!r} has no revoke_url.")
    with view.store.transaction(view.policy.patience) as transaction:
        state = dance.read(transaction)
        if state.tokens is None:
            return
        kind = "refresh_token" if state.tokens.refresh_token else "access_token"
        fields = {"token": state.tokens.refresh_token or state.tokens.access_token}
        now = view.clock()
        if provider.revoke_with_client:
            fields["token_type_hint"] = kind
            ask = client_ask(provider, client, provider.revoke_url, fields, now)
        else:
            ask = Ask(provider.revoke_url, fields)
        error = _refusal(dance.send(ask), now, provider)
        # What was revoked before is as good as revoked now (RFC 7009 section 2.2).
        if error and not isinstance(error, ReauthorizationRequired):
            raise error
        transaction.commit(
            state.having(generation=state.generation + 1, tokens=None, intent=None, failure=None)
        )
        view.adopt(transaction.state)


def introspect(view: View, dance: Dance, token: str) -> dict[str, object]:
    """Return what the provider says of a token (RFC 7662 section 2.2).

    Raises:
        ConfigurationError: The provider has no introspection endpoint.
        AuthError: It did not answer.
    """
    provider, client = _known(view)
    if provider.introspect_url is None:
        raise ConfigurationError(f"{provider!r} has no introspect_url.")
    now = view.clock()
    fields = {"token": token, "token_type_hint": "access_token"}
    answer = dance.send(client_ask(provider, client, provider.introspect_url, fields, now))
    said = read_fields(answer)
    if answer.status != 200 or said is None:
        raise _refusal(answer, now, provider) or UnreadableAnswerError(
            "The introspection answer is no JSON object.", status=answer.status
        )
    return said


def _refusal(answer: Answer, now: float, provider: Provider) -> AuthError | None:
    if 200 <= answer.status < 300:
        return None
    return read_error(answer, read_fields(answer), now, provider)


def _known(view: View) -> tuple[Provider, Client]:
    if not isinstance(view.grant, ClientGrant):
        raise ConfigurationError(f"{view.grant!r} has no provider that could be asked.")
    return view.grant.provider, view.grant.client
