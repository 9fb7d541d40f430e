"""What the storms share: a server, and one grant of it in a file."""

import pytest

from tests.storms.shared_grant import SharedGrant
from tokenlatch.testing import AuthorizationServer


@pytest.fixture
def server():
    """Give a server that rotates, detects reuse and knows no grace."""
    with AuthorizationServer() as server:
        yield server


@pytest.fixture
def shared(server, tmp_path):
    """Give one grant of that server in one file."""
    with SharedGrant(server, tmp_path / "grant" / "token.json") as grant:
        yield grant
