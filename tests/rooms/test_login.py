"""A login in this machine's browser: only its own redirect ends it, and nothing of that redirect is shown or logged.

The browser of these tests is ``open_url``: it is called when the listener listens already, and the login goes on when
it returns. So every request has its answer before the next, and nothing has to be waited for.
"""

import socket
import threading
import webbrowser
from contextlib import closing, suppress
from dataclasses import replace
from http.client import HTTPConnection, RemoteDisconnected
from urllib.parse import parse_qs, urlsplit

import pytest

from tokenlatch import AuthorizationCode, ClientCredentials, FileStore, TokenSource, errors
from tokenlatch._login import _Answer, login_in_browser
from tokenlatch.providers import HUAWEI, SINA_CLOUD
from tokenlatch.testing import HuaweiServer, SinaCloudServer

ISSUER = "https://oauth-login.cloud.huawei.com"
APP = {"client_id": "107408391", "client_secret": "caa9b93ef209", "scope": "openid"}


@pytest.fixture
def huawei():
    with HuaweiServer() as server:
        yield server


@pytest.fixture
def provider(huawei):
    page = replace(HUAWEI.authorize, url=huawei.authorize_url)
    return replace(HUAWEI, token_url=huawei.token_url, authorize=page, issuer=ISSUER)


@pytest.fixture
def source(provider, tmp_path):
    grant = AuthorizationCode(provider, **APP)
    with TokenSource(grant, store=FileStore(tmp_path / "token.json")) as source:
        yield source


class Browser:
    """Opens the login page as a person would, and comes back in ways that the test says.

    Attributes:
        answers: Status, headers and page of every visit to the listener.
        back: The request target that a person's browser would come back with.
    """

    def __init__(self, huawei, come_back):
        self.huawei, self.come_back = huawei, come_back
        self.answers = []

    def __call__(self, url):
        self.url = url
        self.redirect_uri = parse_qs(urlsplit(url).query)["redirect_uri"][0]
        self.huawei.callbacks = {self.redirect_uri}
        self.netloc = urlsplit(self.redirect_uri).netloc
        self.port = urlsplit(self.redirect_uri).port
        location = urlsplit(fetch(urlsplit(url))[1]["Location"])
        self.path, self.back = location.path, location._replace(scheme="", netloc="").geturl()
        self.state = parse_qs(urlsplit(url).query)["state"][0]
        self.code = parse_qs(location.query).get("code", [None])[0]
        self.come_back(self)

    def visit(self, target, method="GET", headers=()):
        """Return the status of one request to the listener; a browser keeps the fragment."""
        answer = fetch(urlsplit(f"http://{self.netloc}{target}"), method, headers)
        self.answers.append(answer)
        return answer[0]


def fetch(url, method="GET", headers=()):
    """Return status, headers and body of one request, with these headers and no others if there are any."""
    with closing(HTTPConnection("127.0.0.1", url.port, timeout=10)) as connection:
        connection.putrequest(
            method, url._replace(scheme="", netloc="", fragment="").geturl(), skip_host=True
        )
        for name, value in headers or [("Host", url.netloc)]:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()


def came_back(browser):
    """Come back as the provider said."""
    assert browser.visit(browser.back) == 200


def exchanges(huawei):
    return sum(request.path.endswith("/token") for request in huawei.requests)


# ------------------------------------------------------------------------------------------------------ one success


def test_row_73_a_login(source, huawei, capfd, caplog):
    """The tokens are in the store; no page, log or stream has anything of the redirect."""
    caplog.set_level(0)
    browser = Browser(huawei, came_back)
    tokens = login_in_browser(source, open_url=browser, display="page")
    assert source.token().access_token == tokens.access_token
    assert source.status().has_refresh_token
    assert urlsplit(browser.redirect_uri).hostname == "127.0.0.1"
    assert "display=page" in browser.url
    [(_, headers, page)] = browser.answers
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"] == "default-src 'none'"
    query = urlsplit(browser.back).query
    secrets = [query, browser.code, browser.state, tokens.access_token, tokens.refresh_token]
    said = page + caplog.text + "".join(capfd.readouterr())
    assert [secret for secret in secrets if secret in said] == []


def host(browser):
    return ("Host", browser.netloc)


STRAYS = {
    "the icon": (404, lambda b: b.visit("/favicon.ico")),
    "another path": (404, lambda b: b.visit(b.back.replace(b.path, "/"))),
    "a longer path": (404, lambda b: b.visit(b.back.replace(b.path, f"{b.path}/x"))),
    "a foreign host": (404, lambda b: b.visit(b.back, headers=[("Host", "attacker.example")])),
    "localhost": (404, lambda b: b.visit(b.back, headers=[("Host", f"localhost:{b.port}")])),
    "another port": (404, lambda b: b.visit(b.back, headers=[("Host", "127.0.0.1:1")])),
    "no host": (404, lambda b: b.visit(b.back, headers=[("Accept", "*/*")])),
    "two hosts": (404, lambda b: b.visit(b.back, headers=[host(b), host(b)])),
    "a prefetch": (404, lambda b: b.visit(b.back, headers=[host(b), ("Purpose", "prefetch")])),
    "a prerender": (
        404,
        lambda b: b.visit(b.back, headers=[host(b), ("Sec-Purpose", "prefetch;prerender")]),
    ),
    "an image": (404, lambda b: b.visit(b.back, headers=[host(b), ("Sec-Fetch-Dest", "image")])),
    "POST": (501, lambda b: b.visit(b.back, "POST")),
    "HEAD": (501, lambda b: b.visit(b.back, "HEAD")),
    "wrong state": (400, lambda b: b.visit(b.back.replace(b.state, "other"))),
    "no state": (400, lambda b: b.visit(b.back.replace("state=", "other="))),
    "wrong iss": (400, lambda b: b.visit(f"{b.back}&iss=https://evil.example")),
    "a refusal of another login": (
        400,
        lambda b: b.visit(f"{b.path}?error=access_denied&state=other"),
    ),
}


@pytest.mark.parametrize(("status", "stray"), STRAYS.values(), ids=STRAYS)
def test_row_73_strays_end_nothing(source, huawei, status, stray):
    """Each is refused, buys nothing, and the login goes on."""

    def come_back(browser):
        assert stray(browser) == status
        assert exchanges(huawei) == 0
        came_back(browser)

    assert login_in_browser(source, open_url=Browser(huawei, come_back)).refresh_token


def test_row_73_what_is_no_http_ends_nothing(source, huawei):
    """It is refused without being repeated, and nothing is printed."""

    def come_back(browser):
        with socket.create_connection(("127.0.0.1", browser.port), 10) as line:
            line.sendall(b"<script> is no request\r\n\r\n")
            assert b"<script>" not in line.makefile("rb").read()
        came_back(browser)

    assert login_in_browser(source, open_url=Browser(huawei, come_back)).refresh_token


def test_row_73_a_second_hit_finds_the_login_over(source, huawei):
    """A reload gets a page that says so; the code is exchanged once."""

    def come_back(browser):
        came_back(browser)
        assert browser.visit(browser.back) == 410
        assert browser.visit(browser.path) == 410

    assert login_in_browser(source, open_url=Browser(huawei, come_back)).refresh_token
    assert exchanges(huawei) == 1


def test_row_73_of_hits_at_once_one_succeeds(source, huawei, monkeypatch):
    """Eight come back together, and would meet inside if two were let in."""
    read, inside = AuthorizationCode.read, threading.Barrier(2, timeout=0.2)

    def slow_read(*arguments):
        with suppress(threading.BrokenBarrierError):
            inside.wait()
        return read(*arguments)

    def come_back(browser):
        hits = [threading.Thread(target=browser.visit, args=(browser.back,)) for _ in range(8)]
        for each in hits:
            each.start()
        for each in hits:
            each.join()
        assert sorted(answer[0] for answer in browser.answers) == [200] + [410] * 7

    monkeypatch.setattr(AuthorizationCode, "read", slow_read)
    assert login_in_browser(source, open_url=Browser(huawei, come_back)).refresh_token
    assert exchanges(huawei) == 1


def test_row_73_a_silent_connection_holds_nobody(source, huawei):
    """Browsers open spare connections: the listener serves beside them and ends before them."""
    spare = []

    def come_back(browser):
        spare.append(socket.create_connection(("127.0.0.1", browser.port), 10))
        came_back(browser)

    browser = Browser(huawei, come_back)
    assert login_in_browser(source, open_url=browser).refresh_token
    with spare[0] as line:
        line.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody waited until it was given up
            line.recv(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", browser.port), 10)


def test_row_73_what_goes_wrong_is_not_printed(source, huawei, monkeypatch, capfd):
    """http.server would print a traceback, or the request that broke."""

    def broken_read(*_):
        raise RuntimeError

    def come_back(browser):
        with monkeypatch.context() as patch:
            patch.setattr(_Answer, "timeout", 0.01)
            with socket.create_connection(("127.0.0.1", browser.port), 10) as line:
                assert line.recv(1) == b""  # given up
        with monkeypatch.context() as patch:
            patch.setattr(AuthorizationCode, "read", broken_read)
            with pytest.raises(RemoteDisconnected):
                browser.visit(browser.back)
        came_back(browser)

    assert login_in_browser(source, open_url=Browser(huawei, come_back)).refresh_token
    assert capfd.readouterr() == ("", "")


# --------------------------------------------------------------------------------------------------------- refusals


def test_row_73_a_refusal_ends_the_login(source, huawei):
    """The typed error for the program; the provider's words, escaped, for the person."""
    said = "error=access_denied&error_description=%3Cscript%3Ealert(1)%3C/script%3E"
    browser = Browser(huawei, lambda b: b.visit(f"{b.path}?{said}&state={b.state}"))
    with pytest.raises(errors.ReauthorizationRequired) as caught:
        login_in_browser(source, open_url=browser)
    assert caught.value.error == "access_denied"
    [(status, _, page)] = browser.answers
    assert status == 400
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert exchanges(huawei) == 0


def test_row_73_a_refusal_behind_a_fragment(source, huawei):
    """Huawei's never reaches a server: the bare callback is the refusal."""
    huawei.consents = False
    browser = Browser(huawei, lambda b: b.visit(b.back))
    with pytest.raises(errors.ReauthorizationRequired, match="refused") as caught:
        login_in_browser(source, open_url=browser)
    assert caught.value.error == "access_denied"
    assert browser.answers[0][0] == 400


def test_row_73_nobody_comes(source, huawei):
    """After the deadline the error says what to do, and nobody listens any more."""
    browser = Browser(huawei, lambda b: b.visit("/favicon.ico"))
    with pytest.raises(errors.ReauthorizationRequired, match="within 0 s: begin again"):
        login_in_browser(source, open_url=browser, timeout=0.0)
    with pytest.raises(ConnectionRefusedError):
        browser.visit(browser.back)


# ------------------------------------------------------------------------------------------------------ the browser


def no_browser(_):
    raise webbrowser.Error


@pytest.mark.parametrize("open_url", [no_browser, lambda _: False], ids=["error", "false"])
def test_row_73_no_browser(source, huawei, capfd, open_url):
    """A person who is told the URL opens it by hand; without that there is nothing to wait for."""
    with pytest.raises(errors.ConfigurationError, match="on_url"):
        login_in_browser(source, open_url=open_url)
    told = Browser(huawei, came_back)
    assert login_in_browser(source, open_url=open_url, on_url=told).refresh_token
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://idp.example/page", "https://idp.example/a b", "calc.exe"]
)
def test_row_73_only_web_pages_are_opened(source, url):
    """CVE-2025-6514: even where the record, which refuses these URLs too, was got around."""
    object.__setattr__(source.grant.page, "url", url)
    with pytest.raises(errors.ConfigurationError, match="authorization page"):
        login_in_browser(source, open_url=lambda _: pytest.fail("opened"))


# ------------------------------------------------------------------------------------------------- the redirect_uri


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_row_73_a_registered_path_gets_a_free_port(provider, huawei, name):
    """RFC 8252 section 7.3: the provider compares all but the port."""
    source = TokenSource(AuthorizationCode(provider, redirect_uri=f"http://{name}/cb", **APP))
    browser = Browser(huawei, came_back)
    assert login_in_browser(source, open_url=browser).refresh_token
    assert browser.redirect_uri == f"http://{name}:{browser.port}/cb"


def test_row_73_a_registered_port_is_used_again_and_again(provider, huawei):
    """A fixed redirect_uri is sent as it is; the connections of the last login do not block the next."""
    uri = f"http://127.0.0.1:{free_port()}/cb"
    source = TokenSource(AuthorizationCode(provider, redirect_uri=uri, **APP))
    for _ in range(2):
        browser = Browser(huawei, came_back)
        assert login_in_browser(source, open_url=browser).refresh_token
        assert browser.redirect_uri == uri


def test_row_73_a_provider_that_knows_its_callback(tmp_path):
    """Sina: the redirect_uri is in its settings, so none is sent; the port has to be the registered one."""
    with SinaCloudServer() as sina:
        sina.callback = f"http://127.0.0.1:{free_port()}/cb"
        page = replace(SINA_CLOUD.authorize, url=sina.authorize_url)
        grant = AuthorizationCode(
            replace(SINA_CLOUD, token_url=sina.token_url, authorize=page),
            client_id="CLIENT_ID",
            client_secret="CLIENT_SECRET",
            redirect_uri=sina.callback,
        )

        def browser(url):
            location = fetch(urlsplit(url))[1]["Location"]
            assert fetch(urlsplit(location))[0] == 200

        source = TokenSource(grant, store=FileStore(tmp_path / "token.json"))
        assert login_in_browser(source, open_url=browser).refresh_token
        assert "redirect_uri" not in sina.requests[-1].form


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/cb",
        "http://0.0.0.0:8000/cb",
        "http://127.0.0.2:8000/cb",
        "https://127.0.0.1:8000/cb",
        "http://127.0.0.1:99999/cb",
    ],
)
def test_row_73_a_redirect_uri_elsewhere_is_refused(provider, uri):
    """Nobody could listen there, or somebody else might."""
    source = TokenSource(AuthorizationCode(provider, redirect_uri=uri, **APP))
    with pytest.raises(errors.ConfigurationError, match="not on this machine"):
        login_in_browser(source, open_url=lambda _: pytest.fail("opened"))


def test_row_73_a_port_that_is_taken_is_not_shared(provider):
    """The other program would get the code."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        uri = f"http://127.0.0.1:{held.getsockname()[1]}/cb"
        source = TokenSource(AuthorizationCode(provider, redirect_uri=uri, **APP))
        with pytest.raises(errors.ConfigurationError, match="cannot be listened on"):
            login_in_browser(source, open_url=lambda _: pytest.fail("opened"))


def test_row_73_a_grant_without_a_page(provider):
    """The error says which grant to use."""
    source = TokenSource(ClientCredentials(provider, client_id="1", client_secret="s"))
    with pytest.raises(errors.ConfigurationError, match="AuthorizationCode"):
        login_in_browser(source)
