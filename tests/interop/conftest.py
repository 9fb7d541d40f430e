"""Fixtures for tests against real authorization servers, which tests/interop/install provides."""

from contextlib import ExitStack

import pytest

from tests.interop.counting_proxy import CountingProxy
from tests.interop.real_servers import running
from tests.interop.shared_grant import SharedGrant


@pytest.fixture(scope="session")
def serve(tmp_path_factory):
    """Return a function that starts a server, or gives the one already running with these settings."""
    started = {}
    with ExitStack() as stack:

        def start(kind, **settings):
            if not kind.installed:
                pytest.skip(f"no {kind.name}: run `tests/interop/install` (it needs {kind.needs})")
            key = (kind.name, *sorted(settings.items()))
            if key not in started:
                scratch = tmp_path_factory.mktemp(kind.name)
                started[key] = stack.enter_context(running(kind, scratch, **settings))
            return started[key]

        yield start


@pytest.fixture
def proxy(server):
    """Count the token requests to `server`, a fixture that each test module defines for itself."""
    with CountingProxy(server.token_url) as counting:
        yield counting


@pytest.fixture
def shared_grant(server, proxy, tmp_path):
    """Share a grant of `server` through a token file; nobody is logged in before `seed()`."""
    return SharedGrant(server, proxy, tmp_path / "own" / "token.json")
