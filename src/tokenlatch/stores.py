"""What a store of one's own is written with: the protocol, the state that it keeps, and its JSON.

Law: names only. ``tokenlatch.testing.store_contract`` tells whether a store keeps the law of ``TokenStore``.

Example:
    A store needs three methods, and keeps nothing but the bytes of ``to_json``::

        class SqlStore:
            def load(self) -> State | None: ...
            def changed(self) -> bool: ...
            def transaction(self, timeout: float) -> AbstractContextManager[Transaction]: ...
"""

from tokenlatch._format import from_json, to_json
from tokenlatch._state import Failure, Holder, Identity, Intent, State
from tokenlatch._stores import TokenStore, Transaction

__all__ = [
    "Failure",
    "Holder",
    "Identity",
    "Intent",
    "State",
    "TokenStore",
    "Transaction",
    "from_json",
    "to_json",
]
