"""The pytest plugin: the fixture `oauth_server`.

Law: light. Every pytest run imports this file, so the server itself is imported when a test asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenlatch.testing import AuthorizationServer

__all__ = ["oauth_server"]


@pytest.fixture
def oauth_server() -> Iterator[AuthorizationServer]:
    """Give a fresh authorization server with an API, on loopback, closed when the test ends.

    Example:
        >>> def test_my_client_survives_an_expired_token(oauth_server):
        ...     client = make_my_client(
        ...         oauth_server.token_url, seed=oauth_server.issue(scope="read")
        ...     )
        ...     oauth_server.expire_now()
        ...     assert client.get(oauth_server.api_url).status_code == 200
        ...     assert oauth_server.counts.refreshes == 1
        ...     assert oauth_server.counts.replays == 0
    """
    from tokenlatch.testing import AuthorizationServer

    with AuthorizationServer() as server:
        yield server
