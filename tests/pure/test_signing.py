"""The canonical string and RSA, against vectors that openssl, node and a rebuilt gateway agree on."""

import base64
import json
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from tokenlatch import RefreshToken, errors
from tokenlatch._signing import canonical, members, sign, verify
from tokenlatch._wire import Answer
from tokenlatch.providers import Gateway, sop

VECTORS = Path(__file__).parents[1] / "vectors"
KEYS = json.loads((VECTORS / "sop_test_keys.json").read_text())
VECTOR = json.loads((VECTORS / "sop_vector.json").read_text())
STAMP = 1_767_294_245.0  # 2026-01-02 03:04:05 in Shanghai


def pem(label, text):
    return f"-----BEGIN {label}-----\n{text}\n-----END {label}-----\n"


def folded(text):
    return "\n".join(text[at : at + 64] for at in range(0, len(text), 64))


PKCS8, PKCS1 = KEYS["app_private_pkcs8_b64"], KEYS["app_private_pkcs1_b64"]
PRIVATE = {
    "bare PKCS#8": PKCS8,
    "bare PKCS#1": PKCS1,
    "bare, folded": folded(PKCS8),
    "PEM PKCS#8": pem("PRIVATE KEY", folded(PKCS8)),
    "PEM PKCS#1": pem("RSA PRIVATE KEY", folded(PKCS1)),
    "SOP's Python SDK: PKCS#1's dashes around PKCS#8": pem("RSA PRIVATE KEY", PKCS8),
    "with Windows line ends": pem("PRIVATE KEY", folded(PKCS8)).replace("\n", "\r\n"),
}


def test_the_canonical_string():
    """Sorted by name, values raw."""
    assert canonical(VECTOR["params_without_sign"]) == VECTOR["canonical"]


def test_sign_and_empty_values_are_left_out():
    """As the SDKs do; the gateway keeps empty ones, which is why none is ever sent."""
    assert canonical({"b": "", "sign": "x", "a": "1", "A": "2"}) == "A=2&a=1"


@pytest.mark.parametrize("key", PRIVATE.values(), ids=PRIVATE)
def test_every_key_format_signs_the_vector(key):
    """PKCS#1 v1.5 is deterministic: one text, one signature."""
    assert sign(VECTOR["canonical"], key) == VECTOR["sign"]


@pytest.mark.parametrize(
    "key", [KEYS["app_public_b64"], pem("PUBLIC KEY", folded(KEYS["app_public_b64"]))]
)
def test_the_vector_verifies(key):
    """And a text that differs in a letter does not."""
    assert verify(VECTOR["canonical"], VECTOR["sign"], key)
    assert not verify(VECTOR["canonical"] + " ", VECTOR["sign"], key)


@pytest.mark.parametrize("signature", ["", "AAAA", "not base64!", VECTOR["sign"][:-4]])
def test_a_broken_signature_is_none(signature):
    """Whatever stands there, the answer is no, not an exception."""
    assert not verify(VECTOR["canonical"], signature, KEYS["app_public_b64"])


def test_rsa_with_sha1_is_another_signature():
    """sign_type RSA."""
    text = VECTOR["canonical"]
    made = sign(text, PKCS8, "RSA")
    assert made != VECTOR["sign"]
    assert verify(text, made, KEYS["app_public_b64"], "RSA")
    assert not verify(text, made, KEYS["app_public_b64"], "RSA2")


def encrypted():
    key = rsa.generate_private_key(65537, 2048)
    how = serialization.BestAvailableEncryption(b"password")
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, how).decode()


def elliptic():
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8
    raw = key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    "key",
    ["", "no key", PKCS8[:-40], KEYS["app_public_b64"], encrypted(), elliptic()],
    ids=["empty", "text", "cut", "public", "encrypted", "elliptic"],
)
def test_what_is_no_key_is_named_without_showing_it(key):
    """The developer hears which formats will do; nothing of the key is in the message."""
    with pytest.raises(errors.ConfigurationError, match="PKCS#8 or PKCS#1") as refused:
        sign("text", key)
    assert not key or key[:40] not in str(refused.value)


@pytest.mark.parametrize("key", ["", "no key", PKCS8], ids=["empty", "text", "private"])
def test_what_is_no_platform_key_is_named(key):
    """Likewise."""
    with pytest.raises(errors.ConfigurationError, match="platform key"):
        verify("text", VECTOR["sign"], key)
    with pytest.raises(errors.ConfigurationError, match="platform key"):
        sop("https://gateway.example.com/", platform_key=key)  # later it would cost a token


def test_the_whole_form_of_a_refresh():
    """The very body of the vector."""
    grant = RefreshToken(
        sop("https://gateway.example.com/"),
        client_id="2019032617262200001",
        client_secret=PKCS8,
        refresh_token="856faf8d77d3b985c1073557ce6ea724",
    )
    assert grant._ask(None, STAMP).body().decode() == VECTOR["form_body"]


def test_the_response_is_verified_over_its_raw_text():
    """The node exactly as it was sent; written again with spaces it is another text."""
    gateway = Gateway(platform_key=KEYS["platform_public_b64"])
    raw = VECTOR["response"]
    assert members(raw)["open_auth_token_app_response"] == VECTOR["response_signed_text"]
    assert gateway.doubt(raw) is None
    again = json.dumps(json.loads(raw))
    assert gateway.doubt(again) == "has a wrong signature"
    assert gateway.doubt(raw.replace('"user_id":"1"', '"user_id":"2"')) == "has a wrong signature"


def test_a_missing_signature_is_a_doubt_only_with_a_platform_key():
    """Else stripping it would defeat the check."""
    node = VECTOR["response_signed_text"]
    bare = f'{{"open_auth_token_app_response":{node}}}'
    assert Gateway(platform_key=KEYS["platform_public_b64"]).doubt(bare) == "is not signed"
    assert Gateway().doubt(bare) is None


def test_a_business_field_named_sign_confuses_nobody():
    """SOP's Java SDK cuts the text at the first "sign"."""
    node = '{"code":"10000","sign":"a field","text":"\\"sign\\":\\"x\\"}"}'
    signature = sign(node, KEYS["platform_private_pkcs8_b64"])
    raw = f'{{ "sign" : "{signature}",\n "story_get_response" : {node} }}'
    gateway = Gateway(platform_key=KEYS["platform_public_b64"])
    assert gateway.doubt(raw, "story.get") is None


@pytest.mark.parametrize(
    "added",
    [
        {"error": "invalid_token"},
        {"error": "invalid_grant"},
        {"sub_code": "isp.unknown-error"},
        {"app_refresh_token": "EVIL", "expires_in": 1},
        {"data": {"code": "10000", "app_auth_token": "EVIL"}},
    ],
    ids=lambda added: next(iter(added)),
)
def test_what_the_signature_does_not_cover_is_not_read(added):
    """Fields beside the signed node neither end a grant nor bring tokens."""
    signed = {"code": "10000", "app_auth_token": "B"}
    node = json.dumps(signed)
    signature = sign(node, KEYS["platform_private_pkcs8_b64"])
    rest = json.dumps({**added, "sign": signature})[1:]
    body = f'{{"open_auth_token_app_response":{node},{rest}'.encode()
    grant = RefreshToken(
        sop("https://gateway.example.com/", platform_key=KEYS["platform_public_b64"]),
        client_id="1",
        client_secret=PKCS8,
        refresh_token="R",
    )
    tokens = grant.exchange(None, lambda _: Answer(200, {}, body), 0.0)
    assert (tokens.access_token, tokens.refresh_token, tokens.expires_at) == ("B", None, None)


def test_a_field_named_sign_is_signed_where_the_signature_has_another_name():
    """An operator may rename the signature; then sign is a field like any."""
    gateway = Gateway(names={"sign": "signature"})
    form = gateway.form({"sign": "Leo"}, app_id="1", private_key=PKCS8, now=0.0)
    assert form["sign"] == "Leo"
    text = "&".join(f"{name}={form[name]}" for name in sorted(form) if name != "signature")
    assert verify(text, form["signature"], KEYS["app_public_b64"])


def test_a_signed_text_is_no_reason_to_read_another_node():
    """The node that is verified is the node that is read."""
    signature = sign('"x"', KEYS["platform_private_pkcs8_b64"])
    body = (
        f'{{"open_auth_token_app_response":"x","sign":"{signature}",'
        '"data":{"code":"10000","app_auth_token":"EVIL"}}'
    ).encode()
    grant = RefreshToken(
        sop("https://gateway.example.com/", platform_key=KEYS["platform_public_b64"]),
        client_id="1",
        client_secret=PKCS8,
        refresh_token="R",
    )
    assert isinstance(
        grant.exchange(None, lambda _: Answer(200, {}, body), 0.0), errors.ProviderError
    )


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"sign_type": "MD5"}, "sign_type"), ({"utc_offset": 8 * 86400}, "utc_offset")],
)
def test_a_gateway_that_cannot_be_meant_is_refused_by_name(wrong, named):
    """At construction, not when something has to be signed."""
    with pytest.raises(errors.ConfigurationError, match=named):
        Gateway(**wrong)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "[]",
        "null",
        "{",
        '{"a":1',
        '{"a":1,}',
        '{"a":1}x',
        '{"a" 1}',
        "{1:2}",
        '{"a":1,"a":2}',
        "[" * 100_000,
    ],
)
def test_what_is_no_object_is_refused(raw):
    """A member twice, too: two readers may read it in two ways."""
    gateway = Gateway(platform_key=KEYS["platform_public_b64"])
    assert gateway.doubt(raw) == "is no JSON object"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON), st.sampled_from([None, 1]), st.booleans())
def test_members_are_cut_where_json_says(content, indent, escape):
    """For any object, however it is written, each piece reads as the member that it is."""
    raw = json.dumps(content, indent=indent, ensure_ascii=escape)
    assert {name: json.loads(piece) for name, piece in members(raw).items()} == content


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_no_empty_parameter_is_ever_sent(params):
    """Whatever the caller passes, what goes out is what is signed."""
    form = Gateway().form(params, app_id="1", private_key=PKCS8, now=STAMP)
    assert all(form.values())
    assert verify(canonical(form), form["sign"], KEYS["app_public_b64"])


@pytest.mark.parametrize(
    ("offset", "stamp"),
    [
        (8 * 3600.0, "2026-01-02 03:04:05"),
        (0.0, "2026-01-01 19:04:05"),
        (-5 * 3600.0, "2026-01-01 14:04:05"),
        (5.5 * 3600, "2026-01-02 00:34:05"),
    ],
)
def test_the_timestamp_is_of_the_gateways_zone(offset, stamp):
    """Shanghai unless the operator says otherwise; this machine's zone plays no part."""
    assert Gateway(utc_offset=offset).stamp(STAMP) == stamp


def test_signing_again_replaces_what_was_signed_before():
    """A retry has a new stamp, a new token and a new signature, and nothing twice."""
    gateway = Gateway()
    how = {"app_id": "1", "private_key": PKCS8}
    first = gateway.form({"method": "story.get"}, **how, now=STAMP, token="a")
    second = gateway.form(first, **how, now=STAMP + 1, token="b")
    assert second["timestamp"] == "2026-01-02 03:04:06"
    assert second["app_auth_token"] == "b"
    assert verify(canonical(second), second["sign"], KEYS["app_public_b64"])
    assert len(parse_qsl("&".join(second))) <= len(second)
