"""The landing of httpx and httpx2: one auth flow for sync and async clients.

Law: imports no client; a spent stream is never iterated again, and a foreign host never gets a token.
"""

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, ClassVar

from tokenlatch._bearer import Bearer
from tokenlatch._state import TokenSet
from tokenlatch._wire import is_refusal
from tokenlatch.errors import AuthError, as_also


class Flow(Bearer):
    """An auth flow: attach, look at the answer, and perhaps send once more."""

    requires_request_body = False  # else every upload would be read into memory
    requires_response_body = False

    library_error: ClassVar[type[Exception]]

    def _forget(self) -> None:
        super()._forget()
        self._parts = self._origins.parts  # a step nearer: it is looked up for every request

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:  # noqa: ANN401 - httpx.Request
        """Attach the token; on a refusal refresh it and send the request once more.

        Raises:
            AuthError: There is no token; also the library's own ``RequestError``.
        """
        try:  # the library's own parse, where it shows it: a miss costs a second parse, never a token
            known = request.url._uri_reference[:4] in self._parts  # noqa: SLF001 - what is public would parse again
        except AttributeError:
            known = False
        if not known and not self._allows(request):
            yield request
            return
        try:
            tokens = self._source.token()
        except AuthError as error:
            raise self._as_theirs(error, request) from error.__cause__
        request.headers["Authorization"] = header = (
            self._header if tokens is self._tokens else self._render(tokens)
        )
        body = getattr(request.stream, "_stream", None)
        rewind = _nothing if type(body) is bytes else remember(request, body)
        response = yield request
        if response.status_code != 401:
            if self._unproven:
                self._accepted(tokens)
        elif self._is_refused(response, header):
            # The redirect of a deed that was done: it must not be done twice.
            rewind = rewind if response.request.method == request.method else None
            try:
                fresh = self._source.token(tokens.access_token)
            except AuthError as error:
                if rewind:
                    raise self._as_theirs(error, request) from error.__cause__
                return
            if rewind and fresh.access_token != tokens.access_token:
                self._note((yield self._again(request, fresh, rewind)), fresh)

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:  # noqa: ANN401
        """Do the same in a task of asyncio or trio.

        Raises:
            AuthError: There is no token; also the library's own ``RequestError``.
        """
        try:  # the library's own parse, where it shows it: a miss costs a second parse, never a token
            known = request.url._uri_reference[:4] in self._parts  # noqa: SLF001 - what is public would parse again
        except AttributeError:
            known = False
        if not known and not self._allows(request):
            yield request
            return
        try:
            tokens = await self._source.atoken()
        except AuthError as error:
            raise self._as_theirs(error, request) from error.__cause__
        request.headers["Authorization"] = header = (
            self._header if tokens is self._tokens else self._render(tokens)
        )
        body = getattr(request.stream, "_stream", None)
        rewind = _nothing if type(body) is bytes else remember(request, body)
        response = yield request
        if response.status_code != 401:
            if self._unproven:
                self._accepted(tokens)
        elif self._is_refused(response, header):
            # The redirect of a deed that was done: it must not be done twice.
            rewind = rewind if response.request.method == request.method else None
            try:
                fresh = await self._source.atoken(tokens.access_token)
            except AuthError as error:
                if rewind:
                    raise self._as_theirs(error, request) from error.__cause__
                return
            if rewind and fresh.access_token != tokens.access_token:
                self._note((yield self._again(request, fresh, rewind)), fresh)

    def _allows(self, request: Any) -> bool:  # noqa: ANN401
        if str(request.url) in self._origins:
            return True
        refusal = self._refuse(str(request.url))
        if refusal:
            raise self._as_theirs(refusal, request)
        return False

    def _is_refused(self, response: Any, header: str) -> bool:  # noqa: ANN401
        """Tell whether this 401 is about our token: after redirects it may be another host's."""
        last = response.request
        return (
            last.headers.get("Authorization") == header
            and str(last.url) in self._origins
            and is_refusal(401, response.headers.get("WWW-Authenticate"))
        )

    def _again(self, request: Any, tokens: TokenSet, rewind: Callable[[], object]) -> Any:  # noqa: ANN401
        rewind()
        request.headers["Authorization"] = self._render(tokens)
        return request

    def _note(self, response: Any, tokens: TokenSet) -> None:  # noqa: ANN401
        if self._unproven and response.status_code != 401:
            self._accepted(tokens)

    def _as_theirs(self, error: AuthError, request: Any) -> AuthError:  # noqa: ANN401
        theirs = as_also(error, self.library_error)
        # Their handlers ask for the request: it gets one without headers and body.
        theirs.request = type(request)(request.method, request.url)  # type: ignore[attr-defined]  # of the library's class
        return theirs


def remember(request: Any, body: Any) -> Callable[[], object] | None:  # noqa: ANN401
    """Return what makes the body ready to be sent again whole; None when nothing can."""
    fields = getattr(request.stream, "fields", None)
    if fields is not None:  # multipart: its files are rewound by the client, if they can be
        files = [getattr(each, "file", b"") for each in fields]
        return (
            _nothing
            if all(isinstance(file, bytes | str) or _seeks(file) for file in files)
            else None
        )
    if isinstance(body, bytes | list | tuple):
        return _nothing
    if not hasattr(body, "__aiter__") and _seeks(body):  # an asynchronous file seeks in a task only
        position = body.tell()
        return lambda: body.seek(position)
    # What iterates may be spent after one send, and would go out again as an empty body.
    return None


def _seeks(file: Any) -> bool:  # noqa: ANN401
    return bool(getattr(file, "seekable", bool)())


def _nothing() -> None:
    """Leave the body as it is."""
