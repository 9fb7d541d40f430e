"""What a source does at the provider besides refreshing: redeem a code, revoke, introspect.

Law: what brings tokens happens under the lock, and only after it is known that they can be saved.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from tokenlatch._dance import Dance
from tokenlatch._senders import Sender, default_sender
from tokenlatch._state import TokenSet
from tokenlatch._view import View
from tokenlatch.errors import AuthError

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
    dance.sender = dance.sender or default_sender()
    with view.store.transaction(view.policy.patience) as transaction:
        state = dance.read(transaction, heal=True)
        transaction.reserve()  # a code works once: know first that there is room for the answer
        now = view.clock()
        tokens = fetch(dance.sender, now)
        if isinstance(tokens, AuthError):
            raise tokens
        tokens = tokens if tokens.issued_at else replace(tokens, issued_at=now)
        transaction.commit(state.succeeded_by(tokens))
        view.adopt(transaction.state)
    return tokens
