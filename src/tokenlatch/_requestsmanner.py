"""The landing of requests for providers with ways of their own: dress the request, judge the answer.

Law: as for ``_requestslike``; a dressed request never follows a redirect to another origin.
"""

from typing import Any
from urllib.parse import urljoin

from tokenlatch._attach import LARGEST_JUDGED, Draft
from tokenlatch._requestslike import Hook, is_replayable
from tokenlatch._state import TokenSet
from tokenlatch.errors import AuthError


class MannerHook(Hook):
    """A callable auth object that attaches the token where the provider wants it."""

    def __call__(self, request: Any) -> Any:  # noqa: ANN401 - requests.PreparedRequest or its twin
        """Attach the token to a prepared request, and sign it where it has to be signed.

        Raises:
            AuthError: There is no token, or no place for it; also the library's ``RequestException``.
        """
        if request.url not in self._origins:
            refusal = self._refuse(request.url)
            if refusal:
                raise self._as_theirs(refusal, request)
            return request
        plain = _Plain(request.url, request.headers.copy(), request.body)
        try:
            judge = _Judge(self, plain, self._source.token())
            self._dress(request, judge)
        except AuthError as error:
            problem = error
        else:
            hooks = request.hooks["response"]
            hooks[:] = [hook for hook in hooks if not isinstance(hook, _Judge)] + [judge]
            return request
        raise self._as_theirs(problem, request, plain.url)

    def _dress(self, request: Any, judge: "_Judge") -> None:  # noqa: ANN401
        manner, plain = self._by, judge.plain
        body = _bytes(plain.body) if manner.reads_body else None
        draft = Draft(plain.url, body, plain.mime, method=request.method)
        judge.method = manner.method_of(draft)
        dressed = manner.dress(draft, judge.tokens, self._source.clock())
        request.url = judge.url = dressed.url
        request.headers = plain.headers.copy()
        request.headers.update(dressed.headers)
        request.body = plain.body if dressed.body is None else dressed.body

    def judge(self, response: Any, judge: "_Judge", kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        """Answer a refusal of our token: look at the store, refresh if need be, send again once.

        Raises:
            AuthError: There is no new token, or the answer cannot be believed.
        """
        request = response.request
        if request.url != judge.url:
            return response  # the next hop of a redirect
        if response.is_redirect and not self._by.wants_proof:
            if urljoin(request.url, response.headers["Location"]) not in self._origins:
                judge.plain.put_on(request)  # requests builds the next hop from this one
            return response

        try:
            again = self._by.wants_nonce(request.url, response.status_code, response.headers)
            if again and is_replayable(request):
                self._dress(request, judge)
                return self.judge(self._send_again(response, kwargs), judge, kwargs)
            if not self._is_refused(response, judge, stream=bool(kwargs.get("stream"))):
                return response
            fresh = self._source.token(judge.tokens.access_token)
            if fresh.access_token == judge.tokens.access_token or not is_replayable(request):
                return response
            judge.tokens = fresh
            self._dress(request, judge)
        except AuthError as error:
            response.close()
            problem = error
        else:
            return self._proven(self._send_again(response, kwargs), judge)
        # The token may be in the dressed URL.
        raise self._as_theirs(problem, request, judge.plain.url)

    def _proven(self, response: Any, judge: "_Judge") -> Any:  # noqa: ANN401
        """Return an answer that is signed, if it has to be."""
        try:
            self._by.doubt(lambda: response.content, judge.method)
        except AuthError as error:
            problem = error
        else:
            return response
        response.close()
        raise self._as_theirs(problem, response.request, judge.plain.url)

    def _is_refused(self, response: Any, judge: "_Judge", *, stream: bool) -> bool:  # noqa: ANN401
        """Tell whether our token was refused; note it when it was accepted."""

        def read() -> bytes | None:
            if stream and not self._by.wants_proof:
                return None  # the caller wants to read it
            content: bytes = response.content
            short = len(content) <= LARGEST_JUDGED
            return content if short or self._by.wants_proof else None

        if self._by.is_rejected(response.status_code, response.headers, read, judge.method):
            return True
        self._by.doubt(read, judge.method)
        if self._source.unproven and response.status_code != 401:
            self._source.accepted(judge.tokens.access_token)
        return False


class _Plain:
    """The request as the caller wrote it."""

    def __init__(self, url: str, headers: Any, body: Any) -> None:  # noqa: ANN401
        self.url, self.headers, self.body = url, headers, body

    @property
    def mime(self) -> str:
        return str(self.headers.get("Content-Type", ""))

    def put_on(self, request: Any) -> None:  # noqa: ANN401
        request.url, request.body, request.headers = self.url, self.body, self.headers.copy()


class _Judge:
    """The response hook of one request; ``url`` and ``method`` are what went out last."""

    def __init__(self, auth: MannerHook, plain: _Plain, tokens: TokenSet) -> None:
        self.auth, self.plain, self.tokens = auth, plain, tokens
        self.url = ""
        self.method: str | None = None

    def __call__(self, response: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        return self.auth.judge(response, self, kwargs)


def _bytes(body: Any) -> bytes:  # noqa: ANN401
    """Return a body that is at hand; a stream or file is no form, and says so by its type."""
    return body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else b""
