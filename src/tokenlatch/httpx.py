"""``BearerAuth`` for httpx: one object for ``Client`` and ``AsyncClient``, asyncio and trio.

Law: what differs between httpx and its kin is here, what they share is on the landing.
"""

import httpx

from tokenlatch._httpxlike import Flow
from tokenlatch._httpxmanner import MannerFlow

__all__ = ["BearerAuth"]


class BearerAuth(Flow, httpx.Auth):
    """Attaches the source's token to requests, and refreshes it once when an API refuses it.

    Example:
        >>> client = httpx.Client(auth=BearerAuth(source, "https://api.example.com"))
    """

    library_error = httpx.RequestError


class _MannerAuth(MannerFlow, BearerAuth):
    """The same for providers that want the token elsewhere, or refuse it otherwise."""


BearerAuth._with_manner = _MannerAuth  # noqa: SLF001 - a class and its other half
