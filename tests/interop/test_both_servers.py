"""What a user of tokenlatch does every day, on each real server."""

import time

import httpx2
import pytest

import tokenlatch.httpx2
from tests.interop.real_servers import DJANGO, OIDC_PROVIDER
from tests.interop.shared_grant import token_set
from tokenlatch import ClientCredentials, MemoryStore, RefreshToken, TokenSource
from tokenlatch.errors import ConfigurationError, ReauthorizationRequired

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module", params=[OIDC_PROVIDER, DJANGO], ids=lambda kind: kind.name)
def server(serve, request):
    return serve(request.param, ACCESS_TOKEN_SECONDS=60)


def test_a_refresh_gives_a_living_token_and_keeps_the_grant(server, shared_grant):
    """Three refreshes in a row, each with the refresh token that the one before brought."""
    shared_grant.seed()
    source = shared_grant.source()
    for _ in range(3):
        source.refresh()
        assert server.api_status(source.token().access_token) == 200
    source.close()
    assert [call.status for call in shared_grant.proxy.calls] == [200, 200, 200]
    assert shared_grant.proxy.replays == 0


def test_a_refused_token_costs_one_token_request_in_all_processes(server, shared_grant):
    """Two processes were refused the same access token: the second adopts what the first got."""
    dead = shared_grant.seed().access_token
    first = shared_grant.run_worker("token", rejected=dead)
    second = shared_grant.run_worker("token", rejected=dead)
    assert first == second
    assert server.api_status(second["access_token"]) == 200
    assert len(shared_grant.proxy.calls) == 1


def test_client_credentials(server, proxy):
    """A client's own grant: one token request, then the same token again."""
    grant = ClientCredentials(
        proxy.url, client_id=server.kind.service, client_secret=server.client_secret
    )
    source = TokenSource(grant)
    first, second = source.token(), source.token()
    source.close()
    assert first == second
    assert 50 < first.expires_at - time.time() <= 60
    assert len(proxy.calls) == 1


def test_a_wrong_secret_is_the_developers_to_mend(server, proxy):
    """Neither server's dialect of invalid_client is taken for a dead grant."""
    wrong = {"client_id": server.kind.service, "client_secret": "wrong"}
    source = TokenSource(ClientCredentials(proxy.url, **wrong))
    with pytest.raises(ConfigurationError) as caught:
        source.token()
    source.close()
    assert caught.value.error == "invalid_client"


def test_a_wrong_secret_does_not_cost_the_grant(server, shared_grant):
    """A deployment with a typing error fails; the right secret goes on with the same grant."""
    tokens = shared_grant.seed()
    wrong = RefreshToken(shared_grant.proxy.url, client_id=server.client_id, client_secret="wrong")
    source = TokenSource(wrong)
    source.seed(tokens)
    with pytest.raises(ConfigurationError):
        source.refresh()
    source.close()
    assert server.refresh(tokens.refresh_token).status_code == 200


def test_a_dead_grant_fails_everywhere_until_a_new_login_heals_it(server, shared_grant):
    """One token request finds it out; other processes ask the token file only; seed() heals."""
    server.revoke(shared_grant.seed().refresh_token)
    source = shared_grant.source()
    with pytest.raises(ReauthorizationRequired):
        source.refresh()
    assert len(shared_grant.proxy.calls) == 1

    elsewhere = shared_grant.run_worker("refresh")
    assert elsewhere["error"] == "ReauthorizationRequired"
    assert len(shared_grant.proxy.calls) == 1

    source.seed(token_set(server.new_grant()))
    assert server.api_status(source.token().access_token) == 200
    source.close()
    assert server.api_status(shared_grant.run_worker("refresh")["access_token"]) == 200


def test_two_stores_for_one_grant_are_found_out(shared_grant):
    """The mistake that tokenlatch exists to prevent, made on purpose: the detectors both ring."""
    tokens = shared_grant.seed()
    one, other = (shared_grant.source(store=MemoryStore()) for _ in range(2))
    for source in (one, other):
        source.seed(tokens)
    one.refresh()
    with pytest.raises(ReauthorizationRequired):
        other.refresh()
    with pytest.raises(ReauthorizationRequired):
        one.refresh()
    for source in (one, other):
        source.close()
    assert shared_grant.proxy.replays == 1


def test_httpx2_goes_through_a_refused_token(server, shared_grant):
    """The httpx2 door: a token that the server has revoked, one refresh, one answer."""
    first = shared_grant.seed()
    source = shared_grant.source()
    auth = tokenlatch.httpx2.BearerAuth(source, server.base)
    with httpx2.Client(auth=auth, timeout=10) as client:
        assert client.get(server.api_url).status_code == 200
        stale = server.refresh(first.refresh_token).json()
        source.seed(token_set(stale | {"access_token": "made-up"}))
        assert client.get(server.api_url).status_code == 200
    source.close()
    assert [call.status for call in shared_grant.proxy.calls] == [200]
