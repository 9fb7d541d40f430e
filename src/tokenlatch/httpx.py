"""``BearerAuth`` for httpx: one object as ``auth=`` of ``Client`` and ``AsyncClient``, asyncio and trio."""

import httpx

from tokenlatch._httpxlike import Flow

__all__ = ["BearerAuth"]


class BearerAuth(Flow, httpx.Auth):
    """Attaches the source's token to requests, and refreshes it once when an API refuses it.

    Example:
        >>> client = httpx.Client(auth=BearerAuth(source, "https://api.example.com"))
    """

    library_error = httpx.RequestError
