"""The landing of httpx and httpx2 for providers with ways of their own: dress the request, judge the answer.

Law: as for ``_httpxlike``; one body of steps for sync and async, which says what it needs and never waits itself.
"""

from collections.abc import AsyncGenerator, Generator, Iterator
from typing import Any, Literal, TypeAlias

from tokenlatch._attach import LARGEST_JUDGED, Draft
from tokenlatch._httpxlike import Flow, remember
from tokenlatch._state import TokenSet
from tokenlatch.errors import AuthError, ForeignOriginError

Step: TypeAlias = tuple[Literal["token", "send", "read"], Any]
"""What a flow needs next: a token (instead of a refused one), an answer to a request, or a body at hand."""


class MannerFlow(Flow):
    """An auth flow that attaches the token where the provider wants it."""

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:  # noqa: ANN401 - httpx.Request
        """Attach the token; on a refusal refresh it and send the request once more.

        Raises:
            AuthError: There is no token, or no place for it; also the library's ``RequestError``.
        """
        if not self._allows(request):
            yield request
            return
        url = request.url  # as the caller wrote it: the token may go into it
        steps, given, error = self._steps(request), None, None
        while True:
            try:
                what, value = steps.throw(error) if error else steps.send(given)
            except StopIteration:
                return
            except AuthError as problem:
                request.url = url  # else the client's frames, and a crash report, show the token
                raise self._as_theirs(problem, request) from problem.__cause__
            error = None
            if what == "send":
                given = yield value
            elif what == "read":
                given = value.read()
            else:
                try:
                    given = self._source.token(value)
                except AuthError as problem:
                    error = problem

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:  # noqa: ANN401
        """Do the same in a task of asyncio or trio.

        Raises:
            AuthError: There is no token, or no place for it; also the library's ``RequestError``.
        """
        if not self._allows(request):
            yield request
            return
        url = request.url  # as the caller wrote it: the token may go into it
        steps, given, error = self._steps(request), None, None
        while True:
            try:
                what, value = steps.throw(error) if error else steps.send(given)
            except StopIteration:
                return
            except AuthError as problem:
                request.url = url  # else the client's frames, and a crash report, show the token
                raise self._as_theirs(problem, request) from problem.__cause__
            error = None
            if what == "send":
                given = yield value
            elif what == "read":
                given = await value.aread()
            else:
                try:
                    given = await self._source.atoken(value)
                except AuthError as problem:
                    error = problem

    def _steps(self, request: Any) -> Generator[Step, Any, None]:  # noqa: ANN401
        manner, origins = self._by, self._origins
        body = getattr(request.stream, "_stream", None)
        rewind = remember(request, body)
        if manner.reads_body:
            rewind = _nothing
            yield "read", request
        content = request.content if manner.reads_body else None
        mime = request.headers.get("Content-Type", "")
        draft = Draft(str(request.url), content, mime, method=request.method)
        method = manner.method_of(draft)
        tokens: TokenSet = yield "token", None
        response = yield "send", self._dressed(request, draft, tokens)
        ours = str(response.request.url) == str(request.url) and str(request.url) in origins
        if not ours:  # after redirects it is another request's answer
            manner.doubt(bytes, method)
            return
        if manner.wants_nonce(draft.url, response.status_code, response.headers) and rewind:
            rewind()
            response = yield "send", self._dressed(request, draft, tokens)
        if manner.wants_proof or (manner.judges_body and _is_short(response)):
            yield "read", response

        def read() -> bytes | None:
            content = getattr(response, "_content", None)
            short = content is not None and len(content) <= LARGEST_JUDGED
            return content if short or manner.wants_proof else None

        if not manner.is_rejected(response.status_code, response.headers, read, method):
            manner.doubt(read, method)
            self._note(response, tokens)
            return
        fresh: TokenSet = yield "token", tokens.access_token
        if not rewind or fresh.access_token == tokens.access_token:
            return
        rewind()
        response = yield "send", self._dressed(request, draft, fresh)
        if manner.wants_proof:
            yield "read", response
        manner.doubt(read, method)
        self._note(response, fresh)

    def _dressed(self, request: Any, draft: Draft, tokens: TokenSet) -> Any:  # noqa: ANN401
        dressed = self._by.dress(draft, tokens, self._source.clock())
        request.url = type(request.url)(dressed.url)
        if dressed.body is not None:
            fresh = type(request)(request.method, dressed.url, content=dressed.body)
            request.stream, request._content = _once(fresh.stream), dressed.body  # noqa: SLF001 - as it reads itself
        for name, value in dressed.headers.items():
            if dressed.body is None:
                _put_on(request.headers, name, value)
            else:
                request.headers[name] = value  # type and length of a form are no secrets
        return request


def _put_on(headers: Any, name: str, value: str) -> None:  # noqa: ANN401
    """Set a header that the client takes off at a redirect to another origin, whatever its name.

    It does that with Authorization alone. For each header it keeps the name that is sent and the name
    by which it is found: so this one is found as Authorization.
    """
    sent = name.encode("ascii")
    others = [each for each in headers._list if each[0].lower() != sent.lower()]  # noqa: SLF001 - it has no other way
    headers._list = [*others, (sent, b"authorization", value.encode("ascii"))]  # noqa: SLF001


def _is_short(response: Any) -> bool:  # noqa: ANN401
    """Tell whether an answer is JSON that may be read here; what streams is left to the caller."""
    length = response.headers.get("Content-Length", "0")
    mime = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_json = mime == "application/json" or mime.endswith("+json")
    return is_json and length.isdigit() and int(length) <= LARGEST_JUDGED


def _once(stream: Any) -> Any:  # noqa: ANN401
    """Return a body that goes out once: a redirect would carry the token in it to another host."""

    class Once(type(stream)):  # type: ignore[misc]  # the library's own class of bodies
        spent = False

        def __iter__(self) -> Iterator[bytes]:
            self._spend()
            return super().__iter__()  # type: ignore[no-any-return]  # the library's own

        def __aiter__(self) -> Any:  # noqa: ANN401
            self._spend()
            return super().__aiter__()

        def _spend(self) -> None:
            if self.spent:
                message = (
                    "A redirect asks for the form with the token again: name the final address."
                )
                raise ForeignOriginError(message)
            self.spent = True

    stream.__class__ = Once
    return stream


def _nothing() -> None:
    """Leave the body as it is."""
