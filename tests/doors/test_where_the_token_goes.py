"""To the origins named and nowhere else: other servers write down what arrived."""

import importlib
from contextlib import suppress
from urllib.parse import quote

import pytest

from tests.doors.conftest import refusing, sent_to, statuses
from tokenlatch import ANY_HTTPS
from tokenlatch.errors import ConfigurationError, ForeignOriginError
from tokenlatch.testing._http import Response


def to(url, status=302):
    """The path of the API's redirect to another URL."""
    return f"/redirect?to={quote(url, safe='')}&status={status}"


def arrived(server):
    """Everything that reached a server, as one text."""
    return repr([(each.request.target, each.request.headers) for each in server.log])


def no_token_in(text, source):
    """No access or refresh token of this source."""
    tokens = source._view.state.tokens
    assert str(tokens.access_token) not in text
    assert str(tokens.refresh_token) not in text


# ------------------------------------------------------------------------------------------------- requests elsewhere


def test_a_request_elsewhere_is_refused(door, server, foreign, source):
    """An absolute URL to another origin raises, and nothing leaves."""
    with pytest.raises(ForeignOriginError, match=foreign.url) as caught:
        door.send(door.auth(source, server.url), "GET", f"{foreign.api_url}?key=sesame")
    assert isinstance(caught.value, door.error)
    assert "sesame" not in str(caught.value)
    assert not foreign.log


def test_a_request_elsewhere_goes_out_anonymous_if_wished(door, server, foreign, source):
    """Without a token, and its 401 is the caller's."""
    auth = door.auth(source, server.url, foreign="anonymous")
    assert door.send(auth, "GET", foreign.api_url).status_code == 401
    assert sent_to(foreign) == [None]
    assert door.send(auth, "GET", server.api_url).status_code == 200
    assert server.counts.token_requests == 0


def test_an_absolute_url_beats_a_base_url(httpx_door, server, foreign, source):
    """The URL that counts is the final one."""
    auth = httpx_door.auth(source, server.url)
    with httpx_door.open(auth, base_url=server.url) as client:
        assert client.get("/api").status_code == 200
        with pytest.raises(ForeignOriginError):
            client.get(foreign.api_url)
    assert not foreign.log


@pytest.mark.parametrize(
    "url",
    [
        "http://{server}@{foreign}/api",
        "http://{server}%2f@{foreign}/api",
        "http://{foreign}/@{server}/api",
        "http://{foreign}#@{server}/api",
        "http://{foreign}?@{server}/api",
        "http://{foreign}\\@{server}/api",
        "http://user:password@{foreign}/api",
    ],
)
def test_a_url_that_only_looks_like_ours(sync_door, server, foreign, source, url):
    """Where the client would really connect is what counts."""
    places = {"server": server.url.split("//")[1], "foreign": foreign.url.split("//")[1]}
    url = url.format(**places)
    auth = sync_door.auth(source, server.url, foreign="anonymous")
    # No client may make anything of it: as good.
    with suppress(sync_door.error, ValueError, TypeError):
        sync_door.send(auth, "GET", url)
    no_token_in(arrived(foreign), source)
    assert all(each.request.path == "/api" for each in server.log if each.request.authorization)


@pytest.mark.parametrize("named", ["the one", "any"])
def test_plain_http_gets_no_token(sync_door, source, named):
    """Not even with ANY_HTTPS: the request fails before a connection is tried."""
    auth = sync_door.auth(source, ANY_HTTPS if named == "any" else "https://api.example")
    with pytest.raises(ForeignOriginError):
        sync_door.send(auth, "GET", "http://api.example/")


def test_a_plain_http_origin_cannot_be_named(sync_door, source):
    """A ConfigurationError at once; loopback is allowed."""
    with pytest.raises(ConfigurationError):
        sync_door.auth(source, "http://api.example")
    sync_door.auth(source, "http://localhost:8000")


def test_any_https_includes_loopback(sync_door, server, foreign, source):
    """For tests and sidecars."""
    auth = sync_door.auth(source, ANY_HTTPS)
    assert sync_door.send(auth, "GET", server.api_url).status_code == 200
    assert sync_door.send(auth, "GET", foreign.api_url).status_code == 401
    assert server.counts.refreshes == 1  # the user said: these are all mine


# ---------------------------------------------------------------------------------------------------------- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_elsewhere_takes_no_token_along(door, server, foreign, source, status):
    """The other port answers 401: it gets nothing, and nobody refreshes."""
    url = server.url + to(foreign.api_url, status)
    answer = door.send(door.auth(source, server.url), "GET", url, follow=True)
    assert answer.status_code == 401
    assert sent_to(foreign) == [None]
    no_token_in(arrived(foreign), source)
    assert server.counts.token_requests == 0


def test_a_redirect_at_home_keeps_the_token(door, server, source):
    """The same origin, another path."""
    url = server.url + to("/api")
    answer = door.send(door.auth(source, server.url), "GET", url, follow=True)
    assert answer.status_code == 200
    assert len({*sent_to(server)}) == 1


def test_a_redirect_elsewhere_and_back_brings_no_token(door, server, foreign, source):
    """Another origin must not choose what is called with our token."""
    foreign._paths["/back"] = lambda _: Response(302, {"Location": f"{server.api_url}/delete"})
    url = server.url + to(f"{foreign.url}/back")
    answer = door.send(door.auth(source, server.url), "GET", url, follow=True)
    assert answer.status_code == 401
    assert sent_to(server, "/api/delete") == [None]
    assert server.counts.token_requests == 0


def test_a_redirect_to_a_second_named_origin_is_not_refreshed_for(door, server, foreign, source):
    """The client took the token off; that 401 is not about it (P7)."""
    auth = door.auth(source, server.url, foreign.url)
    answer = door.send(auth, "GET", server.url + to(foreign.api_url), follow=True)
    assert answer.status_code == 401
    assert sent_to(foreign) == [None]
    assert server.counts.token_requests == 0


def test_a_retry_that_is_redirected_carries_the_new_token(door, server, source):
    """Clients follow redirects from the original request: its header must be new as well."""
    server.expire_now()
    url = server.url + to("/api")
    answer = door.send(door.auth(source, server.url), "GET", url, follow=True)
    assert answer.status_code == 200
    assert sent_to(server, "/api") == [f"Bearer {source.token().access_token}"]
    assert server.counts.refreshes == 1


def test_a_refusal_behind_a_redirect_is_answered(door, server, source, route):
    """First hop accepted, second refused: one refresh, and the caller sees 200."""
    dying = {"left": 1}

    def hop(request):
        if dying["left"]:
            dying["left"] -= 1
            server.expire_now()
            return Response(302, {"Location": "/api"})
        return refusing(server, answer=Response(302, {"Location": "/api"}))(request)

    answer = door.send(door.auth(source, server.url), "GET", route("/hop", hop), follow=True)
    assert answer.status_code == 200
    assert server.counts.refreshes == 1


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_deed_that_was_done_is_not_done_again(door, server, source, route, status):
    """POST accepted, then a redirect to a page that refuses: the POST must not be sent twice."""

    def order(request):
        answer = refusing(server, answer=Response(status, {"Location": "/api"}))(request)
        server.expire_now()
        return answer

    auth = door.auth(source, server.url)
    url = route("/order", order)
    answer = door.send(auth, "POST", url, body=b"one", follow=True)
    assert statuses(server, "/order") == [status]
    assert server.counts.refreshes == 1  # the next call is ready
    # requests sends the page's request again; httpx could only begin at the start, so it does not.
    assert answer.status_code == (200 if door.library == "requests" else 401)


# -------------------------------------------------------------------------------------------------------------- .netrc


@pytest.fixture
def netrc(monkeypatch, tmp_path):
    """An entry for every host on loopback."""
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login intruder password intruder\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))


@pytest.mark.usefixtures("netrc")
def test_netrc_does_not_replace_the_token(door, server, source):
    """Neither at the API, nor at the token endpoint."""
    auth = door.auth(source, server.url)
    server.expire_now()
    assert door.send(auth, "GET", server.api_url).status_code == 200
    assert all(each.startswith("Bearer ") for each in sent_to(server, "/api"))
    assert len(sent_to(server, "/token")) == 1
    assert "Basic YXBwOmFwcC1zZWNyZXQ=" in sent_to(server, "/token")


@pytest.mark.usefixtures("netrc")
def test_netrc_at_a_redirect_costs_no_refresh(door, server, source):
    """Session.rebuild_auth puts a Basic header over ours at each redirect: the 401 is not about our token."""
    url = server.url + to("/api")
    answer = door.send(door.auth(source, server.url), "GET", url, follow=True)
    assert answer.status_code == 200
    assert sent_to(server, "/api")[-1] == f"Bearer {source.token().access_token}"
    assert server.counts.token_requests == 0


@pytest.mark.usefixtures("netrc")
def test_netrc_is_no_help_to_another_origin(door, server, foreign, source):
    """A redirect elsewhere that .netrc answers still gets no token of ours."""
    url = server.url + to(foreign.api_url)
    answer = door.send(door.auth(source, server.url), "GET", url, follow=True)
    assert answer.status_code == 401
    no_token_in(arrived(foreign), source)
    assert server.counts.token_requests == 0


# ------------------------------------------------------------------------------------------------------ the token call


@pytest.mark.parametrize("library", ["RequestsSender", "HttpxSender", "Httpx2Sender"])
def test_a_redirect_of_the_token_endpoint_is_not_followed(make, server, foreign, library):
    """The refresh token and the client's secret stay at home."""
    sender = getattr(importlib.import_module("tokenlatch"), library)()
    source = make(sender=sender)
    server.fail("redirect", to=foreign.token_url)
    with pytest.raises(Exception, match="307"):
        source.refresh()
    assert not foreign.log
    assert server.counts.token_requests == 1
