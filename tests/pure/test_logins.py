"""Browser and device logins, assertions and exchanges, driven without any network."""

import hashlib
import json
from base64 import urlsafe_b64encode
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jwk, jwt

from tokenlatch import (
    Assertion,
    AuthorizationCode,
    ClientCredentials,
    DeviceCode,
    DevicePrompt,
    JWTBearer,
    Provider,
    TokenExchange,
    errors,
)
from tokenlatch._asking import client_ask
from tokenlatch._authorize import challenge
from tokenlatch._wire import Answer
from tokenlatch.providers import Authorize

NOW = 1_767_225_600.0
IDP = Provider(
    "https://idp.example/token",
    authorize=Authorize("https://idp.example/authorize"),
    device_url="https://idp.example/device",
    issuer="https://idp.example",
)


class Server:
    """Answers from a list, and keeps what was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asks = []

    def __call__(self, ask):
        self.asks.append(ask)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        return Answer(status, {}, json.dumps(body).encode())

    @property
    def form(self):
        return dict(parse_qsl(self.asks[-1].body().decode()))


TOKENS = {"access_token": "A", "refresh_token": "R", "expires_in": 60}


def browser(provider=IDP, **more):
    return AuthorizationCode(
        provider, client_id="app", redirect_uri="https://app.example/cb", scope="a b", **more
    )


# ------------------------------------------------------------------------------------------------------- browser


def test_the_challenge_is_that_of_the_standard():
    """RFC 7636 appendix B."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_a_login_with_pkce():
    """The verifier that is sent fits the challenge in the URL; state comes back."""
    login, server = browser(), Server(TOKENS)
    pending = login.begin()
    query = dict(parse_qsl(urlsplit(pending.url).query))
    back = f"https://app.example/cb?code=c&state={query['state']}&iss=https://idp.example"
    assert login.redeem(back, pending, server, NOW).refresh_token == "R"
    digest = hashlib.sha256(server.form["code_verifier"].encode()).digest()
    assert urlsafe_b64encode(digest).rstrip(b"=").decode() == query["code_challenge"]
    assert 43 <= len(server.form["code_verifier"]) <= 128
    assert server.form["redirect_uri"] == "https://app.example/cb"


def test_two_logins_share_nothing():
    """State and verifier are new each time, and not in the repr."""
    one, two = browser().begin(), browser().begin()
    assert one.state != two.state
    assert one.code_verifier != two.code_verifier
    assert one.state not in repr(one)
    assert one.code_verifier not in repr(one)


@pytest.mark.parametrize(
    ("back", "why"),
    [
        ("?code=c", "state"),
        ("?code=c&state=", "state"),
        ("?code=c&state=other", "state"),
        ("?code=c&state=STATE&iss=https://evil.example", "issuer"),
        ("?code=c&state=STATE&client_id=other", "another client_id"),
        ("?code=&state=STATE", "neither code nor error"),
    ],
)
def test_a_redirect_of_another_login_is_not_believed(back, why):
    """RFC 6749 10.12, RFC 9207: nothing is sent to the token endpoint."""
    login, server = browser(), Server()
    pending = login.begin()
    back = back.replace("STATE", pending.state)
    with pytest.raises(errors.ReauthorizationRequired, match=why):
        login.redeem(f"https://app.example/cb{back}", pending, server, NOW)
    assert not server.asks


def test_an_issuer_that_names_itself_has_to():
    """RFC 9207 section 2.4: missing is as bad as wrong, where the metadata promise it."""
    strict = Provider(
        "https://idp.example/token",
        authorize=Authorize("https://idp.example/authorize"),
        issuer="https://idp.example",
        iss_required=True,
    )
    login = browser(strict)
    pending = login.begin()
    with pytest.raises(errors.ReauthorizationRequired, match="issuer"):
        login.read({"code": "c", "state": pending.state}, pending)


def test_a_refusal_of_another_login_is_not_believed():
    """RFC 6749 4.1.2.1: it has the state too; Huawei's has none and is taken as it comes."""
    login = browser()
    pending = login.begin()
    for state, error in (
        ("other", None),
        (pending.state, "access_denied"),
        (None, "access_denied"),
    ):
        back = {"error": "access_denied"} | ({"state": state} if state else {})
        with pytest.raises(errors.ReauthorizationRequired) as caught:
            login.read(back, pending)
        assert caught.value.error == error


def test_a_refusal_is_cut_and_has_no_control_characters():
    """Its words are anybody's, and go into logs."""
    back = {"error": "access_denied", "error_description": "\x1b[31m" + 500 * "x"}
    login = browser()
    with pytest.raises(errors.ReauthorizationRequired) as caught:
        login.read(back, login.begin())
    assert "\x1b" not in str(caught.value)
    assert len(caught.value.description) == 200


def test_a_login_may_come_back_elsewhere_than_the_others():
    """A listener learns its port late: what is sent to the page is sent with the code, too."""
    login, server = browser(), Server(TOKENS)
    pending = login.begin(redirect_uri="http://127.0.0.1:8000/cb")
    assert "redirect_uri=http%3A%2F%2F127.0.0.1%3A8000%2Fcb" in pending.url
    login.redeem({"code": "c", "state": pending.state}, pending, server, NOW)
    assert server.form["redirect_uri"] == "http://127.0.0.1:8000/cb"


def test_what_a_loopback_listener_sees_is_enough():
    """A request target or a bare query will do."""
    login = browser()
    pending = login.begin(state="s")
    assert login.read("/cb?code=c&state=s", pending) == "c"
    assert login.read("code=c&state=s", pending) == "c"


def test_a_provider_without_a_page_is_refused():
    """At construction, with what to do."""
    with pytest.raises(errors.ConfigurationError, match="authorization page"):
        browser(Provider("https://idp.example/token"))


# -------------------------------------------------------------------------------------------------------- device

PROMPT = {  # RFC 8628 section 3.2
    "device_code": "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://example.com/device",
    "verification_uri_complete": "https://example.com/device?user_code=WDJB-MJHT",
    "expires_in": 1800,
    "interval": 5,
}


def device():
    return DeviceCode(IDP, client_id="1406020730", scope="example_scope")


def prompt():
    return device().begin(Server(PROMPT), NOW)


def test_a_device_asks_for_a_code():
    """RFC 8628 sections 3.1 and 3.2, by their example."""
    server = Server(PROMPT)
    begun = device().begin(server, NOW)
    assert server.form == {"client_id": "1406020730", "scope": "example_scope"}
    assert server.asks[0].url == "https://idp.example/device"
    assert (begun.user_code, begun.interval) == ("WDJB-MJHT", 5)
    assert begun.expires_at == NOW + 1800
    assert "GmRh" not in repr(begun)


@pytest.mark.parametrize(
    ("said", "interval"),
    [
        ((400, {"error": "authorization_pending"}), 5),
        ((400, {"error": "slow_down"}), 10),
        (errors.TransportError("lost"), 10),
        ((503, {}), 10),
    ],
)
def test_not_yet(said, interval):
    """RFC 8628 section 3.5: ask again, slower if told to."""
    again = device().ask(prompt(), Server(said), NOW)
    assert isinstance(again, DevicePrompt)
    assert again.interval == interval


@pytest.mark.parametrize("error", ["access_denied", "expired_token"])
def test_a_device_login_that_ends(error):
    """The person said no, or did not come."""
    end = device().ask(prompt(), Server((400, {"error": error})), NOW)
    assert isinstance(end, errors.ReauthorizationRequired)
    assert end.error == error


def test_a_code_that_has_ended_is_not_asked_for():
    """After expires_in nothing is sent."""
    server = Server()
    assert isinstance(device().ask(prompt(), server, NOW + 1800), errors.ReauthorizationRequired)
    assert not server.asks


def test_a_device_login_that_succeeds():
    """The request is that of section 3.4."""
    server = Server(TOKENS)
    assert device().ask(prompt(), server, NOW).refresh_token == "R"
    assert server.form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": PROMPT["device_code"],
        "client_id": "1406020730",
    }


@pytest.mark.parametrize("broken", [{}, {**PROMPT, "user_code": ""}, {"error": "invalid_client"}])
def test_no_code_is_an_error(broken):
    """Whatever is missing."""
    assert isinstance(device().begin(Server((400, broken)), NOW), errors.AuthError)


# ---------------------------------------------------------------------------------------------------- assertions


def pem(key):
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(
        serialization.Encoding.PEM, form, serialization.NoEncryption()
    ).decode()


RSA = pem(rsa.generate_private_key(65537, 2048))
EC = pem(ec.generate_private_key(ec.SECP256R1()))
ED = pem(ed25519.Ed25519PrivateKey.generate())
SECRET = "a secret that is long enough for HS256, says RFC 7518"


def decoded(assertion, key):
    kind = (
        jwk.OctKey
        if key is SECRET
        else jwk.OKPKey
        if key is ED
        else jwk.ECKey
        if key is EC
        else jwk.RSAKey
    )
    algorithms = ["RS256", "PS256", "ES256", "EdDSA", "HS256"]
    return jwt.decode(assertion, kind.import_key(key), algorithms=algorithms)


@pytest.mark.parametrize(
    ("auth", "key", "how", "alg"),
    [
        ("private_key_jwt", RSA, None, "RS256"),
        ("private_key_jwt", RSA, Assertion(alg="PS256", kid="k1"), "PS256"),
        ("private_key_jwt", EC, None, "ES256"),
        ("private_key_jwt", ED, None, "EdDSA"),
        ("client_secret_jwt", SECRET, None, "HS256"),
    ],
)
@pytest.mark.filterwarnings(
    "ignore:EdDSA is deprecated"
)  # RFC 9864; servers know no other word yet
def test_a_client_proves_itself_by_an_assertion(auth, key, how, alg):
    """RFC 7523 sections 2.2 and 3: iss and sub are the client, aud the endpoint, a life of a minute."""
    server = Server(TOKENS)
    grant = ClientCredentials(
        IDP, client_id="app", client_secret=key, client_auth=auth, assertion=how
    )
    grant.exchange(None, server, NOW)
    assert server.form["client_assertion_type"].endswith("client-assertion-type:jwt-bearer")
    assert "client_secret" not in server.form
    token = decoded(server.form["client_assertion"], key)
    claims = token.claims
    assert token.header["alg"] == alg
    assert token.header.get("kid") == (how.kid if how else None)
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("app", "app", IDP.token_url)
    assert (claims["iat"], claims["exp"]) == (NOW, NOW + 60)
    assert claims["jti"]


def test_the_audience_is_the_token_endpoint_everywhere():
    """Authlib refuses an assertion for its introspection endpoint when aud names that."""
    client = ClientCredentials(
        IDP, client_id="app", client_secret=RSA, client_auth="private_key_jwt"
    ).client
    ask = client_ask(IDP, client, "https://idp.example/introspect", {"token": "t"}, NOW)
    assert decoded(ask.form["client_assertion"], RSA).claims["aud"] == IDP.token_url


def test_no_assertion_is_used_twice():
    """Each request has a jti of its own."""
    server = Server(TOKENS, TOKENS)
    grant = ClientCredentials(IDP, client_id="a", client_secret=RSA, client_auth="private_key_jwt")
    grant.exchange(None, server, NOW)
    first = server.form["client_assertion"]
    grant.exchange(None, server, NOW)
    assert server.form["client_assertion"] != first


@pytest.mark.parametrize("key", ["{}", '{"kty":"RSA"}', "-----BEGIN PRIVATE KEY-----\nx\n-----END"])
def test_a_key_that_cannot_sign_is_for_the_developer(key):
    """And is not shown."""
    grant = ClientCredentials(IDP, client_id="a", client_secret=key, client_auth="private_key_jwt")
    with pytest.raises(errors.ConfigurationError):
        grant.exchange(None, Server(TOKENS), NOW)


def test_a_jwk_brings_its_key_id():
    """Kid and algorithm are its own."""
    key = jwk.ECKey.import_key(EC)
    raw = json.dumps({**key.as_dict(private=True), "kid": "k7"})
    server = Server(TOKENS)
    grant = ClientCredentials(IDP, client_id="a", client_secret=raw, client_auth="private_key_jwt")
    grant.exchange(None, server, NOW)
    assert decoded(server.form["client_assertion"], EC).header["kid"] == "k7"


def test_a_service_account():
    """RFC 7523 section 2.1: the assertion is the grant."""
    server = Server(TOKENS)
    grant = JWTBearer(
        "https://oauth2.googleapis.com/token",
        client_id="robot@project.iam.gserviceaccount.com",
        key=RSA,
        subject="user@example.com",
        claims={"scope": "read"},
    )
    grant.exchange(None, server, NOW)
    assert server.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = decoded(server.form["assertion"], RSA).claims
    assert claims["sub"] == "user@example.com"
    assert claims["scope"] == "read"
    assert claims["aud"] == "https://oauth2.googleapis.com/token"
    assert grant.identity.grant.endswith("user@example.com")


def test_an_assertion_made_elsewhere():
    """A callable is asked at each use."""
    made, server = iter("ab"), Server(TOKENS, TOKENS)
    grant = JWTBearer(IDP, client_id="app", signed=lambda: next(made))
    for letter in "ab":
        grant.exchange(None, server, NOW)
        assert server.form["assertion"] == letter
    with pytest.raises(errors.ConfigurationError, match="either"):
        JWTBearer(IDP, client_id="app")


def test_a_token_is_exchanged():
    """RFC 8693 section 2.1."""
    server = Server(
        {**TOKENS, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}
    )
    grant = TokenExchange(
        IDP,
        client_id="gateway",
        client_secret="s",
        subject_token=lambda: "S",
        actor_token="ACT",
        audience="billing",
        resource="https://api.example",
        scope="read",
    )
    grant.exchange(None, server, NOW)
    kind = "urn:ietf:params:oauth:token-type:access_token"
    assert server.form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": "S",
        "subject_token_type": kind,
        "actor_token": "ACT",
        "actor_token_type": kind,
        "audience": "billing",
        "resource": "https://api.example",
        "scope": "read",
    }
    other = TokenExchange(IDP, client_id="gateway", client_secret="s", subject_token="S")
    assert other.identity != grant.identity


@pytest.mark.parametrize(
    "grant",
    [
        JWTBearer(IDP, client_id="app", key="C0FFEE"),
        TokenExchange(IDP, client_id="app", subject_token="C0FFEE", actor_token="C0FFEE"),
    ],
)
def test_nothing_secret_shows(grant):
    """Neither in the repr nor in the settings that a crash report prints."""
    assert "C0FFEE" not in repr(grant)
    assert "C0FFEE" not in repr(vars(grant))


# ------------------------------------------------------------------------------------------------------ discovery

METADATA = {
    "issuer": "https://idp.example",
    "token_endpoint": "https://idp.example/token",
    "authorization_endpoint": "https://idp.example/authorize",
    "revocation_endpoint": "https://idp.example/revoke",
    "introspection_endpoint": "https://idp.example/introspect",
    "device_authorization_endpoint": "https://idp.example/device",
    "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post"],
    "authorization_response_iss_parameter_supported": True,
}


def test_an_issuer_describes_itself():
    """RFC 8414 section 3: endpoints, client authentication, iss."""
    server = Server(METADATA)
    found = Provider.discover("https://idp.example", server)
    assert server.asks[0].url == "https://idp.example/.well-known/oauth-authorization-server"
    assert server.asks[0].method == "GET"
    assert found.token_url == METADATA["token_endpoint"]
    assert found.revoke_url == METADATA["revocation_endpoint"]
    assert found.authorize.url == METADATA["authorization_endpoint"]
    assert found.client_auth == "body"
    assert found.iss_required


@pytest.mark.parametrize(
    ("methods", "url"),
    [
        (["tls_client_auth"], "https://mtls.idp.example/token"),
        (["self_signed_tls_client_auth"], "https://mtls.idp.example/token"),
        (["client_secret_post", "tls_client_auth"], "https://idp.example/token"),
    ],
)
def test_who_shows_a_certificate_may_have_to_do_it_elsewhere(methods, url):
    """RFC 8705 section 5: mtls_endpoint_aliases, for those who prove themselves by TLS."""
    aliases = {"token_endpoint": "https://mtls.idp.example/token"}
    said = {"token_endpoint_auth_methods_supported": methods, "mtls_endpoint_aliases": aliases}
    found = Provider.discover("https://idp.example", Server({**METADATA, **said}))
    assert (found.token_url, found.revoke_url) == (url, METADATA["revocation_endpoint"])
    assert found.client_auth == ("body" if "mtls" not in url else "none")


def test_the_older_place_is_looked_at_too():
    """OpenID Connect Discovery; the path goes before it there, and behind it in RFC 8414."""
    server = Server((404, {}), {**METADATA, "issuer": "https://idp.example/realms/a"})
    Provider.discover("https://idp.example/realms/a", server)
    assert [ask.url for ask in server.asks] == [
        "https://idp.example/.well-known/oauth-authorization-server/realms/a",
        "https://idp.example/realms/a/.well-known/openid-configuration",
    ]


@pytest.mark.parametrize(
    ("issuer", "answers", "kind"),
    [
        ("https://idp.example/", [METADATA], errors.ConfigurationError),
        ("https://other.example", [METADATA], errors.ConfigurationError),
        ("http://idp.example", [], errors.ConfigurationError),
        ("https://idp.example?x=1", [], errors.ConfigurationError),
        ("https://idp.example", [(404, {}), (404, {})], errors.ConfigurationError),
        ("https://idp.example", [(302, {}), (302, {})], errors.ConfigurationError),
        ("https://idp.example", [(503, {})], errors.ProviderError),
        ("https://idp.example", [[]], errors.UnreadableAnswerError),
        ("https://idp.example", [{"issuer": "https://idp.example"}], errors.ConfigurationError),
        (
            "https://idp.example",
            [{**METADATA, "token_endpoint": "http://idp.example/token"}],
            errors.ConfigurationError,
        ),
    ],
)
def test_a_description_that_cannot_be_trusted(issuer, answers, kind):
    """Another issuer's, over plain http, behind a redirect, sick, or none at all."""
    with pytest.raises(kind):
        Provider.discover(issuer, Server(*answers))
