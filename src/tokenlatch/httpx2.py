"""``BearerAuth`` for httpx2: one object as ``auth=`` of ``Client`` and ``AsyncClient``, asyncio and trio."""

import httpx2

from tokenlatch._httpxlike import Flow

__all__ = ["BearerAuth"]


class BearerAuth(Flow, httpx2.Auth):
    """Attaches the source's token to requests, and refreshes it once when an API refuses it.

    Example:
        >>> client = httpx2.Client(auth=BearerAuth(source, "https://api.example.com"))
    """

    library_error = httpx2.RequestError
