"""Carries a token request over requests, httpx or httpx2, with a client of its own.

Law: a fresh connection, one TLS context, no redirects, no .netrc, none of the user's hooks or
retries, a total deadline and a bounded body. Errors come without the request, which holds secrets.
"""

import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tokenlatch._env import ca_bundle
from tokenlatch._wire import LARGEST_ANSWER, Answer, Ask
from tokenlatch.errors import AuthError, ConfigurationError, TransportError
from tokenlatch.providers import senders

if TYPE_CHECKING:
    import requests

CHUNK: Final = 16384
SLICES: Final = 10

Sender: TypeAlias = Callable[[Ask], Answer]


class _Sender:
    """What the senders have in common: the deadlines, and a thread that can be given up.

    Args:
        connect: Seconds to connect.
        read: Seconds between two chunks; long, because giving up early may lose a rotation.
        total: Seconds for everything: a server that trickles keeps every other limit alive.
        verify: Whether, or with which CA bundle or TLS context, to check the server.
        cert: Client certificate for mutual TLS (RFC 8705): a path, or (certificate, key).
        proxy: URL of a proxy; default: the environment's.
    """

    def __init__(
        self,
        *,
        connect: float = 5.0,
        read: float = 30.0,
        total: float = 45.0,
        verify: bool | str | ssl.SSLContext = True,
        cert: str | tuple[str, str] | None = None,
        proxy: str | None = None,
    ) -> None:
        self.connect, self.read, self.total = connect, read, total
        self.verify, self.cert, self.proxy = verify, cert, proxy
        self._context: ssl.SSLContext | None = (
            verify if isinstance(verify, ssl.SSLContext) else None
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(total={self.total})"

    def __getstate__(self) -> dict[str, Any]:
        """Keep the settings; a TLS context cannot travel."""
        return {**self.__dict__, "_context": None}

    def __call__(self, ask: Ask) -> Answer:
        """Send a token request.

        Raises:
            TransportError: It could not be sent, or no whole answer came in time.
        """
        outcome: list[Answer | AuthError] = []
        worker = threading.Thread(
            target=lambda: outcome.append(self._attempt(ask)), daemon=True, name="tokenlatch-send"
        )
        try:
            worker.start()
        except RuntimeError:  # no thread to be had: the client's own timeouts must do
            outcome.append(self._attempt(ask))
        else:
            # In slices: a process that was stopped for long (docker pause) wakes up past its deadline,
            # and the answer that came meanwhile must not be thrown away.
            for _ in range(SLICES):
                worker.join(self.total / SLICES)
        if not outcome:
            raise TransportError(
                f"No answer from {_host(ask.url)} within {self.total:g} s: check the network."
            )
        if isinstance(outcome[0], AuthError):
            raise outcome[0]
        return outcome[0]

    def close(self) -> None:
        """Give the TLS context back."""
        if not isinstance(self.verify, ssl.SSLContext):
            self._context = None

    def _attempt(self, ask: Ask) -> Answer | AuthError:
        # Outside the except block, so that the client's error (with the request) is nobody's context.
        try:
            return self._exchange(ask)
        except AuthError as ours:
            return ours
        except ImportError as missing:
            return ConfigurationError(
                f"{self!r} needs {missing.name}: pip install it, or pass another sender=."
            )
        except Exception as problem:  # noqa: BLE001 - whatever a client raises, it is the network's
            sent = not self._never_sent(problem)
            what, cause = _without_request(problem)
        error = TransportError(
            f"{'The answer of' if sent else 'The way to'} {_host(ask.url)} failed ({what}): check the network."
        )
        error.sent = sent
        error.__cause__ = cause
        return error

    def _exchange(self, ask: Ask) -> Answer:
        raise NotImplementedError

    def _never_sent(self, problem: Exception) -> bool:
        raise NotImplementedError

    def _collect(self, chunks: Iterator[bytes]) -> bytes:
        """Read a body, up to the largest and until the deadline."""
        deadline, body = time.monotonic() + self.total, b""
        for chunk in chunks:
            body += chunk
            if len(body) > LARGEST_ANSWER or time.monotonic() > deadline:
                break
        return body

    def _tls(self) -> ssl.SSLContext:
        """Return the one context: to build it takes 20 ms.

        Raises:
            ConfigurationError: The certificates cannot be read.
        """
        if self._context is None:
            try:
                self._context = self._new_context()
            except OSError as problem:
                name = type(problem).__name__
                message = f"The TLS certificates cannot be read ({name}): check verify=, cert=, SSL_CERT_FILE."
                raise ConfigurationError(message) from problem
        return self._context

    def _new_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._bundle())
        if self.verify is False:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.cert:
            context.load_cert_chain(*((self.cert,) if isinstance(self.cert, str) else self.cert))
        return context

    def _bundle(self) -> str | None:
        """Return the file of trusted certificates; None: the system's."""
        if isinstance(self.verify, str):
            return self.verify
        if named := ca_bundle():
            return named
        return str(import_module("certifi").where()) if find_spec("certifi") else None


class RequestsSender(_Sender):
    """Sends token requests with requests."""

    def _tls(self) -> ssl.SSLContext:
        """Return the context; urllib3 1 looks at the server's name itself, and for an address must."""
        context = super()._tls()
        if context is not self.verify and import_module("urllib3").__version__.startswith("1."):
            context.check_hostname = False
        return context

    def _exchange(self, ask: Ask) -> Answer:
        import requests

        with requests.Session() as session:
            session.auth = _leave_alone  # else a .netrc entry replaces our own header
            if ask.url.startswith("https:"):
                session.mount("https://", _adapter()(self._tls()))
            answer = session.request(
                ask.method,
                ask.url,
                data=ask.body(),
                headers=ask.all_headers(),
                timeout=(self.connect, self.read),
                proxies={"all": self.proxy} if self.proxy else None,
                verify=self.verify is not False,
                allow_redirects=False,
                stream=True,
            )
            with answer:
                body = self._collect(answer.raw.stream(CHUNK, decode_content=False))
                left = getattr(answer.raw, "length_remaining", None)
                if left and len(body) <= LARGEST_ANSWER:
                    raise requests.ConnectionError  # urllib3 1.26 says nothing of a cut answer
                return Answer(answer.status_code, _lower(answer.headers.items()), body)

    def _never_sent(self, problem: Exception) -> bool:
        import requests

        if isinstance(problem, requests.exceptions.SSLError):
            return _in_handshake(problem)
        if isinstance(problem, requests.ConnectTimeout | requests.exceptions.InvalidURL):
            return True
        unconnected = {"NewConnectionError", "NameResolutionError", "ConnectTimeoutError"}
        return any(type(each).__name__ in unconnected for each in _chain(problem))


class HttpxSender(_Sender):
    """Sends token requests with httpx, or with httpx2."""

    library = "httpx"

    def _exchange(self, ask: Ask) -> Answer:
        httpx = import_module(self.library)
        timeout = httpx.Timeout(self.read, connect=self.connect)
        secure = ask.url.startswith("https:")
        with (
            httpx.Client(
                verify=self._tls() if secure else False, timeout=timeout, proxy=self.proxy
            ) as client,
            client.stream(
                ask.method,
                ask.url,
                content=ask.body(),
                headers=ask.all_headers(),
                follow_redirects=False,
            ) as answer,
        ):
            body = self._collect(answer.iter_raw(CHUNK))
            return Answer(answer.status_code, _lower(answer.headers.items()), body)

    def _never_sent(self, problem: Exception) -> bool:
        httpx = import_module(self.library)
        return isinstance(
            problem,
            httpx.ConnectError
            | httpx.ConnectTimeout
            | httpx.PoolTimeout
            | httpx.UnsupportedProtocol,
        )


class Httpx2Sender(HttpxSender):
    """Sends token requests with httpx2."""

    library = "httpx2"


_KINDS: Final = {"requests": RequestsSender, "httpx": HttpxSender, "httpx2": Httpx2Sender}


def default_sender() -> _Sender:
    """Return a sender for the client library in use: one imported already, else one installed.

    Raises:
        ConfigurationError: None is installed.
    """
    for is_there in (sys.modules.__contains__, find_spec):
        for library, kind in _KINDS.items():
            if is_there(library):
                return kind()
    message = "No HTTP client is installed: pip install 'tokenlatch[requests]' (or httpx, httpx2), or pass sender=."
    raise ConfigurationError(message)


def _without_request(problem: BaseException) -> tuple[str, BaseException]:
    """Return what went wrong in words, and the same error without request, response and frames.

    The client's own text may hold the URL with its query, so only the system's words are taken.
    """
    chain = _chain(problem)
    words = next(
        (each.strerror for each in reversed(chain) if isinstance(each, OSError) and each.strerror),
        None,
    )
    text = f"{type(problem).__name__}: {words}" if words else type(problem).__name__
    try:
        cause = type(problem)(words or "")
    except Exception:  # noqa: BLE001 - an error class with other arguments
        cause = OSError(text)
    return text, cause


def _in_handshake(problem: BaseException) -> bool:
    """Tell whether TLS failed before anything was sent; what breaks later is an SSL error as well."""
    return any(
        frame.f_code.co_name == "do_handshake"
        for each in _chain(problem)
        for frame, _ in walk_tb(each.__traceback__)
    )


def _chain(problem: BaseException) -> list[BaseException]:
    chain = [problem]
    while len(chain) < 10:
        last = chain[-1]
        inner = (
            last.__cause__
            or last.__context__
            or getattr(last, "reason", None)
            or (last.args[0] if last.args else None)
        )
        if not isinstance(inner, BaseException) or inner in chain:
            break
        chain.append(inner)
    return chain


def _host(url: str) -> str:
    return url.split("://", 1)[-1].split("/", 1)[0].rpartition("@")[2]


def _lower(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


def _leave_alone(request: "requests.PreparedRequest") -> "requests.PreparedRequest":
    return request


def _adapter() -> Any:  # noqa: ANN401 - a class made where requests is known to be installed
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        """An adapter that shares one TLS context."""

        def __init__(self, context: ssl.SSLContext) -> None:
            self._context = context
            super().__init__(max_retries=0)

        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
            super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

        def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            place, _ = super().build_connection_pool_key_attributes(*args, **kwargs)
            return place, {"ssl_context": self._context}  # else the CA bundle is loaded each time

        def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:  # noqa: ANN401
            """Leave it to the context."""

        def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            return super().proxy_manager_for(*args, ssl_context=self._context, **kwargs)

    return Adapter


senders.append(default_sender)
