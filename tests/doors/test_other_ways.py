"""Tokens in headers, queries and forms of other names: attached, replaced, and never carried elsewhere."""

import asyncio
import contextlib
import copy
import dataclasses
import json
import pickle

import httpx
import httpx2
import pytest
import requests

import tokenlatch.httpx
import tokenlatch.httpx2
import tokenlatch.requests
from tests.doors.platforms import CLIENTS, Clock
from tokenlatch import ClientCredentials, Provider, TokenSource, errors
from tokenlatch.providers import Attach, Rejection
from tokenlatch.testing._http import Response
from tokenlatch.testing._simulator import Simulator, as_json

HEADER = Attach("header", "X-Shopify-Access-Token")
QUERY = Attach("query", "access_token")
FORM = Attach("form", "access_token")
JSON = Attach("json", "accessToken")


class Api(Simulator):
    """A token endpoint, and an API that takes the newest token anywhere and refuses others by 401 or errcode."""

    def __init__(self):
        super().__init__()
        self.number = 0
        self.by_body = False
        self.elsewhere = ""
        self.status = 307
        self._paths = {"/token": self._token, "/api": self._api, "/go": self._go}

    def _token(self, _):
        self.number += 1
        return as_json(200, {"access_token": f"T{self.number}", "expires_in": 3600})

    def _api(self, request):
        carried = (
            request.headers.get("x-shopify-access-token")
            or request.query.get("access_token")
            or request.form.get("access_token")
        )
        if carried == f"T{self.number}":
            return as_json(200, {"errcode": 0, "body": request.body.decode()})
        return as_json(200, {"errcode": 40001}) if self.by_body else Response(401)

    def _go(self, _):
        return Response(self.status, {"Location": self.elsewhere})


@pytest.fixture
def api():
    with Api() as api:
        yield api


@pytest.fixture
def elsewhere():
    with Api() as other:
        yield other


def source_of(api, attach, **more):
    provider = Provider(f"{api.url}/token", attach=attach, **more)
    grant = ClientCredentials(provider, client_id="app", client_secret="s")
    return TokenSource(grant, clock=Clock())


@CLIENTS
@pytest.mark.parametrize("attach", [HEADER, QUERY, FORM], ids=["header", "query", "form"])
@pytest.mark.parametrize("by_body", [False, True], ids=["401", "errcode"])
def test_a_token_goes_where_the_provider_wants_it(api, make, attach, by_body):
    """And a refused one is replaced, once, with the body whole."""
    api.by_body = by_body
    rule = Rejection(body=(("errcode",), ("40001",)))
    source = source_of(api, attach, rejected_when=rule)
    with make(source, api.url) as client:
        assert client.post(f"{api.url}/api?a=1", data={"b": "2"}).json()["errcode"] == 0
        api.number += 1  # the token is another one now
        again = client.post(f"{api.url}/api?a=1", data={"b": "2"})
    assert again.json()["errcode"] == 0
    assert "b=2" in again.json()["body"]
    last = api.requests[-1]
    assert last.query["a"] == "1"
    assert "authorization" not in last.headers
    assert [request.path for request in api.requests].count("/token") == 2


@CLIENTS
def test_a_stream_is_sent_with_a_header_and_not_read(api, make):
    """A body that cannot be replayed goes out once; its refusal is the caller's, the next call has a new token."""
    source = source_of(api, HEADER)
    with make(source, api.url) as client:
        options = {
            "data" if make.__name__.startswith("requests") else "content": iter([b"a", b"b"])
        }
        assert client.post(f"{api.url}/api", **options).json()["body"] == "ab"
        api.number += 1
        options = {
            "data" if make.__name__.startswith("requests") else "content": iter([b"a", b"b"])
        }
        assert client.post(f"{api.url}/api", **options).status_code == 401
        assert client.get(f"{api.url}/api").status_code == 200


@CLIENTS
def test_an_answer_that_streams_is_left_to_the_caller(api, make):
    """It is not read here, so its words are not seen: the caller gets them."""
    rule = Rejection(body=(("errcode",), ("40001",)))
    source = source_of(api, HEADER, rejected_when=rule)
    with make(source, api.url) as client:
        if make.__name__.startswith("requests"):
            api.by_body = True
            client.get(f"{api.url}/api")
            api.number += 1
            with client.get(f"{api.url}/api", stream=True) as answer:
                assert answer.raw.read() == b'{"errcode":40001}'
        else:
            with client.stream("GET", f"{api.url}/api") as answer:
                assert b"".join(answer.iter_bytes()).startswith(b'{"errcode":0')


@CLIENTS
@pytest.mark.parametrize("attach", [HEADER, QUERY, FORM], ids=["header", "query", "form"])
@pytest.mark.parametrize("status", [302, 307])
def test_no_redirect_carries_the_token_elsewhere(api, elsewhere, make, attach, status):
    """Clients take off Authorization alone: other places are ours to guard."""
    api.elsewhere, api.status = f"{elsewhere.url}/api", status
    source = source_of(api, attach)
    with make(source, api.url) as client:
        follow = {} if make.__name__.startswith("requests") else {"follow_redirects": True}
        with contextlib.suppress(errors.ForeignOriginError):  # refused, or followed without a token
            client.post(f"{api.url}/go", data={"b": "2"}, **follow)
    for request in elsewhere.requests:
        assert "T1" not in request.target
        assert b"T1" not in request.body
        assert "T1" not in str(request.headers)


@pytest.mark.parametrize(
    ("library", "door"),
    [(httpx, tokenlatch.httpx), (httpx2, tokenlatch.httpx2)],
    ids=["httpx", "httpx2"],
)
def test_no_redirect_carries_the_token_elsewhere_in_a_task(api, elsewhere, library, door):
    """The same in asyncio."""
    api.elsewhere = f"{elsewhere.url}/api"
    source = source_of(api, HEADER)

    async def call():
        auth = door.BearerAuth(source, api.url)
        async with library.AsyncClient(auth=auth, follow_redirects=True) as client:
            return await client.get(f"{api.url}/go")

    assert asyncio.run(call()).status_code == 401
    (request,) = elsewhere.requests
    assert "T1" not in str(request.headers)


@CLIENTS
def test_a_request_elsewhere_gets_no_token(api, elsewhere, make):
    """As in the usual way: an error, or anonymous."""
    source = source_of(api, FORM)
    with make(source, api.url) as client, pytest.raises(errors.ForeignOriginError):
        client.post(f"{elsewhere.url}/api", data={"b": "2"})
    with make(source, api.url, foreign="anonymous") as client:
        assert client.post(f"{elsewhere.url}/api", data={"b": "2"}).status_code == 401
    assert not api.requests


DOORS = pytest.mark.parametrize(
    "door",
    [tokenlatch.requests, tokenlatch.httpx, tokenlatch.httpx2],
    ids=lambda door: door.__name__,
)


@DOORS
def test_such_an_auth_is_copied_and_pickled_like_any(api, door):
    """It is the door's BearerAuth by type, compares equal to its copies, and shows no token."""
    provider = Provider(f"{api.url}/token", attach=HEADER)
    grant = ClientCredentials(provider, client_id="app", client_secret="s")
    auth = door.BearerAuth(source=TokenSource(grant), origins=api.url)
    assert isinstance(auth, door.BearerAuth)
    assert type(auth) is not door.BearerAuth
    assert copy.deepcopy(auth) == auth
    twin = pickle.loads(pickle.dumps(auth))
    assert type(twin) is type(auth)
    assert "BearerAuth" in repr(twin)


@DOORS
def test_the_usual_way_is_the_class_itself(api, door):
    """No other class, no other path, for a provider that follows RFC 6750."""
    auth = door.BearerAuth(source_of(api, Provider(f"{api.url}/token").attach), api.url)
    assert type(auth) is door.BearerAuth


@DOORS
def test_a_class_of_the_users_own_is_told(api, door):
    """It inherits the usual way only: better an error than a token in the wrong place."""
    own = type("Own", (door.BearerAuth,), {})
    with pytest.raises(errors.ConfigurationError, match="another way"):
        own(source_of(api, HEADER), api.url)
    assert type(own(source_of(api, Provider(f"{api.url}/token").attach), api.url)) is own


def test_requests_keeps_history_and_hooks(api):
    """The refused answer is in the history; sent again, a prepared request has our hook once."""
    source = source_of(api, QUERY)
    session = requests.Session()
    session.auth = tokenlatch.requests.BearerAuth(source, api.url)
    session.get(f"{api.url}/api")
    api.number += 1
    answer = session.get(f"{api.url}/api")
    assert [each.status_code for each in answer.history] == [401]
    prepared = session.prepare_request(requests.Request("GET", f"{api.url}/api"))
    session.auth(prepared)
    assert len(prepared.hooks["response"]) == 1
    assert prepared.url.count("access_token") == 1


def test_companions_travel_with_the_token(api):
    """WeChat wants openid beside the access token."""
    attach = dataclasses.replace(QUERY, companions={"openid": "openid"})
    source = source_of(api, attach)
    tokens = dataclasses.replace(source.token(), extra={"openid": "o"})
    source.seed(tokens)
    session = requests.Session()
    session.auth = tokenlatch.requests.BearerAuth(source, api.url)
    session.get(f"{api.url}/api")
    assert api.requests[-1].query["openid"] == "o"


@CLIENTS
@pytest.mark.parametrize("attach", [QUERY, FORM], ids=["query", "form"])
def test_other_fields_stay_as_they_were(api, make, attach):
    """Written as the caller wrote them: another encoding is another text for some servers."""
    source = source_of(api, attach)
    mime = {"Content-Type": "application/x-www-form-urlencoded"}
    with make(source, api.url) as client:
        name = "data" if make.__name__.startswith("requests") else "content"
        client.post(f"{api.url}/api?a=%20b&a=2&c", headers=mime, **{name: b"d=%C4%E3%20+&d=2&e"})
    last = api.requests[-1]
    assert last.target.startswith("/api?a=%20b&a=2&c")
    assert last.body.startswith(b"d=%C4%E3%20+&d=2&e")


@CLIENTS
@pytest.mark.parametrize("attach", [FORM, JSON], ids=["form", "json"])
def test_a_field_is_not_sent_in_the_body_of_a_get(api, make, attach):
    """RFC 6750 section 2.2: a GET has no body, so the error says to use POST."""
    source = source_of(api, attach)
    with (
        make(source, api.url) as client,
        pytest.raises(errors.ConfigurationError, match="use POST"),
    ):
        client.get(f"{api.url}/api")
    assert [each.path for each in api.requests] == ["/token"]


@CLIENTS
def test_a_token_goes_into_a_json_object(api, make):
    """Beside the caller's own fields, and in the place of a refused one."""
    source = source_of(api, JSON)
    with make(source, api.url) as client:
        client.post(f"{api.url}/api", json={"a": {"b": [1, "\u4e2d"]}})
        refused, accepted = (json.loads(each.body) for each in api.requests if each.path == "/api")
    assert refused == {"a": {"b": [1, "\u4e2d"]}, "accessToken": "T1"}
    assert accepted == {**refused, "accessToken": "T2"}


@CLIENTS
@pytest.mark.parametrize("body", [b"[1]", b"a=1", b"{"])
def test_a_body_that_is_no_object_is_refused_before_it_is_sent(api, make, body):
    """There is no place for a field in it."""
    source = source_of(api, JSON)
    name = "data" if make.__name__.startswith("requests") else "content"
    with (
        make(source, api.url) as client,
        pytest.raises(errors.ConfigurationError, match="JSON object"),
    ):
        client.post(f"{api.url}/api", **{name: body})
    assert [each.path for each in api.requests] == ["/token"]
