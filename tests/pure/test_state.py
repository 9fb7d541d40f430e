"""What is remembered: a round trip through JSON, unknown and newer files, damage, and no secret in any repr."""

import copy
import json
import math
import pickle
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenlatch import TokenSet
from tokenlatch._format import FORMAT, from_json, is_whole, to_json
from tokenlatch._state import Failure, Holder, Identity, Intent, Secret, State, fingerprint
from tokenlatch.errors import ConfigurationError, StoreError

SECRETS = ("at-sesame", "rt-sesame", "id-sesame")
WHO = Identity("https://idp.example/token", "app", "refresh_token", "read", "https://api.example")
TOKENS = TokenSet(
    "at-sesame",
    token_type="bearer",
    expires_at=1_750_000_100.5,
    refresh_token="rt-sesame",
    refresh_expires_at=1_760_000_000.0,
    scope="read write",
    issued_at=1_750_000_000.0,
    extra={"id_token": "id-sesame", "nested": {"list": [1, None, "x"]}},
)
FULL = State(
    WHO,
    7,
    TOKENS,
    Intent(1_750_000_050.0, Holder(3, "host", "boot-1"), fingerprint("rt-sesame"), doubtful=True),
    Failure("ProviderError", "Ill.", 1.0, 2.0, 3, "abc", "server_error", "d", "u", 500),
    unproven=True,
)


def edited(**changes):
    """The file's JSON with some fields changed, or left out where the change is None."""
    body = json.loads(to_json(FULL)) | changes
    return json.dumps({k: v for k, v in body.items() if v is not None}).encode()


# ---------------------------------------------------------------------------------------------------------- the file

texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
instants = st.none() | st.floats(0, 4e9)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
states = st.builds(
    State,
    st.builds(Identity, st.text(), st.text(), st.text(), st.none() | st.text()),
    st.integers(0, 2**63),
    st.none()
    | st.builds(
        TokenSet,
        texts,
        expires_at=instants,
        refresh_token=st.none() | texts,
        scope=st.none() | st.text(),
        issued_at=instants,
        extra=st.dictionaries(st.text(), plain, max_size=3),
    ),
    unproven=st.booleans(),
)


@given(states)
def test_any_state_comes_back_as_it_was(state):
    """Unicode, large numbers, nested extras."""
    assert from_json(to_json(state)) == state


def test_every_field_comes_back():
    """Tokens, intent, failure and identity, with the types they had."""
    again = from_json(to_json(FULL))
    assert again == FULL
    assert is_whole(to_json(FULL))
    assert isinstance(again.tokens.access_token, Secret)
    assert isinstance(again.tokens.refresh_token, Secret)


def test_the_file_names_its_format():
    """A number of its own, whatever the package's version."""
    assert json.loads(to_json(FULL))["format"] == FORMAT == 1


def test_unknown_fields_are_kept():
    """What a newer version added survives a rewrite by this one."""
    state = from_json(edited(colour="blue", more={"a": [1]}))
    again = json.loads(to_json(state.succeeded_by(TOKENS)))
    assert (again["colour"], again["more"]) == ("blue", {"a": [1]})
    assert again["generation"] == 8


@pytest.mark.parametrize("missing", ["tokens", "intent", "failure", "unproven", "checksum"])
def test_what_a_state_can_do_without(missing):
    """An older version, or a hand, may leave these out."""
    state = from_json(edited(**{missing: None}))
    assert state.generation == 7
    assert not getattr(state, missing, None)


def test_a_newer_format_is_refused_not_damaged():
    """The message says what to do."""
    with pytest.raises(StoreError, match=r"format 2.*upgrade"):
        from_json(edited(format=2))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"\0\0\0\n", "empty", id="zeros: the space was reserved, nothing came"),
        pytest.param(to_json(FULL)[:-20], "JSON", id="cut off"),
        pytest.param(b"\xff\xfe\x00", "JSON", id="binary"),
        pytest.param(b"[]", "JSON object", id="a list"),
        pytest.param(b'"at-sesame"', "JSON object", id="a string"),
        pytest.param(b"[" * 100_000, "JSON", id="nested without end"),
        pytest.param(b"{}", "format", id="another program's file"),
        pytest.param(edited(format="1"), "format", id="format as text"),
        pytest.param(edited(format=0), "format", id="format 0"),
        pytest.param(edited(identity=None), "malformed", id="no identity"),
        pytest.param(edited(identity=["a"]), "malformed", id="identity is a list"),
        pytest.param(edited(generation=None), "malformed", id="no generation"),
        pytest.param(edited(generation=-1), "malformed", id="generation below zero"),
        pytest.param(edited(generation="7"), "malformed", id="generation as text"),
        pytest.param(edited(tokens={}), "", id="empty tokens are none"),
        pytest.param(edited(tokens={"access_token": ""}), "malformed", id="empty access token"),
        pytest.param(edited(tokens={"access_token": 5}), "malformed", id="a number for a token"),
        pytest.param(edited(tokens="at-sesame"), "malformed", id="tokens are text"),
        pytest.param(
            edited(tokens={"access_token": "a", "expires_at": "2026-01-01"}),
            "malformed",
            id="an instant as text",
        ),
        pytest.param(edited(intent={"at": 1}), "malformed", id="an intent without a holder"),
        pytest.param(edited(failure={"kind": "X"}), "malformed", id="half a failure"),
    ],
)
def test_damage_is_told_without_showing_the_content(text, says):
    """Each kind of damage is a ValueError whose text, cause and context hold nothing of the file."""
    if not says:
        assert from_json(text).tokens in ({}, None)
        return
    with pytest.raises(ValueError, match=says) as caught:
        from_json(text)
    error = caught.value
    assert error.__context__ is None
    assert not any(secret in repr(error) for secret in SECRETS)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b"7", to_json(FULL)[:-3], edited(generation=8), edited(checksum=None)],
)
def test_a_file_not_written_to_its_end_is_not_whole(text):
    """Only the right checksum proves it."""
    assert not is_whole(text)


# ------------------------------------------------------------------------------------------------------- the tokens


def test_a_token_set_shows_no_secret():
    """Not in repr, nor in the repr of what holds it; not even formatted with !r."""
    for thing in (TOKENS, FULL, [FULL], {"a": TOKENS}, FULL.having(generation=1)):
        shown = f"{thing!r}"
        assert not any(secret in shown for secret in SECRETS)
    assert "***" in repr(TOKENS)
    assert "id_token" in repr(TOKENS)


def test_an_extra_with_odd_keys_has_a_repr():
    """Names of any type."""
    assert "extra=<1, a>" in repr(TokenSet("at", extra={1: 2, "a": 3}))


def test_a_token_set_is_frozen_hashable_and_comparable():
    """By value."""
    twin = TokenSet("at-sesame", refresh_token="rt-sesame")
    assert twin == TokenSet("at-sesame", refresh_token="rt-sesame")
    assert len({twin, TokenSet("at-sesame", refresh_token="rt-sesame")}) == 1
    assert hash(TOKENS)
    with pytest.raises(AttributeError):
        twin.access_token = "other"


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_token_set_can_be_copied(copied):
    """And stays secret."""
    twin = copied(TOKENS)
    assert twin == TOKENS
    assert "sesame" not in repr(twin)
    assert copied(FULL) == FULL


@pytest.mark.parametrize(
    "value",
    ["", " ", " a", "a ", "a\n", "a\r\nX-Evil: 1", "a\0", "tökén", "a\tb", None, 5, b"at", True],
)
def test_a_token_that_no_header_can_carry_is_refused(value):
    """And the message does not show it."""
    with pytest.raises(ConfigurationError) as caught:
        TokenSet(value)
    assert "access_token" in str(caught.value)
    if value is not None:
        with pytest.raises(ConfigurationError, match="refresh_token"):
            TokenSet("at", refresh_token=value)


@pytest.mark.parametrize("name", ["expires_at", "refresh_expires_at", "issued_at"])
@pytest.mark.parametrize(
    "value", [datetime(2026, 1, 1, tzinfo=UTC), "3600", math.nan, True], ids=repr
)
def test_an_instant_is_a_number(name, value):
    """A datetime or a text would only fail much later, in the middle of a refresh."""
    with pytest.raises(ConfigurationError, match=name):
        TokenSet("at", **{name: value})


def test_fingerprints_tell_nothing():
    """The same for the same secret, another for another, None for None, and never the secret."""
    assert fingerprint("rt-1") == fingerprint("rt-1") != fingerprint("rt-2")
    assert fingerprint(None) is None
    assert "rt-sesame" not in fingerprint("rt-sesame")


def test_a_success_clears_what_was_wrong():
    """The next generation has no intent and no failure."""
    fresh = FULL.succeeded_by(TokenSet("at-2"))
    assert (fresh.generation, fresh.intent, fresh.failure, fresh.unproven) == (8, None, None, False)
