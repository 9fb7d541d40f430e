"""The senders: what was certainly not sent, what may have been, and that nothing else gets in the way."""

import pickle
import socket
import ssl
import threading
import traceback
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from tokenlatch import (
    ClientCredentials,
    Httpx2Sender,
    HttpxSender,
    RefreshToken,
    RequestsSender,
    TokenSet,
    TokenSource,
)
from tokenlatch import _senders as senders
from tokenlatch._wire import LARGEST_ANSWER, Ask, read_tokens
from tokenlatch.errors import ConfigurationError, TransportError, UnreadableAnswerError
from tokenlatch.testing import AuthorizationServer
from tokenlatch.testing._http import Response

CERTIFICATE = str(Path(__file__).with_name("loopback.pem"))
"""Key and self-signed certificate of 127.0.0.1, good for nothing else."""

SECRETS = ("s3same", "rt-s3cret", "czNzYW1l")


@pytest.fixture(params=[RequestsSender, HttpxSender, Httpx2Sender])
def kind(request):
    """Each sender's class."""
    return request.param


@pytest.fixture
def server():
    """A provider."""
    with AuthorizationServer() as running:
        yield running


def ask_for(url, **form):
    """A token request with secrets in form and header."""
    form = {"grant_type": "refresh_token", "refresh_token": "rt-s3cret"} | form
    return Ask(url, form, {"Authorization": "Basic YXBwOnMzc2FtZQ=="})


def good(server):
    """A request that the provider answers."""
    seed = server.issue()["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": seed}
    return Ask(server.token_url, form, {"Authorization": "Basic YXBwOmFwcC1zZWNyZXQ="})


# -------------------------------------------------------------------------------------------------------- a TLS server


class Secure:
    """A TLS server on loopback whose connections do as ``behave`` says; ``requests`` counts what it could read."""

    def __init__(self, behave):
        self.behave = behave
        self.requests = self.connections = 0
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(CERTIFICATE)
        self._socket = socket.create_server(("127.0.0.1", 0))
        # By name: urllib3 1.26 cannot check the certificate of an IP address with a context of ours.
        self.url = f"https://localhost:{self._socket.getsockname()[1]}/token"
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def _run(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection, suppress(OSError):
                connection.settimeout(10)
                self._talk(connection)

    def _talk(self, connection):
        if self.behave == "plain":
            connection.recv(1)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        with self._context.wrap_socket(connection, server_side=True) as secure:
            if not secure.recv(65536):
                return
            self.requests += 1
            if self.behave == "garbage":
                # Not TLS any more: the client's error is an SSL error, long after the handshake.
                raw = socket.socket(fileno=secure.detach())
                with raw:
                    raw.sendall(b"\x17\x03\x03\x00\x20" + b"\0" * 32)
                    raw.recv(1)
            elif self.behave == "answer":
                body = b'{"access_token": "at-1"}'
                secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                secure.recv(1)


def test_tokens_come_over_tls(kind):
    """With a certificate that was named; each on a connection of its own, for an old one may be dead."""
    with Secure("answer") as server:
        sender = kind(verify=CERTIFICATE)
        for _ in range(2):
            assert sender(ask_for(server.url)).body == b'{"access_token": "at-1"}'
        assert (server.requests, server.connections) == (2, 2)


def test_certificates_named_in_the_environment_count(kind, monkeypatch):
    """As users of companies with a CA of their own expect."""
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    with Secure("answer") as server:
        assert kind()(ask_for(server.url)).status == 200


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_an_unchecked_certificate_is_possible(kind):
    """With verify=False; urllib3 warns."""
    with Secure("answer") as server:
        assert kind(verify=False)(ask_for(server.url)).status == 200


def test_a_context_of_the_users_own(kind):
    """It is used, and not given back."""
    context = ssl.create_default_context(cafile=CERTIFICATE)
    with Secure("answer") as server:
        sender = kind(verify=context)
        for _ in range(2):
            assert sender(ask_for(server.url)).status == 200
            sender.close()


def test_the_context_is_built_once(kind, monkeypatch):
    """To load the certificates takes 20 ms: once, not for each refresh."""
    loaded = []
    load = ssl.SSLContext.load_verify_locations

    def count(self, *args, **kwargs):
        loaded.append(args)
        return load(self, *args, **kwargs)

    with Secure("answer") as server:
        sender = kind(verify=CERTIFICATE)
        sender(ask_for(server.url))
        monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", count)
        for _ in range(3):
            sender(ask_for(server.url))
    assert loaded == []


# ----------------------------------------------------------------------------------------------- never sent, or perhaps


def failure(sender, url):
    """The error of a request."""
    with pytest.raises(TransportError) as caught:
        sender(ask_for(url))
    return caught.value


def free_port():
    """A port at which nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return taken.getsockname()[1]


def test_a_refused_connection_sent_nothing(kind):
    """Nobody listens."""
    error = failure(kind(), f"http://127.0.0.1:{free_port()}/token")
    assert error.sent is False
    assert "refused" in str(error)


def test_an_unknown_name_sent_nothing(kind, monkeypatch):
    """The name has no address."""

    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert failure(kind(), "http://localhost:1/token").sent is False


@pytest.mark.skipif(
    not hasattr(socket, "AF_UNIX"), reason="other systems refuse instead of waiting"
)
def test_a_connection_that_hangs_sent_nothing(kind):
    """The connect timeout is short: the queue of the listener is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for each in fillers:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/token"
        assert failure(kind(connect=0.1), url).sent is False
        for each in fillers:
            each.close()


@pytest.mark.parametrize(
    ("behave", "options"),
    [
        pytest.param("answer", {}, id="an unknown certificate"),
        pytest.param("plain", {"verify": CERTIFICATE}, id="no TLS there"),
    ],
)
def test_a_failed_handshake_sent_nothing(kind, behave, options):
    """It can be tried again."""
    with Secure(behave) as server:
        assert failure(kind(**options), server.url).sent is False
        assert server.requests == 0


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/token", "https://127.0.0.1:9/token"])
def test_a_proxy_that_is_not_there_sent_nothing(kind, url):
    """Nor anything through it."""
    assert failure(kind(proxy=f"http://127.0.0.1:{free_port()}"), url).sent is False


@pytest.mark.parametrize(
    "options",
    [
        {"verify": "/nowhere"},
        {"verify": __file__},
        {"cert": "/nowhere"},
        {"cert": (__file__, __file__)},
    ],
    ids=["no bundle", "no certificates in it", "no certificate", "no key in it"],
)
def test_certificates_that_cannot_be_read_are_a_setting(kind, options):
    """Nothing was sent, so nothing is in doubt."""
    with pytest.raises(ConfigurationError, match="certificates"):
        kind(**options)(ask_for("https://127.0.0.1:9/token"))


@pytest.mark.parametrize("behave", ["garbage", "hang up"])
def test_tls_that_breaks_later_leaves_a_doubt(kind, behave):
    """The request was read: an SSL error now must not make it be sent again."""
    with Secure(behave) as server:
        assert failure(kind(verify=CERTIFICATE), server.url).sent is True
        assert server.requests == 1


@pytest.mark.parametrize("fault", ["drop", "drop_before", "cut"])
def test_a_lost_answer_leaves_a_doubt(kind, server, fault):
    """Nobody knows whether the provider had rotated."""
    server.fail(fault)
    assert failure(kind(), server.token_url).sent is True
    assert server.counts.token_requests == 1


def test_silence_leaves_a_doubt(kind, server):
    """The read timeout is long, but it ends."""
    with server.hold():
        error = failure(kind(read=0.1), server.token_url)
    assert error.sent is True


@pytest.mark.parametrize("fault", ["trickle", "trickle_headers"])
def test_a_trickling_answer_keeps_the_total_deadline(kind, server, fault):
    """Each byte keeps the read timeout alive; the total is what ends it."""
    server.fail(fault, seconds=0.05)
    error = failure(kind(total=0.3), server.token_url)
    assert error.sent is True
    assert "within 0.3 s" in str(error)


def test_a_doubtful_request_is_sent_once(kind):
    """Through the whole dance: the refresh token leaves this house once, whatever TLS says."""
    with Secure("garbage") as server:
        asked = RefreshToken(server.url, client_id="app", refresh_token="rt-s3cret")
        source = TokenSource(asked, sender=kind(verify=CERTIFICATE))
        source.seed(source_tokens())
        with pytest.raises(TransportError):
            source.refresh()
        assert server.requests == 1


def source_tokens():
    """A valid token set."""
    return TokenSet("at-0", refresh_token="rt-s3cret", expires_at=4e9)


# ------------------------------------------------------------------------------------------------------------- answers


def test_an_answer_comes_as_it_is(kind, server):
    """Status, headers in lower case, raw body."""
    answer = kind()(good(server))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert read_tokens(answer, 0.0).access_token.startswith("at-")


@pytest.mark.parametrize("fault", ["huge", "gzip_bomb"])
def test_a_huge_answer_is_cut(kind, server, fault):
    """Read to the largest and not further; then it is no answer."""
    server.fail(fault, size=8)
    answer = kind()(good(server))
    assert len(answer.body) <= LARGEST_ANSWER + 65536
    assert isinstance(read_tokens(answer, 0.0), UnreadableAnswerError)


def test_an_error_status_is_an_answer(kind, server):
    """With its body and headers."""
    server.fail("429", retry_after=7)
    answer = kind()(good(server))
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(kind, server, status):
    """Secret and refresh token stay here."""
    with AuthorizationServer() as foreign:
        server.fail("redirect", to=foreign.token_url, status=status)
        assert kind()(good(server)).status == status
        assert not foreign.log


# -------------------------------------------------------------------------------------------- nothing gets in the way


def test_netrc_is_not_read(kind, server, monkeypatch, tmp_path):
    """Neither instead of our header, nor where we send none."""
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login intruder password intruder\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    kind()(good(server))
    kind()(Ask(server.token_url, {"client_id": "app"}))
    sent = [each.request.authorization for each in server.log]
    assert sent == ["Basic YXBwOmFwcC1zZWNyZXQ=", None]


def test_cookies_do_not_stay(kind, server):
    """Each request is the first."""
    server._paths["/cookie"] = lambda _: Response(200, {"Set-Cookie": "a=b"}, b"{}")
    sender = kind()
    for _ in range(2):
        sender(Ask(f"{server.url}/cookie"))
    assert "cookie" not in server.log[-1].request.headers


def test_a_proxy_is_used(kind, server):
    """The one named."""
    answer = kind(proxy=server.url)(Ask("http://127.0.0.1:9/token"))
    assert answer.status == 404
    assert server.log[-1].request.target == "http://127.0.0.1:9/token"


def test_a_stuck_thread_limit_does_not_stop_a_request(kind, server, monkeypatch):
    """Where no thread can be had, the caller sends."""

    def no_thread(_):
        raise RuntimeError("can't start new thread")

    asked = good(server)
    threads = SimpleNamespace(Thread=type("Thread", (threading.Thread,), {"start": no_thread}))
    monkeypatch.setattr(senders, "threading", threads)
    assert kind()(asked).status == 200


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("fault", ["drop", "cut"])
def test_an_error_holds_no_secret_and_no_request(kind, server, fault):
    """Not in text, repr, args, cause, context, pickle, nor a traceback with locals."""
    server.fail(fault)
    error = failure(kind(), server.token_url)
    shown = [pickle.dumps(error).decode("latin-1")]
    each = error
    while each:
        assert vars(each).get("request", vars(each).get("_request")) is None
        assert getattr(each, "response", None) is None
        shown += [str(each), repr(each), repr(each.args), repr(vars(each))]
        each = each.__cause__ or each.__context__
    whole = traceback.TracebackException.from_exception(error, capture_locals=True)
    shown += whole.format()
    assert not [secret for secret in SECRETS if secret in "".join(shown)]


def test_an_error_names_its_cause(kind):
    """The client's own kind of error, and the system's words."""
    error = failure(kind(), f"http://127.0.0.1:{free_port()}/token")
    assert type(error.__cause__).__module__.split(".")[0] in kind.__name__.lower()
    assert error.__cause__.__cause__ is None


def test_an_error_through_the_source_holds_no_secret(kind, server):
    """After its way through the flight to the caller."""
    server.fail("drop", times=None)
    asked = ClientCredentials(server.token_url, client_id="app", client_secret="s3same")
    with pytest.raises(TransportError) as caught:
        TokenSource(asked, sender=kind()).token()
    whole = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert not [secret for secret in SECRETS if secret in "".join(whole.format())]


# ------------------------------------------------------------------------------------------------------------- choosing


@pytest.mark.parametrize(
    ("imported", "installed", "chosen"),
    [
        ({"httpx"}, {"requests", "httpx", "httpx2"}, HttpxSender),
        ({"httpx2"}, {"requests", "httpx", "httpx2"}, Httpx2Sender),
        ({"requests", "httpx"}, {"requests", "httpx"}, RequestsSender),
        (set(), {"httpx", "httpx2"}, HttpxSender),
        (set(), {"httpx2"}, Httpx2Sender),
        (set(), {"requests"}, RequestsSender),
    ],
)
def test_the_library_in_use_is_chosen(monkeypatch, imported, installed, chosen):
    """One that is imported already, else one that is installed."""
    monkeypatch.setattr(senders, "sys", SimpleNamespace(modules=dict.fromkeys(imported)))
    monkeypatch.setattr(senders, "find_spec", lambda name: name in installed)
    assert type(senders.default_sender()) is chosen


def test_without_any_library_it_says_what_to_install(monkeypatch):
    """A ConfigurationError."""
    monkeypatch.setattr(senders, "sys", SimpleNamespace(modules={}))
    monkeypatch.setattr(senders, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="pip install"):
        senders.default_sender()


def test_a_sender_pickles_without_its_context(kind):
    """Settings travel."""
    sender = kind(total=7.0, verify=CERTIFICATE)
    sender._tls()
    twin = pickle.loads(pickle.dumps(sender))
    assert (type(twin), twin.total, twin.verify, twin._context) == (kind, 7.0, CERTIFICATE, None)
    assert repr(twin) == f"{kind.__name__}(total=7.0)"
