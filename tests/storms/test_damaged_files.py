"""Rows 43, 45 and 74 of the fault matrix: files that are damaged, foreign or sealed otherwise.

A clear error names the path, the reason and what to do; nothing is overwritten, nothing is sent, nobody hangs.
"""

import json
import os
import secrets
import socket
from pathlib import Path

import pytest

from tests.storms.shared_grant import KEPT
from tokenlatch import (
    AESGCM,
    ClientCredentials,
    Custom,
    FileStore,
    RefreshToken,
    TokenSet,
    TokenSource,
)
from tokenlatch._format import from_json
from tokenlatch.errors import ConfigurationError, StoreError

WHOLE = {"identity": {"token_url": "u", "client_id": "c", "grant": "g"}, "generation": 3}

DAMAGED = {
    "empty": (b"", "is empty"),
    "zeros after a power cut": (b"\0" * 4096, "is empty"),
    "truncated": (b'{"format": 1, "generation": 3, "tokens": {"access_tok', "is not a JSON object"),
    "binary": (bytes(range(256)), "is not a JSON object"),
    "a list": (b"[1, 2]", "is not a JSON object"),
    "a web page": (b"<!doctype html>", "is not a JSON object"),
    "nested too deep": (b"[" * 100_000, "is not a JSON object"),
    "an empty object": (b"{}", "has no known format number"),
    "another program's": (b'{"access_token": "x"}', "has no known format number"),
    "no generation": (b'{"format": 1, "identity": {}}', "has missing or malformed fields"),
}
WRONG = {
    "negative generation": {"generation": -1},
    "a token that is no text": {"tokens": {"access_token": 7}},
    "a token with a line break": {"tokens": {"access_token": "x\nSet-Cookie: y"}},
    "an instant that is no number": {"tokens": {"access_token": "x", "expires_at": "soon"}},
    "an instant that is NaN": {"tokens": {"access_token": "x", "expires_at": float("nan")}},
    "an unknown field in the tokens": {"tokens": {"access_token": "x", "odd": 1}},
    "an intent without a holder": {"intent": {"at": 1.0}},
    "an intent at no time": {"intent": {"at": None, "holder": {"pid": 1, "host": "h"}}},
    "a failure at noon": {"failure": {"kind": "X", "message": "", "at": "noon", "retry_at": None}},
    "tokens that are a list": {"tokens": ["x"]},
}
for _what, _fields in WRONG.items():
    _body = {"format": 1, **WHOLE, **_fields}
    DAMAGED[_what] = (json.dumps(_body).encode(), "has missing or malformed fields")


def write(path, content):
    """Put a private file there."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o600)


def login(server):
    """Return the tokens of a new login."""
    answer = server.issue()
    return TokenSet(answer["access_token"], refresh_token=answer["refresh_token"], expires_at=9e9)


damaged = pytest.mark.parametrize(("content", "reason"), DAMAGED.values(), ids=DAMAGED)


# ---------------------------------------------------------------------------------------------------------- damaged


@damaged
def test_row_43_a_damaged_file_stays_as_it_is(shared, content, reason):
    """Every worker says what is wrong, nothing is sent, and not even a seed of the program's replaces the file."""
    write(shared.path, content)
    for source in (shared.source(), shared.source(first=login(shared.server).refresh_token)):
        with pytest.raises(StoreError) as caught:
            source.token()
        assert f"{shared.path} {reason}" in str(caught.value)
        assert "remove it and log in again" in str(caught.value)
        with pytest.raises(StoreError):
            source.status()
    assert shared.path.read_bytes() == content
    assert shared.server.counts.token_requests == 0
    assert shared.files() <= KEPT


@damaged
def test_row_43_a_new_login_keeps_it_aside(shared, content, reason):
    """A person who logs in again heals it; what was there can still be looked into, by the owner alone."""
    write(shared.path, content)
    tokens = login(shared.server)
    shared.source().seed(tokens)
    assert reason
    assert shared.source().token().access_token == tokens.access_token
    (aside,) = shared.path.parent.glob("token.json.damaged-*")
    assert aside.read_bytes() == content
    assert aside.stat().st_mode & 0o077 == 0
    assert shared.files() <= KEPT | {aside.name}


def test_row_43_two_damaged_files_are_two(shared):
    """What was kept aside is not overwritten by the next one, however soon that comes."""
    for content in (b"one", b"two", b"three"):
        write(shared.path, content)
        shared.source().seed(login(shared.server))
    aside = {each.read_bytes() for each in shared.path.parent.glob("token.json.damaged-*")}
    assert aside == {b"one", b"two", b"three"}


@pytest.mark.parametrize("kind", ["client credentials", "custom"])
def test_row_43_a_grant_that_loses_nothing_goes_on(shared, kind):
    """Where a new token can be had any time, no person is needed; the damaged file is kept aside all the same."""
    write(shared.path, b"damaged")
    grant = (
        ClientCredentials(shared.server.token_url, client_id="app", client_secret="app-secret")
        if kind == "client credentials"
        else Custom(lambda _: TokenSet("fresh", expires_at=9e9))
    )
    with TokenSource(grant, store=FileStore(shared.path)) as source:
        tokens = source.token()
    assert shared.state().tokens.access_token == tokens.access_token
    (aside,) = shared.path.parent.glob("token.json.damaged-*")
    assert aside.read_bytes() == b"damaged"


def test_row_43_a_token_in_memory_is_served_while_it_is_good(shared):
    """A file that is damaged under a running process stops nobody before its token is over."""
    tokens = shared.seed(left=1000.0)
    source = shared.source()
    assert source.token() == tokens
    write(shared.path, b"damaged")
    source._view.disarm()
    assert source.token() == tokens
    with pytest.raises(StoreError):
        source.token(tokens.access_token)
    assert shared.path.read_bytes() == b"damaged"
    assert shared.server.counts.token_requests == 0


def test_row_43_damaged_while_the_answer_is_on_its_way(shared):
    """The new token is the only one that works: it goes in, and the damaged file is kept aside."""
    shared.seed()
    shared.server.after_commit = lambda: write(shared.path, b'{"access_')
    tokens = shared.source().token()
    assert shared.state().tokens == tokens
    (aside,) = shared.path.parent.glob("token.json.damaged-*")
    assert aside.read_bytes() == b'{"access_'
    assert shared.alive


def test_row_43_removed_while_the_answer_is_on_its_way(shared):
    """Nothing newer stands there: the new token goes in."""
    shared.seed()
    shared.server.after_commit = shared.path.unlink
    tokens = shared.source().token()
    assert shared.state().tokens == tokens
    assert shared.alive


def test_row_43_too_large_to_be_a_token_file(shared):
    """Gigabytes are not read; not even a login moves such a file."""
    write(shared.path, b" " * (5 << 20))
    for act in (shared.source().token, lambda: shared.source().seed(login(shared.server))):
        with pytest.raises(StoreError, match="larger than any token file"):
            act()
    assert shared.path.stat().st_size == 5 << 20


def test_row_43_what_lies_beside_a_damaged_file_is_left_alone(shared):
    """A whole NAME.next may be the only copy of the newest token."""
    shared.seed()
    content = shared.path.read_bytes()
    beside = Path(f"{shared.path}.next")
    write(beside, content)
    write(shared.path, b"damaged")
    with pytest.raises(StoreError):
        shared.source().token()
    assert beside.read_bytes() == content


# --------------------------------------------------------------------------------------------------- no regular file


def make_fifo(path):
    """A FIFO that nobody writes to: opening it would hang."""
    os.mkfifo(path, 0o600)


def make_socket(path):
    """A socket that nobody listens on."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def make_link(path):
    """A link that somebody put there after the store was made."""
    victim = path.parent / "victim"
    write(victim, b"precious")
    path.symlink_to(victim)


IRREGULAR = {
    "a FIFO": make_fifo,
    "a directory": Path.mkdir,
    "a socket": make_socket,
    "symbolic link": make_link,
}


@pytest.mark.skipif(os.name == "nt", reason="POSIX's kinds of files")
@pytest.mark.parametrize(("kind", "make"), IRREGULAR.items(), ids=IRREGULAR)
def test_row_43_no_regular_file_in_its_place(shared, kind, make):
    """It says what is there, does not hang, and leaves it there; no lock is made beside it."""
    shared.path.parent.mkdir(mode=0o700)
    source, logging_in = shared.source(), shared.source()
    make(shared.path)
    before = shared.path.lstat()
    for act in (source.token, lambda: logging_in.seed(login(shared.server)), source.status):
        with pytest.raises(StoreError, match=kind) as caught:
            act()
        assert str(shared.path) in str(caught.value)
    assert shared.path.lstat() == before
    assert shared.files() <= {"token.json", "victim"}
    assert shared.server.counts.token_requests == 0


@pytest.mark.skipif(os.name == "nt", reason="POSIX's kinds of files")
@pytest.mark.parametrize("name", ["next", "counter"])
@pytest.mark.parametrize("make", IRREGULAR.values(), ids=IRREGULAR)
def test_row_43_no_regular_file_beside_it(shared, name, make):
    """What stands in the way of NAME.next is taken away, or the refresh is refused before the request."""
    shared.seed()
    beside = Path(f"{shared.path}.{name}")
    beside.unlink(missing_ok=True)
    make(beside)
    if make is Path.mkdir and name == "next":
        with pytest.raises(StoreError, match=str(beside)):
            shared.source().token()
        assert shared.server.counts.token_requests == 0
    else:
        assert shared.source().token() == shared.state().tokens
    victim = shared.path.parent / "victim"
    assert not victim.exists() or victim.read_bytes() == b"precious"


def test_row_43_a_directory_is_refused_when_the_store_is_made(tmp_path):
    """That is the developer's mistake."""
    for path in (tmp_path, f"{tmp_path}/", "", f"{tmp_path}/new/"):
        with pytest.raises(ConfigurationError, match="path of a file"):
            FileStore(path)


# ----------------------------------------------------------------------------------------------------------- foreign


def others(server):
    """Grants that are not the one in the file, and a word of what differs."""
    client = {"client_id": "app", "client_secret": "app-secret"}
    elsewhere = server.token_url.replace("/token", "/other")
    yield "app2", RefreshToken(server.token_url, client_id="app2", client_secret="app-secret")
    yield elsewhere, RefreshToken(elsewhere, **client)
    yield "admin", RefreshToken(server.token_url, **client, scope="admin")
    yield (
        "https://api.example",
        RefreshToken(server.token_url, **client, resource="https://api.example"),
    )
    yield "client_credentials", ClientCredentials(server.token_url, **client)
    yield "custom", Custom(lambda _: TokenSet("x"))


@pytest.mark.parametrize("number", range(6))
def test_row_43_a_file_written_for_another_grant(shared, number):
    """Another client, provider, scope, resource or kind of grant: refused with both named, and left as it is."""
    shared.seed()
    before = shared.path.read_bytes()
    word, grant = list(others(shared.server))[number]
    with TokenSource(grant, store=FileStore(shared.path)) as source:
        for act in (source.token, source.refresh, lambda: source.seed(login(shared.server))):
            with pytest.raises(StoreError, match="another grant's state") as caught:
                act()
            assert word in str(caught.value)
            assert str(shared.path) in str(caught.value)
            assert "use another path" in str(caught.value)
    assert shared.path.read_bytes() == before
    assert shared.server.counts.token_requests == 0


def test_row_45_a_newer_format_is_not_touched(shared):
    """Neither refresh nor login nor a grant that could do without overwrites what a newer version wrote."""
    shared.seed()
    content = json.dumps({**json.loads(shared.path.read_bytes()), "format": 2, "new": [1]}).encode()
    write(shared.path, content)
    repeatable = Custom(lambda _: TokenSet("x"))
    with TokenSource(repeatable, store=FileStore(shared.path)) as login_again:
        acts = [shared.source().token, shared.source().refresh, login_again.token]
        for act in (*acts, lambda: shared.source().seed(login(shared.server))):
            with pytest.raises(StoreError, match="has format 2") as caught:
                act()
            assert str(shared.path) in str(caught.value)
            assert "upgrade" in str(caught.value)
    assert shared.path.read_bytes() == content
    assert shared.server.counts.token_requests == 0
    assert shared.files() <= KEPT


def test_row_45_unknown_fields_survive_every_rewrite(shared):
    """Intent, new tokens and a failure are written around what a later version has added."""
    shared.seed()
    added = {"added": {"nested": [1, None, "Zoë"]}, "also": True}
    write(shared.path, json.dumps({**json.loads(shared.path.read_bytes()), **added}).encode())
    seen = []
    shared.server.before_commit = lambda: seen.append(json.loads(shared.path.read_bytes()))
    source = shared.source()
    source.token()
    shared.server.fail("503")
    with pytest.raises(Exception, match="HTTP 503"):
        source.refresh()
    source.seed(login(shared.server))
    for body in (*seen, json.loads(shared.path.read_bytes())):
        assert body | added == body
    assert seen[0]["intent"] is not None
    assert shared.state().generation == 3


# ------------------------------------------------------------------------------------------------------------ sealed

KEY, OTHER = secrets.token_bytes(32), secrets.token_bytes(32)


@pytest.fixture
def sealed(shared):
    """Give a grant in a file sealed with KEY."""
    shared.seed(store=FileStore(shared.path, encryption=AESGCM(KEY)))
    assert b"sealed" in shared.path.read_bytes()
    return shared


def untouched(shared, store, reason):
    """Check that nobody can do anything with this store, and that nothing happened."""
    before, files = shared.path.read_bytes(), shared.files()
    source = shared.source(store=store)
    for act in (source.token, source.refresh, source.status, lambda: source.seed(TokenSet("x"))):
        with pytest.raises((StoreError, ConfigurationError), match=reason):
            act()
    repeatable = Custom(lambda _: TokenSet("x"))
    with (
        TokenSource(repeatable, store=store) as login_again,
        pytest.raises((StoreError, ConfigurationError), match=reason),
    ):
        login_again.token()
    assert shared.path.read_bytes() == before
    assert shared.files() == files
    assert shared.server.counts.token_requests == 0


def test_row_74_the_wrong_key(sealed):
    """The error names the file; nothing is touched, nothing is sent."""
    store = FileStore(sealed.path, encryption=AESGCM(OTHER))
    untouched(sealed, store, f"{sealed.path} is sealed with another key, or damaged")


def test_row_74_no_key(sealed, monkeypatch, tmp_path):
    """A key that is not where it should be is named: variable, file."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    store = FileStore(sealed.path, encryption=AESGCM.from_env("NO_SUCH_KEY"))
    untouched(sealed, store, "NO_SUCH_KEY is not set")
    store = FileStore(sealed.path, encryption=AESGCM.from_file(tmp_path / "no.key"))
    untouched(sealed, store, "no key file .*no.key")


def test_row_74_no_encryption_given(sealed):
    """A plain store does not take a sealed file for a damaged one, and so does not heal it away."""
    untouched(sealed, FileStore(sealed.path), "is encrypted: give the FileStore")


def test_row_74_a_plain_file_given_to_a_sealed_store(shared):
    """It is not converted silently; the error says how to do it."""
    shared.seed()
    store = FileStore(shared.path, encryption=AESGCM(KEY))
    untouched(shared, store, r"is not encrypted: FileStore\(path\)\.reseal")


def test_row_74_every_flipped_bit_is_noticed(sealed):
    """Whichever byte of the file changes: an error, not a guess."""
    store = FileStore(sealed.path, encryption=AESGCM(KEY))
    whole = sealed.path.read_bytes()
    good = store.load()
    for place in range(len(whole)):
        for bit in (0x01, 0x20):
            broken = bytearray(whole)
            broken[place] ^= bit
            with pytest.raises(StoreError):
                store.unseal(bytes(broken))
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        with pytest.raises(StoreError):
            store.unseal(whole[:length])
    assert store.load() == good


@pytest.mark.parametrize("place", [20, 100, -20], ids=["nonce", "content", "tag"])
def test_row_74_a_flipped_byte_in_the_file(sealed, place):
    """Neither refresh nor login touches it."""
    broken = bytearray(sealed.path.read_bytes())
    broken[place] ^= 1
    write(sealed.path, bytes(broken))
    store = FileStore(sealed.path, encryption=AESGCM(KEY))
    untouched(sealed, store, "sealed with another key, or damaged")


def test_row_74_a_sealed_file_is_refreshed_and_shows_nothing(sealed):
    """The whole dance runs over it, and no token lies on the disk."""
    store = FileStore(sealed.path, encryption=AESGCM(KEY))
    seen = []
    sealed.server.before_commit = lambda: seen.extend(
        each.read_bytes() for each in sealed.path.parent.iterdir()
    )
    tokens = sealed.source(store=store).token()
    assert FileStore(sealed.path, encryption=AESGCM(KEY)).load().tokens == tokens
    seen.append(sealed.path.read_bytes())
    assert not any(b"at-" in each or b"rt-" in each or b"client" in each for each in seen)
    assert sealed.files() <= KEPT


def test_row_74_a_new_nonce_for_each_write():
    """The same text is never sealed the same way twice."""
    cipher = AESGCM(KEY)
    assert len({cipher.seal(b"the same") for _ in range(1000)}) == 1000


def test_row_74_reseal_converts_on_request(shared):
    """Plain to sealed, one key to another, and back: under the lock, same generation, same tokens."""
    shared.seed(left=1000.0)
    state = shared.state()
    FileStore(shared.path).reseal(AESGCM(KEY))
    store = FileStore(shared.path, encryption=AESGCM(KEY))
    assert store.load() == state
    store.reseal(AESGCM(OTHER))
    assert store.load() == FileStore(shared.path, encryption=AESGCM(OTHER)).load() == state
    store.reseal(None)
    assert store.load() == from_json(shared.path.read_bytes()) == state
    assert shared.files() <= KEPT
    with pytest.raises(StoreError, match="not encrypted"):
        FileStore(shared.path, encryption=AESGCM(KEY)).reseal(None)


def test_row_74_what_a_dead_holder_left_is_sealed_too(sealed):
    """NAME.next and a spill are rolled forward with the key, and only with it."""
    store = FileStore(sealed.path, encryption=AESGCM(KEY))
    state = store.load()
    newer = state.succeeded_by(TokenSet("newer", refresh_token="r", expires_at=9e9))
    with store.transaction(1) as transaction:
        transaction.commit(newer)
    content = sealed.path.read_bytes()
    with store.transaction(1) as transaction:
        transaction.commit(state)
    write(Path(f"{sealed.path}.next"), content)
    with pytest.raises(StoreError), FileStore(sealed.path).transaction(1):
        pass
    assert Path(f"{sealed.path}.next").read_bytes() == content
    with store.transaction(1) as transaction:
        assert transaction.state == newer
    assert store.load() == newer
    assert sealed.files() <= KEPT
