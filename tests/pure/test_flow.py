"""The auth flows driven by hand, without any client: ``next(flow)``, ``flow.send(response)``."""

import io

import httpx
import httpx2
import pytest
import requests

from tokenlatch import Custom, TokenSet, TokenSource
from tokenlatch.errors import ForeignOriginError, ProviderError, ReauthorizationRequired
from tokenlatch.httpx import BearerAuth as HttpxAuth
from tokenlatch.httpx2 import BearerAuth as Httpx2Auth
from tokenlatch.requests import BearerAuth as RequestsAuth

API = "https://api.example"
OLD, NEW = TokenSet("at-old"), TokenSet("at-new")


class Script(TokenSource):
    """A source that answers from a list, and notes what it was asked."""

    def __init__(self, *answers):
        super().__init__(Custom(lambda _: OLD))
        self.answers = list(answers)
        self.asked = []
        self.proven = []

    def token(self, rejected=None):
        """Return or raise the next answer."""
        self.asked.append(rejected)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def atoken(self, rejected=None):
        """Do the same for a task."""
        return self.token(rejected)

    @property
    def unproven(self):
        """Be always curious."""
        return True

    def accepted(self, access_token):
        """Note it."""
        self.proven.append(access_token)


class Flow:
    """One flow, sync or async, stepped by hand."""

    def __init__(self, auth, request, how):
        self.flow = auth.sync_auth_flow(request) if how == "sync" else auth.async_auth_flow(request)
        self.how = how

    def step(self, response=None):
        """Return what the flow sends next, or None when it has ended."""
        try:
            if self.how == "sync":
                return self.flow.send(response)
            self.flow.asend(response).send(None)  # nothing in it really waits
        except StopIteration as stop:
            return stop.value
        except StopAsyncIteration:
            return None


@pytest.fixture(params=["sync", "async"])
def how(request):
    """Both twins."""
    return request.param


@pytest.fixture(params=[(httpx, HttpxAuth), (httpx2, Httpx2Auth)], ids=["httpx", "httpx2"])
def kin(request):
    """A library and its door."""
    return request.param


@pytest.fixture
def begin(kin, how):
    """Begin a flow over a request."""

    def begin(source, url=f"{API}/x", method="GET", foreign="raise", **options):
        library, door = kin
        request = library.Request(method, url, **options)
        return Flow(door(source, API, foreign=foreign), request, how), request

    return begin


@pytest.fixture
def answer(kin):
    """Make an answer to a request."""

    def answer(status, request, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return kin[0].Response(status, headers=named, request=request)

    return answer


def test_attach_and_end(begin, answer):
    """One request with the token; a good answer ends the flow and proves the token."""
    source = Script(OLD)
    flow, request = begin(source)
    sent = flow.step()
    assert sent is request
    assert sent.headers["Authorization"] == "Bearer at-old"
    assert flow.step(answer(200, sent)) is None
    assert (source.asked, source.proven) == ([None], ["at-old"])


def test_refused_refreshed_sent_again(begin, answer):
    """The source learns which token was refused; the second answer ends the flow, whatever it is."""
    source = Script(OLD, NEW)
    flow, _ = begin(source)
    sent = flow.step()
    again = flow.step(answer(401, sent))
    assert again.headers["Authorization"] == "Bearer at-new"
    assert flow.step(answer(401, again)) is None
    assert (source.asked, source.proven) == ([None, "at-old"], [])


def test_the_same_token_again_is_not_sent_again(begin, answer):
    """The 401 is the caller's."""
    flow, _ = begin(Script(OLD, OLD))
    sent = flow.step()
    assert flow.step(answer(401, sent)) is None


@pytest.mark.parametrize("status", [200, 302, 400, 403, 407, 500])
def test_only_a_401_is_a_refusal(begin, answer, status):
    """Everything else means that the token was taken."""
    source = Script(OLD)
    flow, _ = begin(source)
    assert flow.step(answer(status, flow.step(), www_authenticate="Bearer")) is None
    assert source.proven == ["at-old"]


def test_another_error_in_the_challenge(begin, answer):
    """It is not about the token's life, nor does it prove the token."""
    source = Script(OLD)
    flow, _ = begin(source)
    refusal = answer(401, flow.step(), www_authenticate='Bearer error="insufficient_scope"')
    assert flow.step(refusal) is None
    assert (source.asked, source.proven) == ([None], [])


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        pytest.param("https://evil.example/", {}, id="another host, no token"),
        pytest.param(
            "https://evil.example/", {"Authorization": "Bearer at-old"}, id="with a token"
        ),
        pytest.param("http://api.example/", {"Authorization": "Bearer at-old"}, id="plain http"),
        pytest.param("https://api.example:8443/", {"Authorization": "Bearer at-old"}, id="a port"),
        pytest.param(f"{API}/y", {}, id="our host, no token"),
        pytest.param(f"{API}/y", {"Authorization": "Bearer other"}, id="another token"),
    ],
)
def test_a_401_that_is_not_about_our_token(kin, begin, answer, url, headers):
    """After redirects the last request counts."""
    source = Script(OLD)
    flow, _ = begin(source)
    flow.step()
    last = kin[0].Request("GET", url, headers=headers)
    assert flow.step(answer(401, last)) is None
    assert source.asked == [None]


def test_the_original_request_is_sent_again_not_the_last(kin, begin, answer):
    """A redirect's request belongs to the client."""
    flow, request = begin(Script(OLD, NEW))
    sent = flow.step()
    last = kin[0].Request("GET", f"{API}/y", headers=sent.headers)
    again = flow.step(answer(401, last))
    assert again is request
    assert str(again.url) == f"{API}/x"


def test_a_deed_behind_a_redirect_is_not_repeated(kin, begin, answer):
    """POST became GET: the POST was acted on."""
    source = Script(OLD, NEW)
    flow, _ = begin(source, method="POST", content=b"x")
    sent = flow.step()
    last = kin[0].Request("GET", f"{API}/y", headers={"Authorization": "Bearer at-old"})
    assert flow.step(answer(401, last)) is None
    assert source.asked == [None, "at-old"]
    del sent


@pytest.mark.parametrize("error", [ReauthorizationRequired("No."), ProviderError("Later.")])
def test_no_token_at_first(kin, begin, error):
    """Nothing is sent; the error is the library's own too."""
    flow, _ = begin(Script(error))
    with pytest.raises(type(error)) as caught:
        flow.step()
    assert isinstance(caught.value, kin[0].RequestError)
    assert str(caught.value.request.url) == f"{API}/x"


def test_no_token_after_a_refusal(kin, begin, answer):
    """An error for what could have been sent again."""
    flow, _ = begin(Script(OLD, ProviderError("Later.")), method="POST", content=b"x")
    with pytest.raises(ProviderError) as caught:
        flow.step(answer(401, flow.step()))
    assert isinstance(caught.value, kin[0].RequestError)
    assert not caught.value.request.headers.get("Authorization")


def test_no_token_after_a_refusal_of_a_stream(begin, answer, how):
    """The 401 for what could not."""

    async def chunks():
        yield b"x"

    content = chunks() if how == "async" else iter([b"x"])
    flow, _ = begin(Script(OLD, ProviderError("Later.")), method="POST", content=content)
    assert flow.step(answer(401, flow.step())) is None


def test_a_stream_refreshes_but_is_not_sent_again(begin, answer, how):
    """The next call has the new token."""

    async def chunks():
        yield b"x"

    source = Script(OLD, NEW)
    content = chunks() if how == "async" else iter([b"x"])
    flow, _ = begin(source, method="POST", content=content)
    assert flow.step(answer(401, flow.step())) is None
    assert source.asked == [None, "at-old"]


def test_a_file_is_put_back_where_it_stood(kin, answer):
    """Position 3, and position 0."""
    library, door = kin
    for start in (3, 0):
        file = io.BytesIO(b"0123456789")
        file.seek(start)
        request = library.Request("PUT", f"{API}/x", content=file)
        flow = Flow(door(Script(OLD, NEW), API), request, "sync")
        sent = flow.step()
        assert file.tell() == start
        file.read()
        assert flow.step(answer(401, sent)) is request
        assert file.tell() == start


def test_elsewhere_raises(kin, begin):
    """Before the source is asked."""
    source = Script()
    flow, _ = begin(source, url="https://evil.example/?key=sesame")
    with pytest.raises(ForeignOriginError) as caught:
        flow.step()
    assert isinstance(caught.value, kin[0].RequestError)
    assert "sesame" not in str(caught.value)
    assert source.asked == []


def test_elsewhere_anonymous(begin, answer):
    """The request goes out as it is, and its 401 ends the flow."""
    source = Script()
    flow, request = begin(source, url="https://evil.example/", foreign="anonymous")
    assert flow.step() is request
    assert "Authorization" not in request.headers
    assert flow.step(answer(401, request)) is None
    assert source.asked == []


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_flow_can_be_closed_at_any_point(begin, answer, how, steps):
    """Nothing is held, nobody is asked any more."""
    source = Script(OLD, NEW)
    flow, request = begin(source)
    for number in range(steps):
        flow.step(answer(401, request) if number else None)
    if how == "sync":
        flow.flow.close()
    else:
        with pytest.raises(StopIteration):
            flow.flow.aclose().send(None)
    assert len(source.asked) == steps


# --------------------------------------------------------------------------------------- the hook of requests, by hand


class Line:
    """A connection that answers from a list, and notes what was sent."""

    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.sent = []

    def send(self, request, **options):
        """Answer."""
        self.sent.append((request.headers.get("Authorization"), options))
        return self.answer(request, self.statuses.pop(0))

    def answer(self, request, status, **headers):
        """Make an answer."""
        response = requests.Response()
        response.status_code, response.request, response.connection = status, request, self
        response.url, response.raw = request.url, io.BytesIO(b"no")
        response.headers.update(headers)
        return response


def prepared(source, url=f"{API}/x", *, foreign="raise", **options):
    """A request with the token and the hook."""
    auth = RequestsAuth(source, API, foreign=foreign)
    return requests.Request("POST", url, auth=auth, **options).prepare()


def heard(request, response, **options):
    """What the hooks make of an answer."""
    for hook in request.hooks["response"]:
        answer = hook(response, **options)
        response = response if answer is None else answer  # a 401 is false, says requests
    return response


def test_the_hook_sends_again_through_the_same_connection():
    """With the same options, once."""
    source, line = Script(OLD, NEW), Line(401)
    request = prepared(source, data=b"x")
    first = line.answer(request, 401)
    last = heard(request, first, timeout=3, verify="ca", proxies={})
    assert line.sent == [("Bearer at-new", {"timeout": 3, "verify": "ca", "proxies": {}})]
    assert last.history == [first]
    assert source.asked == [None, "at-old"]


def test_the_hook_leaves_other_answers_alone():
    """Not a 401, not our origin, not our token, not a refusal."""
    cases = [
        (f"{API}/x", "Bearer at-old", 403, None),
        ("https://evil.example/", "Bearer at-old", 401, None),
        ("http://api.example/", "Bearer at-old", 401, None),
        (f"{API}:8443/", "Bearer at-old", 401, None),
        (f"{API}/x", None, 401, None),
        (f"{API}/x", "Bearer at-old", 401, 'Bearer error="insufficient_scope"'),
    ]
    for url, header, status, challenge in cases:
        source, line = Script(OLD), Line()
        request = prepared(source)
        hop = request.copy()
        hop.url = url
        hop.headers.pop("Authorization")
        if header:
            hop.headers["Authorization"] = header
        answer = line.answer(hop, status)
        if challenge:
            answer.headers["WWW-Authenticate"] = challenge
        assert heard(request, answer) is answer
        assert (source.asked, line.sent) == ([None], [])


def test_the_hook_puts_our_header_back_without_a_refresh():
    """A .netrc entry took its place at a redirect: that 401 is not about our token."""
    source, line = Script(OLD, OLD), Line(200)
    request = prepared(source)
    hop = request.copy()
    hop.headers["Authorization"] = "Basic intruder"
    assert heard(request, line.answer(hop, 401)).status_code == 200
    assert source.asked == [None, None]
    assert line.sent[0][0] == "Bearer at-old"


def test_the_hook_does_not_send_a_stream_again():
    """A generator, and an object that reads once."""
    for body in (iter([b"x"]), (chunk for chunk in [b"x"])):
        source, line = Script(OLD, NEW), Line()
        request = prepared(source, data=body)
        assert heard(request, line.answer(request, 401)).status_code == 401
        assert (source.asked, line.sent) == ([None, "at-old"], [])


def test_the_hook_rewinds_a_file():
    """To where it stood, 0 included."""
    for start in (3, 0):
        file = io.BytesIO(b"0123456789")
        file.seek(start)
        source, line = Script(OLD, NEW), Line(200)
        request = prepared(source, data=file)
        file.read()
        heard(request, line.answer(request, 401))
        assert file.tell() == start


def test_the_hook_proves_a_token():
    """By any answer that is no 401, also to the second try."""
    source, line = Script(OLD, NEW), Line(404)
    request = prepared(source)
    heard(request, line.answer(request, 200))
    heard(request, line.answer(request, 401))
    assert source.proven == ["at-old", "at-new"]


def test_a_late_answer_proves_only_the_token_it_was_sent_with():
    """A good answer to an old request says nothing of the token that came since."""
    source, line = Script(OLD, NEW), Line()
    auth = RequestsAuth(source, API)
    first, second = (requests.Request("GET", f"{API}/x", auth=auth).prepare() for _ in "ab")
    heard(first, line.answer(first, 200))
    assert "at-new" not in source.proven
    heard(second, line.answer(second, 200))
    assert source.proven[-1] == "at-new"


def test_a_late_answer_proves_only_its_own_token_in_a_flow(kin, answer, how):
    """The same."""
    library, door = kin
    source = Script(OLD, NEW)
    auth = door(source, API)
    flows = [Flow(auth, library.Request("GET", f"{API}/x"), how) for _ in "ab"]
    sent = [flow.step() for flow in flows]
    flows[0].step(answer(200, sent[0]))
    assert source.proven == ["at-old"]
