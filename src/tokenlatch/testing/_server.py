"""The double itself: its life, and what a test can read and switch.

Law: the public face; answering clients is the endpoints' work.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from tokenlatch.testing._book import GrantBook
from tokenlatch.testing._control import Control
from tokenlatch.testing._endpoints import Endpoints
from tokenlatch.testing._faults import Fault
from tokenlatch.testing._listener import Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from tokenlatch.testing._book import Payload
    from tokenlatch.testing._faults import FaultName
    from tokenlatch.testing._http import Request, Response
    from tokenlatch.testing._shapes import ShapeName


@dataclass(frozen=True, slots=True)
class Counts:
    """What a server has seen since the start or `reset_counts`.

    Attributes:
        token_requests: POSTs to the token endpoint, whatever became of them.
        refreshes: refresh tokens spent; a repeated answer within the grace is not one.
        client_credentials: tokens given for client credentials.
        replays: spent refresh tokens that were presented outside their grace.
        api_requests: requests to the API paths.
        api_unauthorized: those of them that were answered 401.
        revocations: grants (or single access tokens) revoked, by whatever cause.
    """

    token_requests: int = 0
    refreshes: int = 0
    client_credentials: int = 0
    replays: int = 0
    api_requests: int = 0
    api_unauthorized: int = 0
    revocations: int = 0


class AuthorizationServer(Endpoints):
    """An authorization server and an API on 127.0.0.1, in threads of this process.

    Example:
        >>> with AuthorizationServer(access_lifetime=2.0) as server:
        ...     seed = server.issue(scope="read")
        ...     server.fail("503", retry_after=1)
        ...     # let the code under test use server.token_url, server.api_url and the seed
        ...     assert server.counts.replays == 0

    Attributes:
        book: the grants and their rules (`book.access_lifetime = 1.0` works at any time).
        faults: what `fail` queued; `faults.clear()` ends it.
        log: the last 10,000 exchanges with all paths but the control ones.
        challenge: the WWW-Authenticate value for a refused token; None sends none.
        token_latency: seconds between the arrival of a token request and its commit.
        api_latency: seconds before an API request is answered.
        before_commit: called in each token request right before the book changes, without any lock held.
        after_commit: called right after, before the answer is sent.
    """

    def __init__(
        self,
        *,
        access_lifetime: float = 3600.0,
        refresh_lifetime: float | None = None,
        rotate: bool = True,
        reuse_detection: bool = True,
        grace: float = 0.0,
        kill_old_access: bool = False,
        token_latency: float = 0.0,
        api_latency: float = 0.0,
        clients: Mapping[str, str | None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Set the rules; `start` opens the door.

        Args:
            access_lifetime: seconds an access token lives.
            refresh_lifetime: seconds a refresh token lives; None is for ever.
            rotate: each refresh token works once and is replaced.
            reuse_detection: a replayed refresh token revokes its whole family, access tokens too.
            grace: seconds in which the last spent refresh token gets the same new tokens once more.
            kill_old_access: a refresh kills the older access tokens, as django-oauth-toolkit does.
            token_latency: seconds a token request takes.
            api_latency: seconds an API request takes.
            clients: client id to secret, None for a public client; the default is `{"app": "app-secret"}`.
            clock: seconds since the epoch.
        """
        book = GrantBook(
            access_lifetime=access_lifetime,
            refresh_lifetime=refresh_lifetime,
            rotate=rotate,
            reuse_detection=reuse_detection,
            grace=grace,
            kill_old_access=kill_old_access,
        )
        super().__init__(book, dict({"app": "app-secret"} if clients is None else clients), clock)
        self.token_latency = token_latency
        self.api_latency = api_latency
        self._control = Control(self)
        self._listener: Listener | None = None
        self._port = 0

    def start(self, port: int = 0) -> Self:
        """Listen on 127.0.0.1; port 0 asks for a free one, or after a `close` for the one it had.

        Raises:
            OSError: the port is taken.
            RuntimeError: it listens already.
        """
        if self._listener:
            raise RuntimeError(f"this server listens already, on {self.url}")
        self._closing.clear()
        self._listener = Listener(port or self._port, self._dispatch, self._is_quick, self._closing)
        self._port = self._listener.port
        self._listener.start()
        return self

    def close(self, timeout: float = 5.0) -> None:
        """End every connection and thread; the grants stay in the book.

        Raises:
            RuntimeError: a thread does not end within `timeout` seconds, because a hook is still waiting in it.
        """
        self.gate.open()
        if self._listener:
            listener, self._listener = self._listener, None
            listener.close(timeout)

    def __enter__(self) -> Self:
        """Start, unless that was done."""
        return self if self._listener else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _dispatch(self, request: Request) -> Response:
        if request.path.startswith("/_control/"):
            return self._control(request)
        return self._answer(request)

    @property
    def url(self) -> str:
        """The origin, without a slash at the end.

        Raises:
            RuntimeError: the server was not started.
        """
        if not self._port:
            message = "start the server first"
            raise RuntimeError(message)
        return f"http://127.0.0.1:{self._port}"

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self.url}/token"

    @property
    def api_url(self) -> str:
        """A resource that takes any method and tells what it got; paths below it do the same."""
        return f"{self.url}/api"

    @property
    def counts(self) -> Counts:
        """What happened so far."""
        with self._lock:
            return Counts(**{each.name: self.book.tally[each.name] for each in fields(Counts)})

    def reset_counts(self) -> None:
        """Count from zero again, and empty the log."""
        with self._lock:
            self.book.tally.clear()
            self.log.clear()

    def issue(self, scope: str | None = None, client_id: str | None = None) -> Payload:
        """Return a new user's grant in the shape of a token answer; the client is the first one unless named."""
        with self._lock:
            return self.book.issue(client_id or next(iter(self.clients)), self._clock(), scope)

    def expire_now(self) -> None:
        """Let every access token end now; refresh tokens live on."""
        with self._lock:
            self.book.expire_all(self._clock())

    def revoke_now(self) -> None:
        """End every grant."""
        with self._lock:
            self.book.revoke_all()

    def fail(
        self,
        fault: FaultName,
        *,
        times: int | None = 1,
        shape: ShapeName | None = None,
        seconds: float | None = None,
        retry_after: float | str | None = None,
        status: int | None = None,
        to: str | None = None,
        size: int = 64,
        error: str = "invalid_grant",
        commit: bool | None = None,
    ) -> None:
        """Queue a fault for the next token requests.

        Args:
            fault: what goes wrong (see `FaultName`).
            times: for how many requests; None for all that follow.
            shape: with "shape", which one (see `ShapeName`).
            seconds: how slow "slow" is, or the pause per byte of a trickle (0.2).
            retry_after: the Retry-After header, seconds or an HTTP date.
            status: another status than the fault's own.
            to: the target of a redirect.
            size: MiB of a "huge" answer or a "gzip_bomb".
            error: the error word of an error shape.
            commit: whether the refresh token is spent all the same; the default is what the fault's name suggests.

        Raises:
            ValueError: there is no such fault or shape.
        """
        self.faults.add(
            Fault(
                name=fault,
                shape=shape,
                seconds=seconds,
                retry_after=retry_after,
                status=status,
                to=to,
                size=size,
                error=error,
                commit=commit,
            ),
            times,
        )

    @contextmanager
    def hold(self, *, committed: bool = False) -> Iterator[None]:
        """Keep token requests inside the server, before their commit or after it, until the block ends."""
        self.gate.shut("after" if committed else "before")
        try:
            yield
        finally:
            self.gate.open()

    def release(self) -> None:
        """Let the held requests go before the `hold` block ends."""
        self.gate.open()

    def arrived(self, count: int = 1, timeout: float = 10.0) -> None:
        """Wait until `count` token requests are inside at the same time; use it with `hold`.

        Raises:
            TimeoutError: fewer came within `timeout` seconds.
        """
        self.gate.arrived(count, timeout)
