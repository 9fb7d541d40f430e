"""``BearerAuth`` for requests: pass it as ``auth=``, or set it as ``session.auth``.

Law: what only requests has is here (cookies in a jar); the rest is on the landing.
"""

from typing import Any

import requests
from requests.cookies import extract_cookies_to_jar, get_cookie_header

from tokenlatch._requestslike import Hook
from tokenlatch._requestsmanner import MannerHook

__all__ = ["BearerAuth"]


class BearerAuth(Hook, requests.auth.AuthBase):
    """Attaches the source's token to requests, and refreshes it once when an API refuses it.

    Example:
        >>> session = requests.Session()
        >>> session.auth = BearerAuth(source, "https://api.example.com")
    """

    library_error = requests.RequestException

    def _keep_cookies(self, request: Any, response: Any) -> None:  # noqa: ANN401 - as the landing says
        jar = request._cookies  # noqa: SLF001 - as requests' own digest auth does
        header = request.headers.pop("Cookie", None)  # as long as there is one, nothing is added
        if header is not None and header != get_cookie_header(jar, request):  # type: ignore[no-untyped-call]  # requests has no types
            request.headers["Cookie"] = header  # written by hand
        extract_cookies_to_jar(jar, response.request, response.raw)  # type: ignore[no-untyped-call]  # requests has no types
        request.prepare_cookies(jar)


class _MannerAuth(MannerHook, BearerAuth):
    """The same for providers that want the token elsewhere, or refuse it otherwise."""


BearerAuth._with_manner = _MannerAuth  # noqa: SLF001 - a class and its other half
