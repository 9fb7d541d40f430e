"""oidc-provider: one replay is the death of the whole grant, so a grant that lives proves much."""

import os

import pytest

from tests.interop.real_servers import OIDC_PROVIDER
from tests.interop.storm import blow
from tokenlatch.errors import ReauthorizationRequired

pytestmark = pytest.mark.interop
SECONDS = float(os.environ.get("TOKENLATCH_SOAK", "12"))


@pytest.fixture(scope="module")
def server(serve):
    return serve(OIDC_PROVIDER, ACCESS_TOKEN_SECONDS=3)


@pytest.mark.timeout(SECONDS + 90)
def test_eight_processes_refresh_once_per_expiry(shared_grant):
    """8 processes x (4 requests threads + 8 httpx tasks), tokens living 3 s: nothing fails."""
    figures = blow(shared_grant, seconds=SECONDS)
    assert figures.good, f"\n{figures}"


def test_killed_after_the_server_answered_the_next_process_says_so(shared_grant):
    """No grace period here: the grant is lost, and the error names the interrupted refresh."""
    shared_grant.seed()
    shared_grant.kill_worker_after_the_answer()
    source = shared_grant.source()
    with pytest.raises(ReauthorizationRequired, match="could not finish"):
        source.refresh()
    source.close()
    assert [call.status for call in shared_grant.proxy.calls] == [200, 400]
