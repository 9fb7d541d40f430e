"""A login in this machine's browser: a listener on the loopback waits for its redirect (RFC 8252 section 7.3).

Law: whether a redirect answers the login is decided in ``_authorize``. Whatever else arrives ends nothing, and what
was in a redirect reaches no page, no log and no standard stream.
"""

import os
import threading
import webbrowser
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from secrets import token_urlsafe
from socketserver import ThreadingTCPServer
from typing import Final, Self
from urllib.parse import urlsplit

from tokenlatch._authorize import AuthorizationCode
from tokenlatch._origins import origin_of, require_confidential
from tokenlatch._source import TokenSource
from tokenlatch._state import Secret, TokenSet
from tokenlatch.errors import ConfigurationError, ReauthorizationRequired

LOOPBACK: Final = "127.0.0.1"
_POLL: Final = 0.05  # seconds that the listener's end may take
_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the page's own address has the code in it
    "Cache-Control": "no-store",
    "Connection": "close",
}


def login_in_browser(
    source: TokenSource,
    *,
    open_url: Callable[[str], object] = webbrowser.open,
    on_url: Callable[[str], object] | None = None,
    timeout: float = 300.0,
    **extra: str,
) -> TokenSet:
    """Let a person log in in this machine's browser, wait for it, and put the tokens in.

    The browser comes back to the grant's ``redirect_uri``, which has to be on 127.0.0.1. One without a port, such
    as ``http://127.0.0.1/callback``, gets a free one (RFC 8252 section 7.3); without any ``redirect_uri`` the path
    is free, too. It waits for the person: in a loop, give it a thread (``asyncio.to_thread``).

    Example:
        >>> from tokenlatch.providers import HUAWEI
        >>> login = AuthorizationCode(HUAWEI, client_id="107408391", client_secret="...")
        >>> source = TokenSource(login, store=FileStore("~/.cache/acme/huawei.json"))
        >>> login_in_browser(source, on_url=print)  # doctest: +SKIP

    Args:
        source: One whose grant is an ``AuthorizationCode``.
        open_url: Opens the browser; False from it: it could not.
        on_url: Told the URL before it is opened, for a person who has to open it by hand.
        timeout: Seconds to wait for the person.
        extra: Further parameters of the URL, such as ``prompt="consent"``.

    Raises:
        ReauthorizationRequired: The person said no, or was too late.
        ConfigurationError: The grant or its ``redirect_uri`` cannot do this, the port is taken, or no browser could
            be opened and there is no ``on_url``.
        AuthError: As for ``TokenSource.redeem``.
    """
    grant = source.grant
    if not isinstance(grant, AuthorizationCode):
        raise ConfigurationError(f"{grant!r} has no login page: use an AuthorizationCode.")
    # CVE-2025-6514: what is handed to the system to open is a web page, and nothing else.
    require_confidential(grant.page.url, "authorization page")
    with _Listener(grant, extra) as listener:
        _show(listener.pending.url, open_url, on_url)
        try:
            redirect = listener.redirect.result(timeout)
        except TimeoutError:
            message = f"Nobody logged in within {timeout:g} s: begin again."
            raise ReauthorizationRequired(message) from None
        return source.redeem(redirect, listener.pending)


def _show(
    url: str, open_url: Callable[[str], object], on_url: Callable[[str], object] | None
) -> None:
    if on_url:
        on_url(url)
    try:
        opened = open_url(url)
    except (OSError, webbrowser.Error):
        opened = False
    if opened is False and on_url is None:
        message = "No browser could be opened: pass on_url, which is told the URL to open."
        raise ConfigurationError(message)


class _Listener(ThreadingTCPServer):
    """Waits for the one redirect that answers a login.

    It is no ``HTTPServer``: that one asks DNS for its name. A thread for each connection, because browsers open
    spare ones and say nothing on them.
    """

    allow_reuse_address = os.name == "posix"  # elsewhere it would share the port with strangers
    daemon_threads = True
    block_on_close = False

    def __init__(self, grant: AuthorizationCode, extra: Mapping[str, str]) -> None:
        wanted = grant.redirect_uri or f"http://{LOOPBACK}/{token_urlsafe(16)}"
        # RFC 8252 section 8.3: localhost is not recommended; some providers know nothing else.
        if (origin_of(wanted) or ())[:2] not in {("http", LOOPBACK), ("http", "localhost")}:
            message = (
                f"The redirect_uri {grant.redirect_uri!r} is not on this machine: register "
                f"http://{LOOPBACK}/callback, or begin() and redeem() in a web application."
            )
            raise ConfigurationError(message)
        parts = urlsplit(wanted)
        try:
            super().__init__((LOOPBACK, parts.port or 0), _Answer)
        except OSError as error:
            message = f"Port {parts.port} of {LOOPBACK} cannot be listened on ({error.strerror}): name another."
            raise ConfigurationError(message) from None
        netloc = f"{parts.hostname}:{self.server_address[1]}"
        self.host, self.path = netloc.removesuffix(":80"), parts.path or "/"
        self.redirect: Future[str] = Future()
        self._grant = grant
        self._gate = threading.Lock()
        self._over = False
        uri = parts._replace(netloc=netloc).geturl()
        self.pending = grant.begin(state=None, redirect_uri=uri, **extra)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(_POLL,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def hear(self, redirect: str) -> tuple[HTTPStatus, str, bool]:
        """Return the status and text for the browser, and whether this redirect ends the login."""
        with self._gate:
            if self._over:
                return HTTPStatus.GONE, "This login is over. You can close this page.", False
            status, text = HTTPStatus.OK, "You can close this page and go back to the application."
            try:
                self._grant.read(redirect, self.pending)
            except ReauthorizationRequired as error:
                status, text = HTTPStatus.BAD_REQUEST, str(error)
                if error.error is None:
                    return status, "This page does not answer the login that is under way.", False
            self._over = True
            return status, text, True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that hung up: the traceback would go to standard error."""


class _Answer(BaseHTTPRequestHandler):
    """Answers one request."""

    server: _Listener
    timeout = 10.0  # seconds that a connection may say nothing

    def do_GET(self) -> None:
        if not self._comes_from_the_login():
            return self._say(HTTPStatus.NOT_FOUND, "Nothing is here.")
        status, text, final = self.server.hear(self.path)
        try:
            self._say(status, text)
        finally:  # after the page: the program may end at once
            if final:
                self.server.redirect.set_result(Secret(self.path))

    def _comes_from_the_login(self) -> bool:
        """Tell a person's browser on its way back from its guesses (icon, prefetch), other pages and DNS rebinding."""
        told = self.headers
        return (
            told.get_all("Host") == [self.server.host]
            and self.path.partition("?")[0] == self.server.path
            and told.get("Sec-Fetch-Dest", "document") == "document"
            and "prefetch" not in told.get("Sec-Purpose", told.get("Purpose", ""))
        )

    def _say(self, status: int, text: str) -> None:
        self.send_response_only(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(f"<!doctype html><title>Login</title><p>{escape(text)}</p>".encode())

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no GET, or no HTTP, without repeating it."""
        del message, explain
        self._say(code, "Nothing is here.")

    def log_message(self, *_: object) -> None:
        """Log nothing: a request line may have the code in it."""
