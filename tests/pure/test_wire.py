"""What goes over the wire: every odd shape that real servers have sent becomes tokens or the right error."""

import gzip
import json
import tracemalloc
import zlib
from base64 import b64decode
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qs, unquote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenlatch import TokenSet
from tokenlatch._wire import (
    LARGEST_ANSWER,
    Answer,
    Ask,
    basic,
    is_refusal,
    read_fields,
    read_tokens,
    retry_after,
)
from tokenlatch.errors import (
    AuthError,
    ConfigurationError,
    ProviderError,
    ReauthorizationRequired,
    UnreadableAnswerError,
)

NOW = 1_750_000_000.0
OLD = TokenSet(
    "at-0", refresh_token="rt-0", refresh_expires_at=NOW + 9, scope="read", issued_at=1.0
)
FIELDS = {
    "access_token": "at-1",
    "token_type": "Bearer",
    "expires_in": 3600,
    "refresh_token": "rt-1",
    "scope": "read write",
}


def answer(body=None, status=200, **headers):
    """An answer; a dict becomes JSON."""
    body = FIELDS if body is None else body
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"content-type": "application/json"} | named, content)


def read(body=None, status=200, old=OLD, **headers):
    """What the answer stands for."""
    return read_tokens(answer(body, status, **headers), NOW, old)


def without(*names):
    """The fields but these."""
    return {name: value for name, value in FIELDS.items() if name not in names}


# ------------------------------------------------------------------------------------------------------------- tokens


def test_a_token_answer():
    """Every field of RFC 6749 section 5.1, and what is unknown is kept."""
    tokens = read(FIELDS | {"id_token": "it", "refresh_token_expires_in": 60, "nested": {"a": [1]}})
    assert tokens == TokenSet(
        "at-1",
        expires_at=NOW + 3600,
        refresh_token="rt-1",
        refresh_expires_at=NOW + 60,
        scope="read write",
        issued_at=NOW,
        extra={"id_token": "it", "nested": {"a": [1]}},
    )


@pytest.mark.parametrize(
    ("left_out", "same"),
    [
        pytest.param(("refresh_token",), ("refresh_token", "refresh_expires_at"), id="refresh"),
        pytest.param(("scope",), ("scope",), id="scope"),
    ],
)
def test_what_an_answer_leaves_out_is_kept(left_out, same):
    """RFC 6749 section 6: the old refresh token with its deadline, and the old scope."""
    tokens = read(without(*left_out))
    assert [getattr(tokens, each) for each in same] == [getattr(OLD, each) for each in same]
    fresh = read(without(*left_out), old=None)
    assert [getattr(fresh, each) for each in same] == [None] * len(same)


def test_a_new_refresh_token_does_not_inherit_the_deadline():
    """The old one's end says nothing of it."""
    assert read().refresh_expires_at is None


@pytest.mark.parametrize("value", ["", None, False])
def test_an_empty_refresh_token_counts_as_none(value):
    """The old one lives on."""
    assert read(FIELDS | {"refresh_token": value}).refresh_token == "rt-0"


@pytest.mark.parametrize(
    ("value", "life"),
    [
        pytest.param(3600, 3600, id="a number"),
        pytest.param(0.5, 0.5, id="a fraction"),
        pytest.param("3600", 3600, id="a text"),
        pytest.param(" 3600 ", 3600, id="a text with spaces"),
        pytest.param("3600.5", 3600.5, id="a fraction as text"),
        pytest.param(0, None, id="0: no end"),
        pytest.param(-1, None, id="-1: no end"),
        pytest.param("-1", None, id="-1 as text"),
        pytest.param(1e99, None, id="1e99"),
        pytest.param("1e99", None, id="1e99 as text"),
        pytest.param(None, None, id="null"),
        pytest.param("in an hour", None, id="words"),
        pytest.param("", None, id="empty"),
        pytest.param(True, None, id="true"),
        pytest.param([3600], None, id="a list"),
        pytest.param({"s": 3600}, None, id="an object"),
        pytest.param(float("nan"), None, id="NaN"),
        pytest.param(float("inf"), None, id="Infinity"),
    ],
)
def test_expires_in(value, life):
    """No crash, no refresh loop: what is no positive time has no end that a clock could tell."""
    expires_at = read(FIELDS | {"expires_in": value}).expires_at
    assert expires_at == (life and NOW + life)


def test_expires_in_is_missing():
    """Likewise."""
    assert read(without("expires_in")).expires_at is None


def test_a_number_too_long_to_read():
    """More digits than Python converts."""
    body = json.dumps(without("expires_in"))[:-1] + ', "expires_in": ' + "9" * 5000 + "}"
    tokens = read(body.encode())
    assert isinstance(tokens, UnreadableAnswerError) or tokens.expires_at is None


@pytest.mark.parametrize(
    ("value", "kept"),
    [("a b", "a b"), (["a", "b"], "a b"), (None, "read"), ("", "read"), ([], "read"), (7, "7")],
)
def test_scope(value, kept):
    """A text, a list, or nothing."""
    assert read(FIELDS | {"scope": value}).scope == kept


def test_what_is_no_number_in_json_is_nothing():
    """NaN is not equal to itself, so a state with one would never be the one that was saved."""
    tokens = read(json.dumps(FIELDS | {"x": float("nan"), "y": [float("inf")]}).encode())
    assert tokens.extra == {"x": None, "y": [None]}


# ------------------------------------------------------------------------------------------------------------ writing


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(
            json.dumps(FIELDS).encode(), {"content_type": "text/html"}, id="typed as html"
        ),
        pytest.param(b"\xef\xbb\xbf" + json.dumps(FIELDS).encode(), {}, id="byte order mark"),
        pytest.param(b" \r\n" + json.dumps(FIELDS).encode() + b"\n", {}, id="blanks around"),
        pytest.param(urlencode(FIELDS).encode(), {}, id="a form typed as JSON"),
        pytest.param(
            urlencode(FIELDS).encode() + b"\n",
            {"content_type": "application/x-www-form-urlencoded"},
            id="a form",
        ),
        pytest.param(
            json.dumps(FIELDS | {"name": "Zoë"}, ensure_ascii=False).encode("latin-1"),
            {},
            id="latin-1",
        ),
        pytest.param(
            gzip.compress(json.dumps(FIELDS).encode()), {"content_encoding": "gzip"}, id="gzip"
        ),
        pytest.param(
            gzip.compress(json.dumps(FIELDS).encode()), {"content_encoding": "X-GZIP"}, id="x-gzip"
        ),
        pytest.param(
            zlib.compress(json.dumps(FIELDS).encode()),
            {"content_encoding": "deflate"},
            id="deflate",
        ),
        pytest.param(json.dumps(FIELDS).encode(), {"content_encoding": "identity"}, id="identity"),
    ],
)
def test_one_answer_in_many_writings(body, headers):
    """Whatever its type says."""
    tokens = read(body, **headers)
    assert (tokens.access_token, tokens.refresh_token) == ("at-1", "rt-1")
    assert tokens.expires_at == NOW + 3600


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(b"", {}, id="empty"),
        pytest.param(b"OK " + urlencode(FIELDS).encode(), {}, id="words before a form"),
        pytest.param(
            b"<html>access_token=x</html>", {"content_type": "text/html"}, id="a web page"
        ),
        pytest.param([FIELDS], {}, id="a list"),
        pytest.param(b'"at-1"', {}, id="a text"),
        pytest.param(b"null", {}, id="null"),
        pytest.param(json.dumps(FIELDS).encode()[:-9], {}, id="cut off"),
        pytest.param(b"[" * 100_000, {}, id="nested without end"),
        pytest.param(without("access_token"), {}, id="no access token"),
        pytest.param(FIELDS | {"access_token": ""}, {}, id="empty access token"),
        pytest.param(FIELDS | {"access_token": None}, {}, id="null access token"),
        pytest.param(FIELDS | {"access_token": 7}, {}, id="a number for an access token"),
        pytest.param(FIELDS | {"access_token": {"a": 1}}, {}, id="an object for an access token"),
        pytest.param(FIELDS | {"access_token": "a\r\nX: y"}, {}, id="a header in an access token"),
        pytest.param(FIELDS | {"refresh_token": "r\n"}, {}, id="a newline in a refresh token"),
        pytest.param({"access": "at-1", "refresh": "rt-1"}, {}, id="other names"),
        pytest.param(b"{}" + b" " * LARGEST_ANSWER, {}, id="too long"),
        pytest.param(
            gzip.compress(json.dumps(FIELDS).encode() + b" " * LARGEST_ANSWER),
            {"content_encoding": "gzip"},
            id="a gzip bomb",
        ),
        pytest.param(
            gzip.compress(json.dumps(FIELDS).encode())[:30], {"content_encoding": "gzip"}, id="half"
        ),
        pytest.param(
            json.dumps(FIELDS).encode(), {"content_encoding": "gzip"}, id="gzip that is none"
        ),
        pytest.param(json.dumps(FIELDS).encode(), {"content_encoding": "br"}, id="another packing"),
    ],
)
def test_what_is_no_answer(body, headers):
    """UnreadableAnswerError, without a word of the body."""
    error = read(body, **headers)
    assert type(error) is UnreadableAnswerError
    assert error.status == 200
    assert not any(secret in repr(error) for secret in ("at-1", "rt-1", "X: y"))


def test_a_gzip_bomb_is_never_unpacked():
    """64 MiB of nothing take no more memory than the largest answer."""
    bomb = answer(gzip.compress(bytes(1 << 26), 1), content_encoding="gzip")
    tracemalloc.start()
    try:
        assert read_fields(bomb) is None
        assert tracemalloc.get_traced_memory()[1] < 4 * LARGEST_ANSWER
    finally:
        tracemalloc.stop()


def test_the_largest_answer_is_read():
    """And one byte more is not."""
    body = json.dumps(FIELDS).encode()
    largest = body + b" " * (LARGEST_ANSWER - len(body))
    assert isinstance(read(largest), TokenSet)
    assert isinstance(read(largest + b" "), UnreadableAnswerError)


@given(
    st.binary(max_size=200), st.sampled_from(["identity", "gzip", "deflate"]), st.integers(100, 599)
)
def test_no_answer_raises(body, encoding, status):
    """Errors are returned: a traceback would hold frames with secrets in them."""
    result = read(body, status, content_encoding=encoding)
    assert isinstance(result, TokenSet | AuthError)


@given(
    st.dictionaries(
        st.sampled_from([*FIELDS, "error", "error_description", "error_uri", "x"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.lists(st.text())
        | st.dictionaries(st.text(), st.text()),
    ),
    st.sampled_from([200, 400, 401, 500]),
)
def test_no_json_raises(fields, status):
    """Whatever type a field has."""
    assert isinstance(read(fields, status), TokenSet | AuthError)


# ------------------------------------------------------------------------------------------------------------- errors


DEAD, CONFIG, ILL = ReauthorizationRequired, ConfigurationError, ProviderError
UNREADABLE = UnreadableAnswerError


@pytest.mark.parametrize(
    ("body", "status", "kind", "code"),
    [
        pytest.param({"error": "invalid_grant"}, 400, DEAD, "invalid_grant", id="dead"),
        pytest.param({"error": "invalid_grant"}, 401, DEAD, "invalid_grant", id="dead, 401"),
        pytest.param({"error": "invalid_grant"}, 200, DEAD, "invalid_grant", id="dead, 200"),
        pytest.param({"error": "invalid_grant"}, 500, DEAD, "invalid_grant", id="dead, 500"),
        pytest.param(
            FIELDS | {"error": "invalid_grant"}, 200, DEAD, "invalid_grant", id="and tokens"
        ),
        pytest.param({"error": "invalid_request"}, 400, DEAD, "invalid_request", id="maybe dead"),
        pytest.param({"error": "invalid_client"}, 401, CONFIG, "invalid_client", id="client"),
        pytest.param(
            {"error": "unauthorized_client"}, 400, CONFIG, "unauthorized_client", id="right"
        ),
        pytest.param(
            {"error": "unsupported_grant_type"}, 400, CONFIG, "unsupported_grant_type", id="type"
        ),
        pytest.param({"error": "invalid_scope"}, 400, CONFIG, "invalid_scope", id="scope"),
        pytest.param({"error": "invalid_target"}, 400, CONFIG, "invalid_target", id="target"),
        pytest.param({"error": "server_error"}, 400, ILL, "server_error", id="ill"),
        pytest.param(
            {"error": "temporarily_unavailable"}, 503, ILL, "temporarily_unavailable", id="busy"
        ),
        pytest.param({"error": "slow_down"}, 400, ILL, "slow_down", id="too fast"),
        pytest.param({"error": "quantum"}, 400, ILL, "quantum", id="unknown word"),
        pytest.param(
            {"error": {"code": "invalid_grant"}}, 400, DEAD, "invalid_grant", id="an object"
        ),
        pytest.param(
            {"error": {"type": "invalid_grant"}}, 400, DEAD, "invalid_grant", id="its type"
        ),
        pytest.param({"error": {}}, 400, ILL, "unnamed", id="an empty object"),
        pytest.param({"error": ["invalid_grant"]}, 400, DEAD, "invalid_grant", id="a list"),
        pytest.param({"error": []}, 400, UNREADABLE, None, id="an empty list"),
        pytest.param({"error": 1203}, 400, ILL, "1203", id="a number"),
        pytest.param(b"error=invalid_grant&a=b", 400, DEAD, "invalid_grant", id="a form"),
        pytest.param(b"", 400, UNREADABLE, None, id="400, empty"),
        pytest.param(b"", 401, UNREADABLE, None, id="401, empty"),
        pytest.param(b"", 500, ILL, None, id="500, empty"),
        pytest.param(b"<html>", 502, ILL, None, id="502, a web page"),
        pytest.param({}, 429, ILL, None, id="429"),
        pytest.param({}, 408, ILL, None, id="408"),
        pytest.param(FIELDS, 500, ILL, None, id="tokens with a 500"),
        pytest.param({"detail": "No", "code": "not_valid"}, 401, UNREADABLE, None, id="a dialect"),
        pytest.param({}, 307, UNREADABLE, None, id="a redirect"),
    ],
)
def test_errors(body, status, kind, code):
    """Each becomes the error of who must act, with the provider's code."""
    error = read(body, status)
    assert type(error) is kind
    assert (error.error, error.status) == (code, status)
    assert str(error).endswith(".")


@pytest.mark.parametrize("nothing", [None, "", 0, "0", False])
def test_an_error_that_says_nothing_is_none(nothing):
    """Some providers write error: 0 beside the token."""
    assert isinstance(read(FIELDS | {"error": nothing}), TokenSet)


def test_an_error_carries_what_was_said():
    """Description and URI, in one line of printable text, and not too long."""
    error = read(
        {
            "error": "invalid_grant",
            "error_description": "Bad\r\n\x1b[31mtoken\0 \ud800" + "x" * 500,
            "error_uri": "https://idp.example/why",
        },
        400,
    )
    assert error.description.startswith("Bad   [31mtoken   x")
    assert len(error.description) == 200
    assert error.description.isprintable()
    assert error.uri == "https://idp.example/why"
    assert error.description in str(error)


def test_an_error_object_may_have_a_message():
    """It is the description where there is none."""
    error = read({"error": {"code": "invalid_grant", "message": "too old"}}, 400)
    assert error.description == "too old"


# -------------------------------------------------------------------------------------------------------- Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("7.5", 7.5),
        ("0", 0),
        ("-1", None),
        ("", None),
        ("soon", None),
        ("7s", None),
        ("1e3", None),
        ("7, 8", None),
        ("9" * 400, float("inf")),
        (format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True), 90),
        (format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True), 0),
        ("Sun, 15 Jun 2025 15:07:50 +0000", 70),
        ("Sun, 15 Jun 2025 15:07:50 -0000", 70),
        ("Sun, 15 Jun 99999 15:07:50 GMT", None),
        ("Sun, 32 Jun 2025 15:07:50 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +9959", None),
    ],
)
def test_retry_after(value, seconds):
    """Seconds, a date, or garbage that says nothing."""
    assert retry_after(answer(status=429, retry_after=value), NOW) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_raises(value):
    """Whatever a server writes there."""
    seconds = retry_after(answer(retry_after=value), NOW)
    assert seconds is None or seconds >= 0


def test_only_an_error_that_passes_has_a_retry_after():
    """A dead grant does not come back."""
    assert read({}, 429, retry_after="7").retry_after == 7
    assert read({}, 503).retry_after is None
    assert not hasattr(read({"error": "invalid_grant"}, 400, retry_after="7"), "retry_after")


# ---------------------------------------------------------------------------------------------------- WWW-Authenticate


@pytest.mark.parametrize(
    ("challenge", "refused"),
    [
        (None, True),
        ("", True),
        ("Bearer", True),
        ("bearer", True),
        ('Bearer realm="api"', True),
        ('Bearer error="invalid_token"', True),
        ("Bearer error=invalid_token", True),
        ("bearer error='invalid_token'", False),
        ('BEARER ERROR="invalid_token"', True),
        ('error="invalid_token"', True),
        (
            'Bearer realm="a, b", error="invalid_token", error_description="the token, expired"',
            True,
        ),
        ('Bearer error_description="error=\\"insufficient_scope\\"", error="invalid_token"', True),
        ('Bearer error_description="error=insufficient_scope"', True),
        ('Bearer realm="error=\\"insufficient_scope\\""', True),
        ('Bearer error = "invalid_token"', True),
        ('Basic realm="x", Bearer error="invalid_token"', True),
        ('Bearer error="invalid_token", Basic realm="x"', True),
        ("Negotiate YWJj==, Bearer", True),
        ('Bearer error="insufficient_scope"', False),
        ('Bearer error=insufficient_scope, scope="a"', False),
        ('Bearer error="invalid_request"', False),
        ('Bearer error="Invalid_Token"', False),
        ('DPoP error="use_dpop_nonce"', False),
        ('DPoP error="invalid_token", algs="ES256"', True),
        ('Bearer error=""', True),
        ('Bearer error="invalid_token', True),
    ],
)
def test_challenges(challenge, refused):
    """A 401 is about our token unless it says something else."""
    assert is_refusal(401, challenge) == refused
    assert not is_refusal(403, challenge)
    assert not is_refusal(400, challenge)


@given(st.text(max_size=60))
def test_no_challenge_raises(challenge):
    """Whatever a server writes there."""
    assert is_refusal(401, challenge) in {True, False}


# ---------------------------------------------------------------------------------------------------------- the request


@pytest.mark.parametrize(
    ("client_id", "secret"),
    [
        ("app", "secret"),
        ("a:b", "c:d"),
        ("a b", "c+d"),
        ("Zoë", "päss/wörd?&="),
        ("100%", "%3A"),
        ("", ""),
    ],
)
def test_basic_is_form_encoded_first(client_id, secret):
    """RFC 6749 section 2.3.1: colons and letters beyond ASCII survive."""
    header = basic(client_id, secret)
    scheme, _, pair = str(header).partition(" ")
    encoded_id, colon, encoded = b64decode(pair).decode("ascii").partition(":")
    assert (scheme, colon) == ("Basic", ":")
    assert (unquote_plus(encoded_id), unquote_plus(encoded)) == (client_id, secret)
    assert "Basic" not in repr(header)


def test_the_example_of_rfc_6749():
    """Section 2.3.1."""
    assert str(basic("s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw")) == (
        "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"
    )


def test_a_request_is_a_form():
    """UTF-8, form-encoded (RFC 6749 appendix B); and it shows nothing of what it holds."""
    ask = Ask("https://idp.example/token", {"refresh_token": "a&b=c ë"}, {"Authorization": "B x"})
    assert parse_qs(ask.body().decode("ascii")) == {"refresh_token": ["a&b=c ë"]}
    headers = ask.all_headers()
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["Accept"] == "application/json"
    assert headers["Authorization"] == "B x"
    assert repr(ask) == "Ask(url='https://idp.example/token', method='POST', as_json=False)"
    assert repr(answer()) == "Answer(status=200)"


def test_fields_of_a_form_that_repeats():
    """The last one counts, as in JSON."""
    assert read_fields(Answer(200, {}, b"a=1&a=2&b=")) == {"a": "2"}
