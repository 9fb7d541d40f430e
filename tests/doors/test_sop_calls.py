"""SOP as a new user meets it: consent, tokens through the signed gateway, business calls, refusals."""

import asyncio
import contextlib
import json
from pathlib import Path

import httpx
import pytest
import requests

import tokenlatch.httpx
import tokenlatch.requests
from tests.doors.platforms import CLIENTS, Clock, visit
from tokenlatch import AuthorizationCode, RefreshToken, TokenSource, errors
from tokenlatch.providers import sop
from tokenlatch.testing import SopServer
from tokenlatch.testing._http import Response
from tokenlatch.testing._sop import TOKEN_METHOD

KEYS = json.loads((Path(__file__).parents[1] / "vectors" / "sop_test_keys.json").read_text())
APP_ID = "2019032617262200001"
CALL = {"method": "story.get", "version": "1.0", "biz_content": '{"id":1,"名":"=&+"}'}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["4, signed", "4", "5"])
def gateway(request, clock):
    platform = KEYS["platform_private_pkcs8_b64"] if "signed" in request.param else None
    five = request.param == "5"
    with SopServer(KEYS["app_public_b64"], platform, five=five, clock=clock) as server:
        yield server


@pytest.fixture
def login(gateway):
    key = KEYS["platform_public_b64"] if gateway._platform else None
    provider = sop(gateway.gateway_url, authorize_url=gateway.authorize_url, platform_key=key)
    return AuthorizationCode(
        provider,
        client_id=APP_ID,
        client_secret=KEYS["app_private_pkcs8_b64"],
        redirect_uri="http://localhost:8087/oauth2callback",
    )


@pytest.fixture
def source(login, clock):
    with TokenSource(login, clock=clock) as source:
        pending = login.begin()
        source.redeem(visit(pending.url), pending)
        yield source


def test_tokens_live_for_ever(source, clock):
    """expires_in -1 and re_expires_in -3: never refreshed on a schedule, not in a hundred years."""
    tokens = source.token()
    assert (tokens.expires_at, tokens.refresh_expires_at) == (None, None)
    assert tokens.extra["user_id"] == "1"
    clock.at += 100 * 366 * 86400
    assert source.token() == tokens


def test_a_refresh_on_request_brings_a_new_pair(source):
    """The old refresh token is gone; the old access token is good for ten more minutes."""
    old = source.token()
    new = source.refresh()
    assert new.access_token != old.access_token
    assert new.refresh_token != old.refresh_token
    assert source.refresh().refresh_token != new.refresh_token


def test_a_spent_refresh_token_is_a_failure_with_code_10000(login, source, clock):
    """The gateway wraps the token service's error as a success: it is none."""
    spent = source.token().refresh_token
    source.refresh()
    late = RefreshToken(
        login.provider,
        client_id=APP_ID,
        client_secret=KEYS["app_private_pkcs8_b64"],
        refresh_token=spent,
    )
    with pytest.raises(errors.ReauthorizationRequired, match="invalid_token"):
        TokenSource(late, clock=clock).token()


def test_a_code_works_once(login, clock):
    """The second use is an error inside code 10000."""
    source, pending = TokenSource(login, clock=clock), login.begin()
    back = visit(pending.url)
    source.redeem(back, pending)
    with pytest.raises(errors.ReauthorizationRequired, match="invalid_request"):
        source.redeem(back, pending)


def test_a_code_lives_for_a_day(login, clock):
    """24 hours, and the timestamp of the exchange is the exchange's."""
    source, pending = TokenSource(login, clock=clock), login.begin()
    back = visit(pending.url)
    clock.at += 86399
    assert source.redeem(back, pending)


def test_the_callback_is_bound_to_its_login(login, clock):
    """SOP loses a state: ours travels inside redirect_uri, and app_id has to be ours."""
    source, pending, other = TokenSource(login, clock=clock), login.begin(), login.begin()
    back = visit(pending.url)
    with pytest.raises(errors.ReauthorizationRequired, match="state"):
        source.redeem(back, other)
    with pytest.raises(errors.ReauthorizationRequired, match="another app_id"):
        source.redeem(back.replace(APP_ID, "2015101400446982"), pending)


@CLIENTS
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_business_call_is_signed_with_its_token(gateway, source, make, method):
    """The auth adds token and system parameters and signs all of it; a body or a query, either way."""
    with make(source, gateway.url) as client:
        where = {"data": CALL} if method == "POST" else {"params": CALL}
        answer = client.request(method, gateway.gateway_url, **where).json()
    node = answer.get("story_get_response") or answer["data"]
    assert node["id"] == 1
    last = gateway.requests[-1]
    sent = last.form or last.query
    assert sent["biz_content"] == CALL["biz_content"]
    assert sent["app_auth_token"] == source.token().access_token


@CLIENTS
def test_a_refused_token_is_replaced_and_the_call_signed_anew(gateway, source, make):
    """HTTP 200 with sub_code aop.app-auth-token-time-out; the retry has a fresh timestamp and signature."""
    gateway.expire_access()
    old = source.token()
    with make(source, gateway.url) as client:
        answer = client.post(gateway.gateway_url, data=CALL).json()
    node = answer.get("story_get_response") or answer["data"]
    assert node["id"] == 1
    first, refresh, second = gateway.requests[-3:]
    assert first.form["app_auth_token"] == old.access_token
    assert refresh.form["method"] == "open.auth.token.app"
    assert second.form["app_auth_token"] == source.token().access_token != old.access_token
    assert second.form["sign"] != first.form["sign"]


def test_a_refused_token_is_replaced_in_a_task(gateway, source):
    """The same with httpx in asyncio."""

    async def call():
        auth = tokenlatch.httpx.BearerAuth(source, gateway.url)
        async with httpx.AsyncClient(auth=auth) as client:
            return (await client.post(gateway.gateway_url, data=CALL)).json()

    gateway.expire_access()
    answer = asyncio.run(call())
    assert (answer.get("story_get_response") or answer["data"])["id"] == 1


@CLIENTS
def test_a_body_that_is_no_form_is_refused_before_it_is_sent(gateway, source, make):
    """JSON cannot carry a signature here: the error says to send a form."""
    before = len(gateway.requests)
    with (
        make(source, gateway.url) as client,
        pytest.raises(errors.ConfigurationError, match="send a form"),
    ):
        client.post(gateway.gateway_url, json=CALL)
    assert len(gateway.requests) == before


@CLIENTS
def test_a_field_given_twice_is_refused_before_it_is_sent(gateway, source, make):
    """A gateway signs a map: of two values one would be lost without a word."""
    before = len(gateway.requests)
    with (
        make(source, gateway.url) as client,
        pytest.raises(errors.ConfigurationError, match="once"),
    ):
        client.post(gateway.gateway_url, data={**CALL, "id": ["1", "2"]})
    assert len(gateway.requests) == before


def test_an_answer_without_its_signature_is_not_believed(clock):
    """With a platform key, stripping the signature brings neither tokens nor a business answer."""
    with SopServer(KEYS["app_public_b64"], clock=clock) as gateway:  # signs nothing
        provider = sop(
            gateway.gateway_url,
            authorize_url=gateway.authorize_url,
            platform_key=KEYS["platform_public_b64"],
        )
        login = AuthorizationCode(
            provider,
            client_id=APP_ID,
            client_secret=KEYS["app_private_pkcs8_b64"],
            redirect_uri="http://localhost:8087/cb",
        )
        source, pending = TokenSource(login, clock=clock), login.begin()
        with pytest.raises(errors.UnreadableAnswerError, match="is not signed"):
            source.redeem(visit(pending.url), pending)


@contextlib.contextmanager
def signing(clock):
    """A gateway that signs, and a source that has logged in there and wants it."""
    platform = KEYS["platform_private_pkcs8_b64"]
    with SopServer(KEYS["app_public_b64"], platform, clock=clock) as gateway:
        provider = sop(
            gateway.gateway_url,
            authorize_url=gateway.authorize_url,
            platform_key=KEYS["platform_public_b64"],
        )
        login = AuthorizationCode(
            provider,
            client_id=APP_ID,
            client_secret=KEYS["app_private_pkcs8_b64"],
            redirect_uri="http://localhost:8087/cb",
        )
        source, pending = TokenSource(login, clock=clock), login.begin()
        source.redeem(visit(pending.url), pending)
        yield gateway, source


@CLIENTS
def test_a_business_answer_is_checked_too(clock, make):
    """The platform signs at first and is stripped later: the call fails, the token is kept."""
    with signing(clock) as (gateway, source):
        tokens = source.token()
        gateway._platform = None
        with (
            make(source, gateway.url) as client,
            pytest.raises(errors.UnreadableAnswerError, match="is not signed"),
        ):
            client.post(gateway.gateway_url, data=CALL)
        assert source.token() == tokens


def forged(gateway, forge):
    """Let somebody on the way change the answers to business calls."""
    honest = gateway._paths["/"]

    def answer(request):
        genuine = honest(request)
        return genuine if request.form["method"] == TOKEN_METHOD else forge(request, genuine)

    gateway._paths["/"] = answer


BARE = b'{"story_get_response":{"code":"10000","id":666}}'
REJECTED = b'{"story_get_response":{"code":"20001","sub_code":"aop.app-auth-token-time-out"}}'
JSON = {"Content-Type": "application/json"}
FOLLOW = {
    "requests_client": {"allow_redirects": True},
    "httpx_client": {"follow_redirects": True},
    "httpx2_client": {"follow_redirects": True},
}
FORGERIES = {
    "as text": Response(200, {"Content-Type": "text/plain"}, BARE),
    "very long": Response(200, JSON, BARE + b" " * (1 << 20)),
    "with an error status": Response(403, JSON, BARE),
    "a refusal, to make us refresh": Response(200, JSON, REJECTED),
    "a redirect": Response(302, {"Location": "/elsewhere"}),
}


@CLIENTS
@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_no_dress_hides_that_an_answer_is_not_signed(clock, make, forgery):
    """Neither type, length, status nor a redirect gets an unsigned answer to the caller; nothing is refreshed."""
    with signing(clock) as (gateway, source):
        forged(gateway, lambda _, __: forgery)
        gateway._paths["/elsewhere"] = lambda _: Response(200, JSON, BARE)
        before = source.token()
        with make(source, gateway.url) as client, pytest.raises(errors.UnreadableAnswerError):
            client.post(gateway.gateway_url, data=CALL, **FOLLOW[make.__name__])
        assert source.token() == before


@CLIENTS
def test_the_answer_to_a_retry_is_checked_as_well(clock, make):
    """The signed refusal is believed, the unsigned answer behind it is not."""
    with signing(clock) as (gateway, source):
        gateway.expire_access()
        forged(
            gateway,
            lambda _, genuine: genuine if b"20001" in genuine.body else Response(200, JSON, BARE),
        )
        with make(source, gateway.url) as client, pytest.raises(errors.UnreadableAnswerError):
            client.post(gateway.gateway_url, data=CALL)


@CLIENTS
def test_signed_answers_get_through_with_a_new_token(clock, make):
    """Refusal and answer are signed: one refresh, one result."""
    with signing(clock) as (gateway, source):
        gateway.expire_access()
        with make(source, gateway.url) as client:
            answer = client.post(gateway.gateway_url, data=CALL).json()
        assert answer["story_get_response"]["code"] == "10000"


def test_a_client_in_the_wrong_time_zone_is_told(clock):
    """A stamp in UTC is eight hours late: isv.invalid-timestamp is for the developer."""
    with SopServer(KEYS["app_public_b64"], clock=clock) as gateway:
        grant = RefreshToken(
            sop(gateway.gateway_url, utc_offset=0.0),
            client_id=APP_ID,
            client_secret=KEYS["app_private_pkcs8_b64"],
            refresh_token="856faf8d77d3b985c1073557ce6ea724",
        )
        with pytest.raises(errors.ConfigurationError, match=r"isv\.invalid-timestamp"):
            TokenSource(grant, clock=clock).token()


def test_a_positive_lifetime_is_obeyed(clock):
    """An operator who sets 7200 seconds: refreshed at its end, not before."""
    with SopServer(KEYS["app_public_b64"], access_lifetime=7200, clock=clock) as gateway:
        provider = sop(gateway.gateway_url, authorize_url=gateway.authorize_url)
        login = AuthorizationCode(
            provider,
            client_id=APP_ID,
            client_secret=KEYS["app_private_pkcs8_b64"],
            redirect_uri="http://localhost:8087/cb",
        )
        source, pending = TokenSource(login, clock=clock), login.begin()
        tokens = source.redeem(visit(pending.url), pending)
        assert tokens.expires_at == clock.at + 7200
        assert tokens.refresh_expires_at == clock.at + 21600
        clock.at += 7200
        assert source.token().access_token != tokens.access_token


def test_a_redirect_does_not_carry_the_form_elsewhere(gateway, source):
    """The signed form holds the token: requests would send it again to wherever a 307 points."""
    seen = []

    class Elsewhere(requests.adapters.BaseAdapter):
        def send(self, request, **_):
            seen.append((request.url, request.body))
            answer = requests.Response()
            answer.status_code = 307 if len(seen) == 1 else 200
            answer.headers["Location"] = "https://elsewhere.example/"
            answer.request, answer.url, answer.raw = request, request.url, None
            answer._content = b"{}"
            return answer

        def close(self):
            """Nothing to close."""

    session = requests.Session()
    session.mount("http://", Elsewhere())
    session.mount("https://", Elsewhere())
    session.auth = tokenlatch.requests.BearerAuth(source, gateway.url)
    must_be_signed = source.grant.provider.gateway.platform_key is not None
    refused = pytest.raises(errors.UnreadableAnswerError, match="not believed")
    with refused if must_be_signed else contextlib.nullcontext():
        session.post(gateway.gateway_url, data=CALL)
    (_, first), *others = seen
    assert b"app_auth_token" in first
    assert [there for there, _ in others] == ["https://elsewhere.example/"] * (not must_be_signed)
    assert "app_auth_token" not in str(others)


def test_httpx_does_not_carry_the_form_elsewhere(gateway, source):
    """The same with httpx, which follows redirects behind the auth's back: the second send is refused."""

    def answer(request):
        request.read()
        return httpx.Response(307, headers={"Location": "https://elsewhere.example/"})

    client = httpx.Client(
        transport=httpx.MockTransport(answer),
        auth=tokenlatch.httpx.BearerAuth(source, gateway.url),
        follow_redirects=True,
    )
    with client, pytest.raises(errors.ForeignOriginError):
        client.post(gateway.gateway_url, data=CALL)


def test_the_taobao_style_renames_what_it_has_to():
    """The same framework with app_key, sign_method and v: names are data."""
    provider = sop(
        "https://gateway.example.com/",
        names={"app_id": "app_key", "sign_type": "sign_method", "version": "v"},
        token_param="session",
    )
    form = provider.gateway.form(
        {"method": "taobao.item.get"},
        app_id="1",
        private_key=KEYS["app_private_pkcs8_b64"],
        now=0.0,
        token="abc",
    )
    assert {"app_key", "sign_method", "v", "session", "sign"} < set(form)
