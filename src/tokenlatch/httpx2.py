"""``BearerAuth`` for httpx2: one object for ``Client`` and ``AsyncClient``, asyncio and trio.

Law: what differs between httpx2 and its kin is here, what they share is on the landing.
"""

import httpx2

from tokenlatch._httpxlike import Flow
from tokenlatch._httpxmanner import MannerFlow

__all__ = ["BearerAuth"]


class BearerAuth(Flow, httpx2.Auth):
    """Attaches the source's token to requests, and refreshes it once when an API refuses it.

    Example:
        >>> client = httpx2.Client(auth=BearerAuth(source, "https://api.example.com"))
    """

    library_error = httpx2.RequestError


class _MannerAuth(MannerFlow, BearerAuth):
    """The same for providers that want the token elsewhere, or refuse it otherwise."""


BearerAuth._with_manner = _MannerAuth  # noqa: SLF001 - a class and its other half
