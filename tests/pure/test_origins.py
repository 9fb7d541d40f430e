"""Which requests may carry the token: each trick of the trade, and a doubt means no."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenlatch import ANY_HTTPS
from tokenlatch._origins import Origins, is_confidential, origin_of, require_confidential, shown
from tokenlatch.errors import ConfigurationError

API = Origins("https://api.example.com")


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/",
        "https://api.example.com",
        "https://api.example.com?q=1",
        "https://api.example.com#x",
        "https://api.example.com:443/a",
        "https://api.example.com:/a",
        "https://API.Example.COM/a",
        "HTTPS://api.example.com/a",
        "https://user:pass@api.example.com/a",
        "https://api.example.com/@evil.example",
        "https://api.example.com/..//evil.example",
        "https://api.example.com/?to=https://evil.example",
    ],
)
def test_these_are_the_named_origin(url):
    """Spellings of one origin."""
    assert url in API


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://evil.example/", id="another host"),
        pytest.param("https://api.example.com.evil.example/", id="a longer name"),
        pytest.param("https://api.example.comevil/", id="a longer name without a dot"),
        pytest.param("https://evil-api.example.com/", id="a longer name in front"),
        pytest.param("https://example.com/", id="the parent"),
        pytest.param("https://v2.api.example.com/", id="a child"),
        pytest.param("https://api.example.com./", id="a final dot"),
        pytest.param("http://api.example.com/", id="plain http"),
        pytest.param("https://api.example.com:8443/", id="another port"),
        pytest.param("https://api.example.com:0/", id="port 0"),
        pytest.param("https://api.example.com:99999/", id="no port"),
        pytest.param("https://api.example.com:44x/", id="a port of letters"),
        pytest.param("https://api.example.com@evil.example/", id="the name as a user"),
        pytest.param("https://api.example.com:443@evil.example/", id="name and port as a user"),
        pytest.param("https://evil.example/@api.example.com", id="a user in the path"),
        pytest.param("https://evil.example#@api.example.com/", id="a user in the fragment"),
        pytest.param("https://evil.example?@api.example.com/", id="a user in the query"),
        pytest.param("https://evil.example\\@api.example.com/", id="a backslash"),
        pytest.param("https://api.example.com\\.evil.example/", id="a backslash in the name"),
        pytest.param("https:/\\api.example.com/", id="half a backslash"),
        pytest.param("https:\\\\api.example.com/", id="two backslashes"),
        pytest.param("//api.example.com/", id="no scheme"),
        pytest.param("/path", id="no host"),
        pytest.param("https:api.example.com", id="no slashes"),
        pytest.param("https:///api.example.com/", id="three slashes"),
        pytest.param("ftp://api.example.com/", id="another scheme"),
        pytest.param("httpsx://api.example.com/", id="a longer scheme"),
        pytest.param("ws://api.example.com/", id="a web socket"),
        pytest.param(" https://api.example.com", id="a space before"),
        pytest.param("https://api.exa\tmple.com/", id="a tab inside"),
        pytest.param("https://api.exa\nmple.com/", id="a newline inside"),
        pytest.param("https://api.example.com%2eevil.example/", id="an escaped dot"),
        pytest.param("https://[api.example.com]/", id="brackets"),
        pytest.param("https://\u0430pi.example.com/", id="a Cyrillic a"),
        pytest.param("https://\uff41pi.example.com/", id="a wide a"),
        pytest.param("https://api\u3002example.com/", id="an ideographic full stop"),
        pytest.param("", id="nothing"),
    ],
)
def test_these_are_not(url):
    """Each of these has fooled somebody."""
    assert url not in API


@given(st.text(max_size=30), st.sampled_from(["@", ".", ":", "\\", "-", "%00", "a", "\u3002"]))
def test_nothing_between_the_name_and_the_slash(rest, glue):
    """Whatever continues the name makes it another origin, or none."""
    url = f"https://api.example.com{glue}{rest}"
    if url in API:
        # Only the empty or standard port, or another user, can be left.
        assert origin_of(url) == ("https", "api.example.com", 443)


@given(st.text(max_size=50))
def test_no_url_makes_it_fail(url):
    """Any text has an origin or none; nothing is raised."""
    for text in (url, f"https://{url}", f"http://{url}/"):
        origin = origin_of(text)
        assert origin is None or is_confidential(origin) in {True, False}
        assert isinstance(text in API, bool)


@pytest.mark.parametrize(
    ("named", "url"),
    [
        ("https://api.example.com:8443", "https://api.example.com:8443/x"),
        ("https://api.example.com/", "https://api.example.com/x"),
        ("HTTPS://API.EXAMPLE.COM", "https://api.example.com/x"),
        ("https://api.example.com:443", "https://api.example.com/x"),
        ("http://localhost:8080", "http://localhost:8080/x"),
        ("http://127.0.0.1", "http://127.0.0.1:80/x"),
        ("http://127.9.8.7:1", "http://127.9.8.7:1/x"),
        ("http://[::1]:8080", "http://[::1]:8080/x"),
        ("https://[2001:DB8::1]", "https://[2001:db8::1]/x"),
        ("https://xn--mnchen-3ya.example", "https://xn--mnchen-3ya.example/x"),
        (("https://a.example", "https://b.example"), "https://b.example/"),
        (iter(["https://a.example"]), "https://a.example/"),
    ],
)
def test_ways_to_name_an_origin(named, url):
    """One, several, with ports, IPv6, upper case."""
    assert url in Origins(named)


@pytest.mark.parametrize(
    "named",
    [
        pytest.param("", id="nothing"),
        pytest.param((), id="none"),
        pytest.param("api.example.com", id="no scheme"),
        pytest.param("https://", id="no host"),
        pytest.param("ftp://api.example.com", id="another scheme"),
        pytest.param("https://api.example.com/v1", id="a path"),
        pytest.param("https://api.example.com?x=1", id="a query"),
        pytest.param("https://api.example.com#x", id="a fragment"),
        pytest.param("https://user@api.example.com", id="a user"),
        pytest.param("https://:pw@api.example.com", id="a password"),
        pytest.param("https://*.example.com", id="a star"),
        pytest.param("https://api.example.com:x", id="no port"),
        pytest.param("https://api.example.com:0", id="port 0"),
        pytest.param("http://api.example.com", id="plain http"),
        pytest.param("http://127.0.0.1.example.com", id="looks like loopback"),
        pytest.param("http://localhost.example.com", id="looks like localhost"),
        pytest.param("http://128.0.0.1", id="not loopback"),
        pytest.param("http://0.0.0.0", id="every interface"),
        pytest.param("http://127.0.0.\u00b2", id="a digit that is none"),
        pytest.param("https://münchen.example", id="write it as xn--"),
        pytest.param(("https://a.example", "http://b.example"), id="one of two"),
    ],
)
def test_what_cannot_be_named(named):
    """A ConfigurationError when it is written, not when it is used."""
    with pytest.raises(ConfigurationError):
        Origins(named)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://anything.example/", True),
        ("https://[2001:db8::1]:9/", True),
        ("http://localhost:1/", True),
        ("http://127.0.0.1/", True),
        ("http://[::1]/", True),
        ("http://anything.example/", False),
        ("http://127.0.0.1.example/", False),
        ("https://evil.example\\@good.example/", False),
        ("https://münchen.example/", False),
        ("ftp://anything.example/", False),
        ("", False),
    ],
)
def test_any_https_is_any_https(url, allowed):
    """And loopback, and nothing else."""
    assert (url in Origins(ANY_HTTPS)) == allowed


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example/token",
        "idp.example/token",
        "https://user:pw@idp.example/token",
        "https://idp.example/to ken",
        "",
    ],
)
def test_secrets_travel_confidentially_or_not_at_all(url):
    """Plain http, a URL without scheme, and one with a password inside are refused."""
    with pytest.raises(ConfigurationError) as caught:
        require_confidential(url, "token URL")
    assert "token URL" in str(caught.value)
    assert ":pw@" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://a.example/x?key=sesame", "https://a.example/x"),
        ("https://a.example/x#sesame", "https://a.example/x"),
        ("https://me:sesame@a.example/@x?y#z", "https://***@a.example/@x"),
        ("https://sesame@a.example", "https://***@a.example"),
        ("/path", "/path"),
    ],
)
def test_a_url_is_shown_without_secrets(url, safe):
    """In messages."""
    assert shown(url) == safe


def test_origins_are_values():
    """Comparable, hashable, copied, pickled, and shown."""
    pair = Origins(["https://b.example", "https://a.example:8443"])
    twin = Origins(("https://A.example:8443/", "https://b.example:443"))
    assert pair == twin
    assert hash(pair) == hash(twin)
    assert pair != API
    assert Origins(ANY_HTTPS) != API
    assert Origins(ANY_HTTPS) == copy.deepcopy(Origins(ANY_HTTPS))
    for copied in (copy.deepcopy(pair), pickle.loads(pickle.dumps(pair))):
        assert copied == pair
        assert "https://b.example/x" in copied
        assert "https://c.example/x" not in copied
    assert repr(pair) == "https://a.example:8443, https://b.example"
    assert repr(Origins(ANY_HTTPS)) == "ANY_HTTPS"
