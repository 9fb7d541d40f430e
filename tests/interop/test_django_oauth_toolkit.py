"""django-oauth-toolkit: several processes serve, and at a refresh the old access token is dead at once."""

import os

import pytest
import requests

import tokenlatch.requests
from tests.interop.counting_proxy import CountingProxy
from tests.interop.real_servers import DJANGO
from tests.interop.shared_grant import SharedGrant
from tests.interop.storm import blow

pytestmark = pytest.mark.interop
SECONDS = float(os.environ.get("TOKENLATCH_SOAK", "12"))


@pytest.fixture(scope="module")
def server(serve):
    return serve(DJANGO, ACCESS_TOKEN_SECONDS=3, ROTATE=1, REUSE_PROTECTION=1, GRACE=0)


@pytest.fixture(scope="module")
def forgiving_server(serve):
    return serve(DJANGO, ACCESS_TOKEN_SECONDS=60, GRACE=10)


@pytest.mark.timeout(SECONDS + 90)
def test_eight_processes_refresh_once_per_expiry(shared_grant):
    """8 processes x (4 requests threads + 8 httpx tasks), tokens living 3 s: nothing fails."""
    figures = blow(shared_grant, seconds=SECONDS)
    assert figures.good, f"\n{figures}"


def test_killed_after_the_server_answered_the_next_process_recovers(forgiving_server, tmp_path):
    """Within the grace period the spent refresh token gives the lost answer once more."""
    with CountingProxy(forgiving_server.token_url) as proxy:
        grant = SharedGrant(forgiving_server, proxy, tmp_path / "own" / "token.json")
        old = grant.seed().access_token
        grant.kill_worker_after_the_answer()
        assert forgiving_server.api_status(old) == 401

        recovered = grant.run_worker("token", rejected=old)["access_token"]
        assert forgiving_server.api_status(recovered) == 200
        assert [call.status for call in proxy.calls] == [200, 200]
        assert proxy.replays == 1
        assert forgiving_server.api_status(grant.run_worker("refresh")["access_token"]) == 200


def test_another_process_is_refused_looks_and_adopts(server, shared_grant):
    """Its token died at the other's refresh: it answers the 401 without a refresh of its own."""
    shared_grant.seed()
    source = shared_grant.source()
    with requests.Session() as session:
        session.auth = tokenlatch.requests.BearerAuth(source, server.base)
        assert session.get(server.api_url, timeout=10).status_code == 200
        shared_grant.run_worker("refresh")
        assert session.get(server.api_url, timeout=10).status_code == 200
    source.close()
    assert len(shared_grant.proxy.calls) == 1
