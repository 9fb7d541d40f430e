"""The landing of requests and its kin: attach the token, and answer a 401 once, safely.

Law: imports no client; a spent body is never sent again, and a foreign host never gets a token.
"""

from contextlib import suppress
from typing import Any, ClassVar

from tokenlatch._bearer import Bearer
from tokenlatch._state import Secret
from tokenlatch._wire import is_refusal
from tokenlatch.errors import AuthError, as_also

LARGEST_KEPT = 65536
"""Bytes of a refused answer that are read to keep its connection; a longer one is closed."""


class Hook(Bearer):
    """A callable auth object with a response hook."""

    library_error: ClassVar[type[Exception]]

    def _forget(self) -> None:
        super()._forget()
        self._hook = self._on_response  # bound once: to bind it costs as much as to look for it

    def __call__(self, request: Any) -> Any:  # noqa: ANN401 - requests.PreparedRequest or its twin
        """Attach the token to a prepared request.

        Raises:
            AuthError: There is no token; also the library's own ``RequestException``.
        """
        if not (request.url.startswith(self._origins.prefixes) or request.url in self._origins):
            refusal = self._refuse(request.url)
            if refusal:
                raise self._as_theirs(refusal, request)
            return request
        try:
            tokens = self._source.token()
        except AuthError as error:
            problem = error
        else:
            request.headers["Authorization"] = (
                self._header if tokens is self._tokens else self._render(tokens)
            )
            hooks = request.hooks["response"]
            if self._hook not in hooks:  # a request may be prepared again
                hooks.append(self._hook)
            return request
        raise self._as_theirs(problem, request)

    def _on_response(self, response: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Answer a refusal of our token: look at the store, refresh if need be, send again once."""
        if response.status_code != 401:
            if self._unproven:
                self._prove(response.request)
            return response
        request = response.request
        sent = request.headers.get("Authorization")
        if request.url not in self._origins or not is_refusal(
            401, response.headers.get("WWW-Authenticate")
        ):
            return response
        if sent is None:  # it came over another origin, which may not choose where the token goes
            return response
        ours = sent in self._headers  # else a .netrc entry took its place at a redirect
        rejected = Secret(sent.removeprefix("Bearer ")) if ours else None
        replayable = is_replayable(request)
        try:
            tokens = self._source.token(rejected)
        except AuthError as error:
            if not replayable:
                return response  # the failure is remembered; this answer is the caller's
            response.close()
            problem = error
        else:
            if tokens.access_token == rejected or not replayable:
                return response
            return self._again(response, self._render(tokens), kwargs)
        raise self._as_theirs(problem, request)

    def _again(self, response: Any, header: str, kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        # A redirect that follows starts from the original request: it needs the new token too.
        response.request.headers["Authorization"] = header
        answer = self._send_again(response, kwargs)
        if answer.status_code != 401 and self._unproven:
            self._prove(answer.request)
        return answer

    def _prove(self, request: Any) -> None:  # noqa: ANN401
        if self._tokens and request.headers.get("Authorization") == self._header:
            self._accepted(self._tokens)

    def _send_again(self, response: Any, kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        _release(response)
        again = response.request.copy()
        self._keep_cookies(again, response)
        _rewind(again)
        answer = response.connection.send(again, **kwargs)
        answer.history.append(response)
        answer.request = again
        return answer

    def _as_theirs(self, error: AuthError, request: Any, url: str | None = None) -> AuthError:  # noqa: ANN401
        theirs = as_also(error, self.library_error)
        # Their handlers ask for the request: it gets one without headers and body.
        theirs.request = bare = type(request)()  # type: ignore[attr-defined]  # of the library's class
        bare.method, bare.url = request.method, url or request.url
        bare.headers = type(request.headers)()
        return theirs

    def _keep_cookies(self, request: Any, response: Any) -> None:  # noqa: ANN401
        """Put the cookies of a response into the request; the door knows its library's way."""
        raise NotImplementedError


def is_replayable(request: Any) -> bool:  # noqa: ANN401
    """Tell whether the body can be sent again whole: bytes, text, or a file that seeks back."""
    body = request.body
    if body is None or isinstance(body, bytes | bytearray | str):
        return True
    # requests noted the position before the first send; 0 is one.
    noted = isinstance(getattr(request, "_body_position", None), int)
    return noted and hasattr(body, "seek") and bool(getattr(body, "seekable", lambda: True)())


def _rewind(request: Any) -> None:  # noqa: ANN401
    if not (request.body is None or isinstance(request.body, bytes | bytearray | str)):
        request.body.seek(request._body_position)  # noqa: SLF001 - as requests does at a redirect


def _release(response: Any) -> None:  # noqa: ANN401
    """Free the connection of a refused answer: read a short body, close a long one."""
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and int(length) <= LARGEST_KEPT:
        with suppress(OSError):  # cut off, or not what its Content-Encoding says
            response.content  # noqa: B018 - reading it lets the connection be used again
    response.close()
